"""The final answer in a response, found by text alone, and the normal form of an answer.

Invariant: two answers with one normal form are the same answer; different normal forms say nothing.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Literal

Kind = Literal["math", "choice"]

_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"(.*?)(?:\$|\n|\\\)|\\\]|$)")
_JOIN = re.compile(
    r"[\s$]*(?:\\[)\]])?[\s$]*(?:[,;]|,?\s*(?:and|or)\b|,?\s*\\text\{,?\s*(?:and|or)\s*\})"
    r"[\s$]*(?:\\quad|\\[(\[,;])?[\s$]*"
)
_HASHES = re.compile(r"^####[ \t]*(\S.*)$", re.MULTILINE)
_EQUALS = re.compile(r"(?<![<>!:\\])=")
_EXPRESSION = re.compile(r"[-+*/^\d\sa-zA-Z(){}.,]{1,40}")
_PROSE = re.compile(r"\$|\\[()\[\]]|\\pmod|(?<![a-zA-Z\\{])[a-zA-Z]{3}")
_TEXT = re.compile(r"\\(?:text|mathrm)\s*\{[^{}]*\}")
_PHRASE = re.compile(r"answer\s*(?:is\b|:)", re.IGNORECASE)
_MATHS = re.compile(r"[\d$\\]")
_LISTED = re.compile(r",(?!\d{3}(?!\d))|;|\b(?:and|or)\b")
_CHECK = re.compile(
    r"\W*(?:\d+[.)]\W*)?(?:verif|check(?:ing)?\W*(?:$|(?:(?:the|this|our)\s+)?(?:answer|result|solution|original)))",
    re.IGNORECASE | re.MULTILINE,
)
_PASSAGE_LIMIT = 2000

_WRAP = r"(?:\\[a-z]+\s*\{|[\s*_$(\[{\"'`]|\\[(\[])*"
_LEAD = _WRAP.replace(r"[\s", r"(?:the|option|choice)\b|[\s:")
_LETTER_BOX = re.compile(rf"{_WRAP}([A-Ja-j])(?:[\s)\]}}*_$.:]|\\[)\]])*$")
_LETTER_BOX_MORE = re.compile(rf"{_WRAP}([A-J])\s*[).:](?!\d)")
_CHOICE_PHRASE = re.compile(
    r"(?:answer|(?:correct|right|best)\s+(?:option|choice))(?:\s+is\b|\s*[:=])"
    rf"({_LEAD})([A-J])(?![\w'’])(?!\s*=)",
    re.IGNORECASE,
)
_CLEAR_AFTER = re.compile(r"[^\w\s]|\s*$|\s*\n|\s+(?:because|since|as|is)\b")
_LETTER_LINE = re.compile(rf"{_WRAP}([A-J])(?:[\s)\]}}*_$.\"'`]|\\[)\]])*")


def extract_answer(text: str, kind: Kind = "math") -> str | None:
    r"""The answer that the text itself marks; None when it marks none.

    `math`: the content of the last closed `\boxed` or `\fbox` that is not empty (also `\boxed 5`);
    boxes joined by nothing but a comma, "and" or "or" are one answer. `choice`: a letter A to J from
    the last such box, else from the last phrase like "answer is (C)", else from a last line that is
    one letter. Text after the last `</think>` comes first; inside thinking, also thinking that was
    cut off before its end, only a box counts, never a phrase.
    """
    final = _after_thinking(text)
    if kind == "math":
        return _last_box(final or "") or _last_box(text)
    return (
        choice_letter(_last_box(final or "") or "")
        or (_phrase_letter(final) if final else None)
        or choice_letter(_last_box(text) or "")
    )


def choice_letter(answer: str) -> str | None:
    r"""The letter of "C", "(C)", `\text{(C)}` or "C) 5 m", upper case; None when it names none."""
    found = _LETTER_BOX.match(answer) or _LETTER_BOX_MORE.match(answer)
    return found.group(1).upper() if found else None


def unboxed_answer(text: str) -> str | None:
    """An answer marked by `#### x`, or the end of a last line that is a bare LaTeX equation.

    Only outside thinking. None when there is neither; the closing passage is then to be read.
    """
    final = _after_thinking(text)
    if not final or not final.strip():
        return None
    hashes = _HASHES.findall(final)
    if hashes:
        return str(hashes[-1]).strip()
    line = final.rstrip().rsplit("\n", 1)[-1].strip().removesuffix(".")
    stated = line.rsplit(": ", 1)[-1].strip()
    parts = _EQUALS.split(stated)
    last = parts[-1].strip()
    bare = "\\" in last or (len(parts) > 1 and _EXPRESSION.fullmatch(last))
    if not bare or _is_prose(last) or last[-1] == "," or (stated == line and len(parts) < 2):
        return None
    left = parts[0].strip()
    unknowns = len(parts) == 2 and _EXPRESSION.fullmatch(left) and re.search(r"[a-z].*[-+]", left)
    return stated if unknowns and not _is_prose(left) else last


def _is_prose(text: str) -> bool:
    return bool(_PROSE.search(_TEXT.sub("", text)))


def right_side(equation: str) -> str:
    """The last side of a calculation or chain (`6 * 7 = 42`, `x = 6 * 7 = 42`), else all of it.

    An equation in unknowns (`2x + y = 0`) and an assignment (`x = 42`) are answers as they stand.
    """
    if _LISTED.search(equation):
        return equation
    equation = equation.rsplit("\\approx", 1)[-1].strip() or equation
    sides = _EQUALS.split(equation)
    calculation = not re.search(r"(?<![a-zA-Z\\])[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", "", sides[0]))
    return sides[-1].strip() or equation if len(sides) > 2 or calculation else equation


def closing_passage(text: str) -> str | None:
    """The part of a response without a marked answer in which its answer is to be looked for.

    From the last "answer is" or "answer:" on, else the last paragraph that holds any mathematics.
    None when there is none, as in thinking that was cut off before it ended.
    """
    final = _after_thinking(text)
    if not final:
        return None
    phrases = list(_PHRASE.finditer(final))
    if phrases:
        return final[phrases[-1].start() :][:_PASSAGE_LIMIT]
    paragraphs = re.split(r"\n\s*\n", final)
    checks = [at for at, part in enumerate(paragraphs) if at and _CHECK.match(part)]
    paragraphs = [part for part in paragraphs[: checks[-1] if checks else None] if _MATHS.search(part)]
    return paragraphs[-1][-_PASSAGE_LIMIT:] if paragraphs else None


def _after_thinking(text: str) -> str | None:
    """What follows the last `</think>`, or all of it; None when thinking was opened, never closed."""
    closed = text.rfind("</think>")
    if text.rfind("<think>") > closed:
        return None
    return text[closed + len("</think>") :] if closed >= 0 else text


def _last_box(text: str) -> str | None:
    starts = list(_BOX.finditer(text))
    limit, answers, following = len(text), list[str](), len(text)
    for start in reversed(starts):
        content, end = _box_content(text, start.end(), limit)
        limit = start.start()
        if answers and (end is None or not _JOIN.fullmatch(text, end, following)):
            break
        if content and end is not None:
            answers.append(content)
            following = start.start()
    return ",".join(dict.fromkeys(reversed(answers))) or None


def _box_content(text: str, start: int, limit: int) -> tuple[str, int | None]:
    """Content and end of a box that ends before `limit`; end None when it never closes."""
    if not text.startswith("{", start):
        bare = _BARE_BOX.match(text, start, limit)
        found = bare.group(1) if bare else ""
        words = found.split()
        content = words[0].rstrip(".,;:") if words else ""
        return content, start + len(content)
    depth = 0
    for token in _BRACE.finditer(text, start, limit):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if depth == 0 and token.group() == "}":
            return text[start + 1 : token.start()].strip(), token.end()
    return "", None


def _phrase_letter(text: str) -> str | None:
    for found in reversed(list(_CHOICE_PHRASE.finditer(text))):
        letter, wrapped = found.group(2), re.search(r"[^\s:]", found.group(1))
        article = letter in "AI" and not wrapped
        if letter.isupper() and (not article or _CLEAR_AFTER.match(text, found.end())):
            return letter
    line = text.rstrip().rsplit("\n", 1)[-1].strip()
    alone = _LETTER_LINE.fullmatch(line) if len(line) < 40 else None
    return alone.group(1) if alone else None


_PEEL = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"\$\$?([^$]*)\$\$?",
        r"\\\(((?:(?!\\[()]).)*)\\\)",
        r"\\\[((?:(?!\\[\[\]]).)*)\\\]",
        r"\\(?:text|mathrm|textbf|mathbf|textit|textrm|mbox|textnormal)\s*\{([^{}]*)\}",
        r"(.*[^.\\\s])\.",
        r"\\\$(.*)",
    )
]


def _without_commas(number: re.Match[str]) -> str:
    return number.group().replace(",", "")


def _braced(fraction: re.Match[str]) -> str:
    top, bottom = (argument.strip("{}").strip() for argument in fraction.groups())
    return f"\\frac{{{top}}}{{{bottom}}}"


_ARGUMENT = r"\{[^{}]*\}|\\pi(?![a-zA-Z])|[a-zA-Z0-9]"
_REWRITE: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<=\d)(?:,\\!|\{,\})\s*(?=\d{3}(?!\d))", ""),
        (r"(?<=[^\\_]\{)\d{1,3}(?:,\d{3})+(?=\})", _without_commas),
        (r"(?<!\\)\\(?:d|t|c)frac(?![a-zA-Z])", r"\\frac"),
        (rf"\\frac(?![a-zA-Z]) *({_ARGUMENT}) *({_ARGUMENT})(?![0-9])", _braced),
        (r"\\sqrt(?![a-zA-Z]) *([a-zA-Z0-9])(?![0-9])", r"\\sqrt{\1}"),
        (r"(?<!\\)\\(?:left|right)(?=[()\[\]|.]|\\[{}|])\.?", ""),
        (r"(?<!\\)\\displaystyle(?![a-zA-Z])", " "),
        (r"(?<!\\)\\!", ""),
        (r"(?<!\\)(?:\\[,;: ]|\\q?quad(?![a-zA-Z])|~)", " "),
        (r"(?<=\d)\^\s*\{\s*\\(?:text|mathrm)\s*\{(?:st|nd|rd|th)\}\s*\}", ""),
        (r"(?<=\d)\^?\\(?:text|mathrm)\s*\{(?:st|nd|rd|th)\}", ""),
        (r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-zA-Z]))|(?<!\\)\\degree(?![a-zA-Z])", "°"),
        (r"(?<!\\)\\%", "%"),
        (r"\s+", " "),
        (r"(?<![a-zA-Z0-9.,]) |(?<=,) (?!\d{3}(?!\d))| (?![a-zA-Z0-9.])", ""),
    )
]
_WRAPPED = re.compile(r"\\(?:text|mathrm|textbf|mbox)\b")
_WORDS = re.compile(r"[a-z]{2,}(?: [a-z]+)*")
_NUMERIC = re.compile(r"^[^a-z]*\d|\\frac")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_BASED = re.compile(r"([0-9A-Za-z]+)_\{?(\d+)\}?")
_DIGITS = r"\d{1,300}"
_PLAIN = re.compile(
    rf"([+-]?(?:\d{{1,9}}(?=\\frac))?)(?:({_DIGITS}(?:\.\d{{0,300}})?|\.{_DIGITS})|({_DIGITS})/({_DIGITS})"
    rf"|\\frac\{{([+-]?{_DIGITS})\}}\{{({_DIGITS})\}})°?",
    re.ASCII,
)


def normal_form(answer: str) -> str:
    r"""The answer without what never changes its meaning.

    White space, `\dfrac`, `\frac12`, `\left` and `\right`, `\!` and other spacing, thousands separators
    (`10{,}000`, `10,\!000`; `10,000` only as the whole answer or group), a trailing period, `$…$`,
    a dollar sign, a whole `\text{…}`, an ordinal's th, the spelling of ° and %. What math-verify
    judges (units, %, °) stays.
    """
    peeled = answer.strip().replace("−", "-")
    while (inner := _peel(peeled)) != peeled:
        peeled = inner
    if _THOUSANDS.fullmatch(peeled):
        peeled = peeled.replace(",", "")
    for pattern, replacement in _REWRITE:
        peeled = pattern.sub(replacement, peeled)
    return peeled.strip()


def _peel(answer: str) -> str:
    for pattern in _PEEL:
        found = pattern.fullmatch(answer)
        if found and found.group(1).strip():
            return found.group(1).strip()
    return answer


def plain_number(normal: str) -> Fraction | None:
    r"""The exact value of an integer, decimal, `a/b`, `\frac{a}{b}` or mixed number; 30° is 30."""
    found = _PLAIN.fullmatch(normal)
    if not found:
        return None
    sign, decimal, top, bottom, frac_top, frac_bottom = found.groups()
    if decimal is not None:
        value = Fraction(decimal)
    elif int(bottom or frac_bottom) == 0:
        return None
    else:
        value = Fraction(int(top or frac_top), int(bottom or frac_bottom))
    if sign[-1:].isdigit():
        return int(sign) + value if sign.isdigit() and 0 < value < 1 else None
    return -value if sign == "-" else value


def based_number(normal: str) -> tuple[str, str] | None:
    """Digits and base of a number with its base written as a subscript, which math-verify ignores."""
    found = _BASED.fullmatch(normal)
    return (found.group(1), found.group(2)) if found else None


def same_word(one: str, other: str) -> bool | None:
    r"""Whether two words are one but for case; None unless one is `\text{…}` and both are texts.

    A word read as mathematics is a product of letters: "on" would equal "no". No word is a number.
    """
    wrapped = [bool(_WRAPPED.match(answer.lstrip().lstrip("$").lstrip())) for answer in (one, other)]
    if not any(wrapped):
        return None
    words = [normal_form(answer).casefold() for answer in (one, other)]
    if all(_WORDS.fullmatch(word) for word in words):
        return words[0] == words[1]
    numeric = [bool(_NUMERIC.search(word)) for word in words]
    if any(numeric):
        return False if any(_WORDS.fullmatch(word) for word in words) else None
    bare = [re.sub(r"[^a-z]", "", word) for word in words]
    return False if all(wrapped) and bare[0] != bare[1] else None
