r"""Readings of simple LaTeX: right where there is one, and never proof against what math-verify calls equal."""

import json
import math
import random
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prm_eval.answers import extract_answer, normal_form
from prm_eval.readings import Reading, clearly_differ, reading

DATA = Path(__file__).parents[2] / "../shared/data/math500-candidates.jsonl"


def read(answer: str) -> Reading | None:
    return reading(normal_form(answer))


VALUES = [
    ("7", 7),
    ("-7", -7),
    (r"\frac{3}{4}", 0.75),
    (r"-\frac{3}{4}", -0.75),
    (r"1 \frac{4}{5}", 1.8),
    (r"3\sqrt{13}", 3 * math.sqrt(13)),
    (r"\sqrt[3]{8}", 2),
    (r"\frac{\sqrt{21}}{5}", math.sqrt(21) / 5),
    (r"2\pi", 2 * math.pi),
    (r"\frac{20000}{\pi}", 20000 / math.pi),
    ("6+9i", 6 + 9j),
    (r"2^{10}", 1024),
    (r"-2^2", -4),
    (r"2 \cdot 3 + 1", 7),
    (r"(1 - \sqrt{2})(1 + \sqrt{2})", -1),
    (r"90^\circ", 90),
    (r"5\text{ cm}", 5),
    (r"15\mbox{ cm}^2", 15),
    ("x = 5", 5),
    (r"\$32,\!348", 32348),
    ("52_8", 52),
    (r"6 - 4/2", 4),
    (r"e^{i\pi}", -1),
]


@pytest.mark.parametrize(("answer", "value"), VALUES)
def test_values(answer: str, value: complex) -> None:
    """Hand-computed values of plain answers."""
    found = read(answer)
    assert found is not None
    assert len(found.values) == 1
    assert abs(found.values[0] - value) < 1e-9 * max(1, abs(value))


UNSURE = [
    "1/2x",
    "2^10",
    "x(x+1)",
    r"2\frac{x}{3}",
    "5m",
    "3t",
    "ab",
    "word",
    r"\text{even}",
    "5!",
    "1 2",
    "a^b^c",
    r"\log x",
    r"\sin 2x",
    r"50\%",
    "x^2 = 4",
    "x = 2x - 1",
    r"(3,0) \cup (2,5)",
    r"(0,9] \cup (9,36)",
    "1 < x < 3",
    r"\frac{1}{0}",
    r"\frac{1}{\sqrt{2}\sqrt{3} - \sqrt{6}}",
    "",
    "{",
    "x" * 500,
    "(" * 350,
    "2e3",
]


@pytest.mark.parametrize("answer", UNSURE)
def test_no_guesses(answer: str) -> None:
    """What has two meanings, ends like a unit or loses its digits has no reading."""
    assert read(answer) is None


DIFFER = [
    ("(1,2)", "(1,3)"),
    ("1,2", "1,2,3"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 3 \end{pmatrix}"),
    ("5x - 7y + 11z + 4 = 0", "5x - 7y + 11z + 5 = 0"),
    ("y = -2x", "y = 2x"),
    (r"(-\infty, 2)", r"(2, \infty)"),
    (r"(0,9) \cup (9,36)", r"(0,9) \cup (9,35)"),
    (r"(0,3) \cup (2,5)", "(0,6)"),
    (r"(0,3) \cup (2,5)", r"(0,2) \cup (3,5)"),
    (r"1 \pm \sqrt{19}", r"1 \pm \sqrt{17}"),
    ("x+1", "x+2"),
    ("x = 5", "6"),
    (r"\cot x", r"\tan x"),
]


@pytest.mark.parametrize(("one", "other"), DIFFER)
def test_differ(one: str, other: str) -> None:
    """Lists, matrices, intervals and linear equations with one part changed clearly differ."""
    assert clearly_differ(read(one), read(other))
    assert clearly_differ(read(other), read(one))


NOT_PROVED = [
    ("0.333333", r"\frac{1}{3}"),
    ("1,2", "2,1"),
    ("(1,2)", "[1,2]"),
    (r"(2,5) \cup (0,3)", "(0,5)"),
    (r"(-\infty,9) \cup (3,\infty)", r"(-\infty,\infty)"),
    ("2x + 2y = 2", "x + y = 1"),
    ("y = -2x", "2x + y = 0"),
    ("x = 5", "5"),
    ("y = -2x", "-2x"),
    ("x = 1", "y = 2"),
    (r"\sqrt{x^2}", "x"),
    (r"-1 + 2x", "2x - 1"),
    (r"1 \pm \sqrt{19}", r"1 - \sqrt{19}, 1 + \sqrt{19}"),
    (r"10^{20}", r"10^{20} + 1"),
]


@pytest.mark.parametrize(("one", "other"), NOT_PROVED)
def test_near_ones_prove_nothing(one: str, other: str) -> None:
    """Equal or nearly equal answers, and equations of other shapes, are left to math-verify."""
    assert not clearly_differ(read(one), read(other))


def expressions() -> st.SearchStrategy[tuple[str, Fraction]]:
    """LaTeX and its exact value, built side by side."""
    leaf = st.integers(0, 99).map(lambda n: (str(n), Fraction(n)))

    def grow(inner: st.SearchStrategy[tuple[str, Fraction]]) -> st.SearchStrategy[tuple[str, Fraction]]:
        two = st.tuples(inner, inner)
        return st.one_of(
            two.map(lambda p: (f"({p[0][0]} + {p[1][0]})", p[0][1] + p[1][1])),
            two.map(lambda p: (f"({p[0][0]} - {p[1][0]})", p[0][1] - p[1][1])),
            two.map(lambda p: (rf"{p[0][0]} \cdot {p[1][0]}", p[0][1] * p[1][1])),
            two.filter(lambda p: p[1][1] != 0).map(
                lambda p: (rf"(\frac{{{p[0][0]}}}{{{p[1][0]}}})", p[0][1] / p[1][1])
            ),
            inner.map(lambda p: (f"({p[0]})^{{2}}", p[1] ** 2)),
            inner.map(lambda p: (f"(-{p[0]})", -p[1])),
        )

    return st.recursive(leaf, grow, max_leaves=6)


@settings(deadline=None)
@given(expressions())
def test_against_exact_arithmetic(built: tuple[str, Fraction]) -> None:
    """Whatever has a reading has the value of exact rational arithmetic, within its stated precision."""
    latex, value = built
    found = read(latex)
    if found is not None:
        assert abs(found.values[0] - complex(float(value))) <= 1e-9 * max(found.magnitude, 1)


def test_never_against_math_verify() -> None:
    """On pairs of real answers to MATH-500, a clear difference is one to math-verify too (sampled)."""
    math_verify = pytest.importorskip("math_verify")
    if not DATA.exists():
        pytest.skip(f"no {DATA.name} beside the repository")
    lines = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    recorded = {extract_answer(line["response"]) for line in lines} - {None}
    answers = sorted({line["answer"] for line in lines} | {str(answer) for answer in recorded})
    rng = random.Random(0)
    pairs = [tuple(rng.sample(answers, 2)) for _ in range(400)]
    differing = [pair for pair in pairs if clearly_differ(read(pair[0]), read(pair[1]))]
    assert len(differing) > 240
    for one, other in differing:
        parsed = [math_verify.parse(f"\\boxed{{{answer}}}") for answer in (one, other)]
        assert not math_verify.verify(*parsed), (one, other)
