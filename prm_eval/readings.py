"""What a simple LaTeX answer is worth at one fixed point of its letters, without a computer algebra.

Invariant: a reading exists only where the notation has one meaning; everything else has none. Readings
that clearly differ prove two answers different (and so save a symbolic proof); near ones prove nothing.
"""

import cmath
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from prm_eval.answers import plain_number

# math-verify rounds to 6 decimals and to 15 digits: what is nearer than this it must decide itself.
_NEAR, _NEAR_RELATIVE = 1e-5, 1e-9
_LOST = 1e-6  # a divisor below this share of its summands has lost too many digits
_LONGEST = 400
_LARGEST = 10**300

_TOKEN = re.compile(
    r" *(?:(?P<number>\d+(?:\.\d+)?)|\\(?P<command>frac|sqrt|cdot|times|sin|cos|tan|cot|sec|csc)(?![a-zA-Z])"
    r"|(?P<symbol>[a-zA-Z]|\\(?:pi|alpha|beta|gamma|theta|lambda|phi|omega)(?![a-zA-Z]))"
    r"|(?P<mark>[-+*/^{}()\[\]]))"
)
_COMMAND = re.compile(r"\\[a-zA-Z]+")
# Words, differentials, 2e3, and endings that math-verify takes for units.
_UNSURE_LETTERS = re.compile(r"[a-zA-Z]{3}|or|pi|[dD][a-zA-Z]|\d[eE]|[othclsgmd] *$|[a-zA-Z]{2} *$")
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "cot": lambda angle: 1 / cmath.tan(angle),
    "sec": lambda angle: 1 / cmath.cos(angle),
    "csc": lambda angle: 1 / cmath.sin(angle),
}
_OPENING = {("mark", "("), ("command", "frac"), ("command", "sqrt")}
_UNIT = re.compile(r"(?<=[\d}])\s*\\(?:text|mbox)\{[^{}\\]*\}(?:\^\d)?$")
_DEGREES = re.compile(r"(-?\d+(?:\.\d+)?)°")
_MATRIX = re.compile(r"\\begin\{([pb]?matrix)\}(.*)\\end\{\1\}")
_ASSIGNED = re.compile(r"([a-zA-Z])=([^=<>]+)")
_MEMBER = re.compile(r"^[a-zA-Z]\\in(?=[(\[])")
_UNION = re.compile(r"[(\[][^()\[\]]+[)\]](?:\\cup[(\[][^()\[\]]+[)\]])+")
_EQUATION = "="
_SIDE = r"-?(?:\d{0,9}[a-zA-Z]|\d{1,9})(?:[-+](?:\d{0,9}[a-zA-Z]|\d{1,9}))*"
_LINEAR = re.compile(rf"{_SIDE}={_SIDE}")
_LETTER = re.compile(r"[a-zA-Z]")
_BASE = re.compile(r"(\d+)_(?:\d|\{\d+\})")
_TERM = re.compile(r"([-+]?)(\d*)([a-zA-Z]?)")
_INFINITE = {"\\infty": (complex(1e9, 1e9), 1.0), "-\\infty": (complex(-1e9, 1e9), 1.0)}
_LIST = re.compile(r"[(\[]([^()\[\]]*,[^()\[\]]*)[)\]]|\\\{(.*)\\\}|([^()\[\]]*,[^()\[\]]*)")


@dataclass(frozen=True, slots=True)
class Reading:
    """The values of an answer's parts (one for a scalar), the largest magnitude met while computing
    them, and the letter that they are assigned to ("=": coefficients of a linear equation)."""

    values: tuple[complex, ...]
    magnitude: float
    name: str | None = None


def reading(normal: str) -> Reading | None:
    """The reading of a normal form (`answers.normal_form`), None where there is no certain one."""
    plain = plain_number(normal)
    if plain is not None and abs(plain) < _LARGEST:
        return Reading((complex(float(plain)),), float(abs(plain)))
    if len(normal) > _LONGEST:
        return None
    body, name = _MEMBER.sub("", _UNIT.sub("", normal)), None
    linear = _LINEAR.fullmatch(body)
    if linear and len(set(_LETTER.findall(body))) > 1:
        return _linear(body)
    assigned = _ASSIGNED.fullmatch(body)
    if assigned:
        name, body = assigned.groups()
        if name in _COMMAND.sub("", body):
            return None  # an equation for the letter, not its value
    kept = _DEGREES.fullmatch(body) or _BASE.fullmatch(body)  # math-verify drops the degree and the base
    parts = [
        part.replace("\\pm", sign)
        for part in _parts(kept.group(1) if kept else body)
        for sign in (("+", "-") if part.count("\\pm") == 1 else ("\\pm",))
    ]
    try:
        computed = [_INFINITE.get(part.strip()) or _Expression(part).result() for part in parts]
        values = [number for number, _ in computed]
        values = _merged(body, values) if _UNION.fullmatch(body) else values
    except (ArithmeticError, ValueError, RecursionError):
        return None
    return Reading(tuple(values), max(size for _, size in computed), name)


def clearly_differ(one: Reading | None, other: Reading | None) -> bool:
    """Whether some part of one answer has no counterpart in the other, in any order."""
    if one is None or other is None:
        return False
    names = {one.name, other.name}
    if len(names) > 1 and (None not in names or _EQUATION in names):
        return False
    near = _NEAR + _NEAR_RELATIVE * max(one.magnitude, other.magnitude)
    return any(
        all(abs(value - counterpart) > near for counterpart in others.values)
        for own, others in ((one, other), (other, one))
        for value in own.values
    )


def _linear(equation: str) -> Reading | None:
    """Coefficients with the first letter's made 1, so that multiples of an equation read the same."""
    left, right = equation.split("=")
    totals: dict[str, int] = {}
    for side, weight in ((left, 1), (right, -1)):
        for sign, number, letter in _TERM.findall(side):
            if number or letter:
                total = weight * int(sign + (number or "1"))
                totals[letter.lower()] = totals.get(letter.lower(), 0) + total
    letters = sorted(letter for letter, total in totals.items() if letter and total)
    if not letters:
        return None
    first = totals[letters[0]]
    values = [complex(totals[letter] / first, ord(letter)) for letter in letters]
    return Reading((*values, complex(totals.get("", 0) / first)), 1.0, _EQUATION)


def _merged(union: str, ends: list[complex]) -> list[complex]:
    """The ends of a union of intervals once those that overlap are joined; ValueError where unsure."""
    found: list[complex] = []
    for start, end in sorted(zip(ends[::2], ends[1::2], strict=True), key=lambda pair: pair[0].real):
        touching = found and start.real == found[-1].real and ("]" in union or "[" in union)
        if start.real >= end.real or touching:
            raise ValueError("an empty interval, or a closed end that may join two")
        if found and start.real < found[-1].real:
            found[-1] = max(found[-1], end, key=lambda value: value.real)
        else:
            found += [start, end]
    return found


def _parts(body: str) -> list[str]:
    if _UNION.fullmatch(body):
        return re.split(r",|\\cup", re.sub(r"[()\[\]]", "", body))
    matrix = _MATRIX.fullmatch(body)
    if matrix:
        return re.split(r"\\\\|&", matrix.group(2))
    listed = _LIST.fullmatch(body)
    if listed and not re.search(r",\d{3}(?!\d)", body):
        return next(group for group in listed.groups() if group is not None).split(",")
    return [body]


class _Expression:
    """Recursive descent over one expression; ValueError where it is not plain arithmetic."""

    def __init__(self, text: str) -> None:
        if _UNSURE_LETTERS.search(_COMMAND.sub(" ", text)):
            raise ValueError("no certain meaning")
        self._tokens: list[tuple[str, str]] = []
        self._at, self._magnitude, end, text = 0, 0.0, 0, text.strip()
        while end < len(text):
            found = _TOKEN.match(text, end)
            if not found or not found.lastgroup:
                raise ValueError("not plain arithmetic")
            self._tokens.append((found.lastgroup, found.group(found.lastgroup)))
            end = found.end()

    def result(self) -> tuple[complex, float]:
        """Value and largest magnitude on the way."""
        value = self._sum()
        if self._at < len(self._tokens) or not cmath.isfinite(value):
            raise ValueError("not plain arithmetic")
        return value, self._magnitude

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _take(self, mark: str) -> bool:
        found = self._next() == ("mark", mark)
        self._at += found
        return found

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            raise ValueError(f"no {mark}")

    def _kept(self, value: complex) -> complex:
        self._magnitude = max(self._magnitude, abs(value))
        return value

    def _sum(self) -> complex:
        sign = -1 if self._take("-") else 1
        if sign == 1:
            self._take("+")
        total = sign * self._product()
        while self._next() in (("mark", "+"), ("mark", "-")):
            sign = 1 if self._take("+") or not self._take("-") else -1
            total = self._kept(total + sign * self._product())
        return total

    def _product(self) -> complex:
        value = self._power()
        while True:
            kind, text = self._next()
            if text in ("*", "cdot", "times"):
                self._at += 1
                value *= self._power()
            elif self._take("/"):
                value = self._quotient(value, self._power())
                if self._next()[1] not in ("", "+", "-", ")", "}"):
                    raise ValueError("a quotient with two readings")
            elif kind == "symbol" or (kind, text) in _OPENING:
                previous = self._tokens[self._at - 1][0]
                if (previous, text) in (("symbol", "("), ("number", "frac")):
                    raise ValueError("a function or a mixed number")
                value *= self._power()
            else:
                return self._kept(value)

    def _power(self) -> complex:
        base = self._primary()
        if not self._take("^"):
            return base
        if self._take("{"):
            exponent = self._sum()
            self._expect("}")
        else:
            exponent = self._single()
        if self._next() == ("mark", "^") or abs(exponent) > 1000:
            raise ValueError("no certain power")
        if exponent != round(exponent.real) or exponent.real < 0:
            self._sure(base)
        return self._kept(_principal(base, exponent))

    def _primary(self) -> complex:
        kind, text = self._next()
        if kind == "number":
            self._at += 1
            return self._kept(complex(float(text)))
        if kind == "symbol":
            return self._single()
        if self._take("("):
            value = self._sum()
            self._expect(")")
            return value
        self._at += 1
        if (kind, text) == ("command", "frac"):
            return self._quotient(self._group(), self._group())
        if text in _FUNCTIONS:
            return self._function(_FUNCTIONS[text])
        if (kind, text) != ("command", "sqrt"):
            raise ValueError(f"no value for {text}")
        index = 2.0
        if self._take("["):
            index = self._single().real
            self._expect("]")
        radicand = self._group() if self._next() == ("mark", "{") else self._single()
        return self._kept(_principal(self._sure(radicand), complex(1 / index)))

    def _function(self, function: Callable[[complex], complex]) -> complex:
        value = function(self._single())
        if self._next()[1] not in ("", "+", "-", ")", "}"):
            raise ValueError("an argument with two readings")
        return self._kept(value)

    def _group(self) -> complex:
        self._expect("{")
        value = self._sum()
        self._expect("}")
        return value

    def _single(self) -> complex:
        """One digit or symbol, as TeX takes an argument without braces."""
        kind, text = self._next()
        self._at += 1
        if kind == "number" and len(text) == 1:
            return complex(float(text))
        if kind != "symbol":
            raise ValueError("no certain argument")
        constant = {"\\pi": cmath.pi, "e": cmath.e, "i": 1j}.get(text.lower())
        if constant is not None:
            return complex(constant)
        # Any value will do: expressions that differ at one point are not identical.
        return complex(0.3 + zlib.crc32(text.lower().encode()) / 2**32)

    def _quotient(self, top: complex, bottom: complex) -> complex:
        return self._kept(top / self._sure(bottom))

    def _sure(self, value: complex) -> complex:
        if abs(value) <= _LOST * self._magnitude:
            raise ValueError("lost in rounding")
        return value


def _principal(base: complex, exponent: complex) -> complex:
    if base.real < 0 and abs(base.imag) < 1e-12 * abs(base):
        base = complex(base.real, 0.0)  # the principal branch, not its mirror image at -0.0
    return complex(base**exponent)
