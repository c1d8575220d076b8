r"""Answers out of texts, and the normal form that may only join what means the same."""

import re
import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prm_eval.answers import (
    based_number,
    choice_letter,
    closing_passage,
    extract_answer,
    normal_form,
    plain_number,
    right_side,
    same_word,
    unboxed_answer,
)

BOXES = [
    (r"so $\boxed{5}$.", "5"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{\frac{\sqrt{3}}{3 + \sqrt{2}}} is it", r"\frac{\sqrt{3}}{3 + \sqrt{2}}"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed{\left\{x : x > 1\right.}", r"\left\{x : x > 1\right."),
    (r"\boxed{1}. No, wait: \boxed{2}", "2"),
    (r"\fbox{7}", "7"),
    (r"\boxed 5", "5"),
    (r"$\boxed5$", "5"),
    (r"so \boxed -3.", "-3"),
    (r"$\boxed\frac{1}{2}$", r"\frac{1}{2}"),
    (r"\boxed {6}", "6"),
    (r"\boxed{\boxed{8}}", "8"),
    (r"\\boxed{9}", "9"),
    (r"\boxed{3}, then cut off in \boxed{4", "3"),
    (r"\boxed{3} and an empty \boxed{}", "3"),
    (r"$\boxed{2}$ or $\boxed{3}$", "2,3"),
    (r"x = \boxed{1},\quad \boxed{2}", "1,2"),
    (r"\boxed{1} \text{ and } \boxed{-2}", "1,-2"),
    (r"**\boxed{5}**" + "\n\n" + r"\boxed{5}", "5"),
    (r"\boxedtext{5}", None),
    (r"\boxed{", None),
    (r"\boxed{}", None),
    (r"\boxed", None),
    ("The answer is 5.", None),
    ("", None),
    ("\x08oxed{5}", None),
]


@pytest.mark.parametrize(("text", "answer"), BOXES)
def test_boxes(text: str, answer: str | None) -> None:
    """The last closed box counts, its braces matched, where a pattern stops at the first one."""
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"<think>\boxed{1}</think>\boxed{2}", "2"),
        (r"<think>\boxed{1}</think>The answer is 2.", "1"),
        (r"\boxed{1} hm</think> so \boxed{2} it is", "2"),
        (r"<think>maybe \boxed{1}", "1"),
        ("<think>The answer is 5. Wait", None),
    ],
)
def test_boxes_and_thinking(text: str, answer: str | None) -> None:
    """A box after the thinking outranks one inside it; a cut thought still counts by its box."""
    assert extract_answer(text) == answer


CHOICES = [
    (r"\boxed{C}", "C"),
    (r"\boxed{\text{(C)}}", "C"),
    (r"\boxed{\mathbf{J}}", "J"),
    (r"\boxed{c}", "C"),
    (r"\boxed{(B) 5 m}", "B"),
    (r"The correct answer is $\boxed{B}$", "B"),
    ("The answer is (C).", "C"),
    ("Final Answer: The answer is (A).", "A"),
    ("Answer: C", "C"),
    ("Answer: **D**", "D"),
    ("**Answer:** B", "B"),
    (r"ANSWER: $\text{A}$", "A"),
    ("answer is option E.", "E"),
    ("The correct option is C because it fits", "C"),
    ("The answer is (A). Checking again, the answer is (D).", "D"),
    ("C", "C"),
    ("So it must be this one:\n(B)", "B"),
    (r"The answer is A, or rather \boxed{B}. The answer is A", "B"),
    ("The answer is a bit unclear", None),
    ("Answer: A proton moves faster", None),
    ("The answer is I think unclear", None),
    ("Because of that the answer cannot be known", None),
    (r"\boxed{42}", None),
    (r"\boxed{K}", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "letter"), CHOICES)
def test_choices(text: str, letter: str | None) -> None:
    """A letter A to J from the last box, else from the last phrase, and no article or pronoun."""
    assert extract_answer(text, "choice") == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("<think>The answer is (B), or is it", None),
        ("<think>The answer is (B)</think>", None),
        ("<think>The answer is (B)</think>The answer is (D)", "D"),
        (r"<think>\boxed{A}</think>The answer is (D)", "D"),
        (r"<think>\boxed{A}</think>Hence it follows.", "A"),
        (r"<think>\boxed{A} and then", "A"),
        ("<think>one</think>text<think>the answer is (C)", None),
    ],
)
def test_cut_thinking_is_no_choice(text: str, letter: str | None) -> None:
    """A phrase in thinking, finished or cut off, is never read as the answer; a box is."""
    assert extract_answer(text, "choice") == letter


def test_choice_letters() -> None:
    """A gold answer may be written as the letter or with brackets; other text names no letter."""
    letters = {"C": "C", "(C)": "C", r"\text{(C)}": "C", "C) 5 m": "C", " c. ": "C"}
    assert {answer: choice_letter(answer) for answer in letters} == letters
    assert [choice_letter(answer) for answer in ("5", "Cat", "", "x = 1", "AB", "K")] == [None] * 6


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Work.\n#### 1,234\n", "1,234"),
        ("3x = 12\n\nx = \\frac{12}{3}", r"\frac{12}{3}"),
        (r"The area: \text{Area} = \frac{1}{2} \times 6\sqrt{5} = 3\sqrt{5}.", r"3\sqrt{5}"),
        ("Thus we have 5x - 7y + 4 = 0", "0"),
        ("which simplifies to: 5x - 7y + 4 = 0", "5x - 7y + 4 = 0"),
        ("Thus $x = 5$.", None),
        ("I have no idea", None),
        ("<think>x = \\frac12", None),
        ("", None),
    ],
)
def test_unboxed_answers(text: str, answer: str | None) -> None:
    """Hash marks and a bare closing equation are answers; prose and cut thinking are not."""
    assert unboxed_answer(text) == answer


def test_closing_passage() -> None:
    """The last answer phrase, else the last paragraph with mathematics, before any check of it."""
    assert closing_passage("The answer is 5.\n\nI used 3 rules.") == "answer is 5.\n\nI used 3 rules."
    assert closing_passage("We get $x = 5$.\n\nVerification:\n\n$5 + 1 = 6$") == "We get $x = 5$."
    assert closing_passage("$x = 5$\n\nThat is all.") == "$x = 5$"
    assert closing_passage("<think>So $x = 5$, wait") is None
    assert closing_passage("<think>So $x = 5$</think>") is None
    assert closing_passage("words only") is None


def test_right_side() -> None:
    """A calculation gives its result; equations in unknowns, assignments and lists stay whole."""
    assert right_side(r"650 \times 90 = 58,500") == "58,500"
    assert right_side("x = 6 * 7 = 42") == "42"
    assert right_side("x = 42") == "x = 42"
    assert right_side("2x + y = 0") == "2x + y = 0"
    assert right_side("x = 1, x = 2") == "x = 1, x = 2"


SAME = [
    ("10{,}000", "10000"),
    ("10,000", "10000"),
    (r"10,\!000", "10000"),
    (r"11,\! 111,\! 111,\! 100", "11111111100"),
    (r"\frac{20,000}{\pi}", r"\frac{20000}{\pi}"),
    (r"\dfrac{1}{2}", r"\frac{1}{2}"),
    (r"\tfrac12", r"\frac{1}{2}"),
    (r"\frac\pi2", r"\frac{\pi}{2}"),
    (r"11\sqrt2", r"11\sqrt{2}"),
    (r"\frac9{19}", r"\frac{9}{19}"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
    (r"\left\{1,2\right\}", r"\{1, 2\}"),
    ("$5$", "5"),
    (r"\(5\)", "5"),
    (r"\[ 5 \]", "5"),
    ("5.", "5"),
    (r"\text{Evelyn}", "Evelyn"),
    (r"$\mathrm{(C)}$", "(C)"),
    (r"90^{\circ}", "90°"),
    (r"90^\circ", "90°"),
    (r"50\%", "50%"),
    ("−3", "-3"),
    ("x + 1", "x+1"),
    (r"\sin  x", r"\sin x"),
    (r"12^{\mathrm{th}}", "12"),
    (r"\$5", "5"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same_normal_form(one: str, other: str) -> None:
    """Spellings of one answer, the gold 10{,}000 of a public set of labels among them."""
    assert normal_form(one) == normal_form(other)


DIFFERENT = [
    ("1 2", "12"),
    ("1, 234", "1,234"),
    ("(1, 234)", "(1,234,)"),
    ("1.5", "15"),
    ("3 .14", "3.14"),
    ("50%", "50"),
    ("90°", "90"),
    (r"\frac123", r"\frac{1}{23}"),
    (r"\text{on}", r"\text{no}"),
    ("x_1", "x1"),
    ("0.333...", "0.333"),
    ("(1,2)", "[1,2]"),
    ("(1,2]", "(1,2)"),
    (r"\sin x", r"\sinx"),
    ("-3", "3"),
    ("a b", "ab"),
    ("5!", "5"),
    (r"\{1,2\}", "1,2"),
    ("x^{10}", "x^10"),
    (r"\text{I am}", r"\text{Iam}"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_normal_forms(one: str, other: str) -> None:
    """What may differ in meaning keeps different normal forms."""
    assert normal_form(one) != normal_form(other)


SPELLINGS = st.sampled_from(["{}", "${}$", " {} ", "{}.", r"\({}\)", r"\text{{{}}}", r"\boxed{{{}}}"])
INTEGERS = st.integers(-(10**9), 10**9)


@given(INTEGERS, INTEGERS, st.booleans(), st.booleans())
def test_integers_keep_their_value(one: int, other: int, dotted: bool, braced: bool) -> None:
    """Two integers in any spelling share a normal form exactly when they are equal."""
    first = normal_form(f"${one:,}$".replace(",", "{,}") if braced else f"{one:,}")
    second = normal_form(f"{other}." if dotted else str(other))
    assert (first == second) == (one == other)
    assert plain_number(first) == one


@given(st.decimals(-(10**6), 10**6, places=4), st.decimals(-(10**6), 10**6, places=4))
def test_decimals_keep_their_value(one: Decimal, other: Decimal) -> None:
    """Equal normal forms of decimals mean equal decimals, and the value is exact."""
    assert plain_number(normal_form(f"{one}")) == Fraction(one)
    if normal_form(f" {one} ") == normal_form(f"${other}$"):
        assert one == other


@given(INTEGERS, st.integers(1, 10**6), st.sampled_from([r"\frac{%d}{%d}", r"\dfrac{%d}{%d}", "%d/%d"]))
def test_fractions_keep_their_value(top: int, bottom: int, spelling: str) -> None:
    """A fraction of integers has its exact value in every spelling."""
    assert plain_number(normal_form(spelling % (top, bottom))) == Fraction(top, bottom)


PIECES = st.sampled_from(
    [
        *"0123456789xyab+-*/^(),.= ",
        r"\frac",
        r"\sqrt",
        "{",
        "}",
        r"\pi",
        r"\text{m}",
        r"\,",
        r"\!",
        "{,}",
        r"\ ",
    ]
)


@given(st.lists(PIECES, max_size=12), st.lists(PIECES, max_size=12))
def test_normal_form_keeps_the_signs(one: list[str], other: list[str]) -> None:
    """Equal normal forms hold the same digits, letters and operators in the same order."""
    first, second = "".join(one), "".join(other)
    if normal_form(first) == normal_form(second):
        meant = [re.sub(r"\\[,! ]|\\text|[{}\s,.$]|\\(?=$)", "", answer) for answer in (first, second)]
        assert meant[0] == meant[1]


@given(st.lists(PIECES, max_size=12))
def test_normal_form_is_stable(pieces: list[str]) -> None:
    """A normal form is its own normal form but for wrappings that only now show."""
    once = normal_form("".join(pieces))
    twice = normal_form(once)
    assert normal_form(normal_form(twice)) == normal_form(twice) or len(twice) < len(once)


def test_plain_numbers() -> None:
    """Mixed numbers are sums; a zero denominator and everything else are no plain numbers."""
    assert plain_number(normal_form(r"1 \frac{4}{5}")) == Fraction(9, 5)
    assert plain_number(".5") == Fraction(1, 2)
    for text in ("1/0", r"\frac{1}{0}", "x", "1,2", "1e5", "٣", "", "-", r"1\frac{6}{5}", "1" * 400):
        assert plain_number(text) is None, text


def test_words_and_bases() -> None:
    """Words compare as words, a subscript is a base, and no number is a word."""
    assert same_word(r"\text{even}", "Even") is True
    assert same_word(r"\text{on}", "no") is False
    assert same_word(r"\text{five}", "5") is False
    assert same_word("on", "no") is None
    assert same_word(r"\text{e}", "e") is None
    assert based_number(normal_form("204_{5}")) == based_number("204_5") == ("204", "5")
    assert based_number("204") is None


HARD = [
    r"\boxed{" * 15000,
    r"\boxed{" + "{" * 100_000,
    r"\boxed 5 " * 10000,
    "{" * 100_000,
    "}" * 100_000,
    "$" * 100_000,
    " " * 100_000,
    "\n \n" * 33_000,
    "answer is" + " " * 100_000,
    "answer is " * 10_000,
    "answer: " + "(" * 100_000,
    r"\text{ " * 20_000,
    "= " * 50_000,
    "a = " * 25_000 + r"\x",
    "a." * 50_000,
    "1," * 50_000,
    r"\left" * 20_000,
    r"\frac" * 20_000,
    "\ud800" * 100_000,
    "\u2028" * 100_000,
]


@pytest.mark.parametrize("text", HARD, ids=range(len(HARD)))
def test_hard_texts_take_no_time(text: str) -> None:
    """100,000 characters of lone surrogates, line separators or unbalanced braces end at once."""
    started = time.process_time()
    for kind in ("math", "choice"):
        extract_answer(text, kind)
    unboxed_answer(text), closing_passage(text), choice_letter(text), right_side(text)
    plain_number(normal_form(text)), same_word(r"\text{word}", text)
    assert time.process_time() - started < 5
