"""Steps: splitting a response and joining it back."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prm_eval.steps import candidate_steps, join_steps
from prm_eval.types import Candidate, Problem, Step

DATA = Path(__file__).parents[2] / "../shared/data/math500-candidates.jsonl"
PROBLEM = Problem("p", "1 + 1?")


def steps_of(text: str, separator: str = "\n\n") -> list[tuple[str, str]]:
    """(part, text) of each step of a response."""
    return [(s.part, s.text) for s in candidate_steps(Candidate(PROBLEM, 0, text), separator)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        (" \n\n \r\n\t", []),
        ("one", ["one"]),
        ("one\ntwo", ["one\ntwo"]),
        ("one\n\ntwo", ["one", "two"]),
        ("one\r\n\r\ntwo\r\nmore", ["one", "two\r\nmore"]),
        ("\n\none\n\n\n\n\ntwo\n\n", ["one", "two"]),
        ("one\n  \t\n\n  two", ["one", "  two"]),
        ("one\n", ["one"]),
    ],
)
def test_blank_lines(text: str, pieces: list[str]) -> None:
    """Runs of blank lines divide, CR LF is tolerated, empty pieces go, indentation stays."""
    assert steps_of(text) == [("response", piece) for piece in pieces]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>\na\n\nb\n</think>\n\nc", [("thinking", "a"), ("thinking", "b"), ("response", "c")]),
        ("a\n\nb</think>c", [("thinking", "a"), ("thinking", "b"), ("response", "c")]),
        ("<think>a\n\nb", [("thinking", "a"), ("thinking", "b")]),
        ("<think>a</think>", [("thinking", "a")]),
        ("<think></think>\n\nc", [("response", "c")]),
        ("<think>", []),
        ("a </think> b </think> c", [("thinking", "a "), ("response", " b </think> c")]),
        ("the tag <think> opens", [("response", "the tag <think> opens")]),
    ],
)
def test_thinking(text: str, expected: list[tuple[str, str]]) -> None:
    """The first closing tag ends the thinking; thinking that is never closed is all there is."""
    assert steps_of(text) == expected


def test_own_steps_win() -> None:
    """Steps that the data gives are taken as they are, even none at all."""
    own = (Step("a\n\nb"), Step(""))
    assert candidate_steps(Candidate(PROBLEM, 0, "x\n\ny", own)) == own
    assert candidate_steps(Candidate(PROBLEM, 0, "x\n\ny", ())) == ()


def test_other_separator() -> None:
    """Another separator is taken literally."""
    assert steps_of("a.b\n\n..c", ".") == [("response", "a"), ("response", "b"), ("response", "c")]


lines = st.text(alphabet="ab =1.\t\\$", min_size=1).filter(str.strip)
texts = st.lists(lines, min_size=1, max_size=3).map("\n".join)


@given(thinking=st.lists(texts, max_size=4), response=st.lists(texts, max_size=4))
def test_round_trip(thinking: list[str], response: list[str]) -> None:
    """Joined steps split into the same steps, parts included."""
    steps = tuple([Step(t, "thinking") for t in thinking] + [Step(t) for t in response])
    assert candidate_steps(Candidate(PROBLEM, 0, join_steps(steps))) == steps


@pytest.mark.skipif(not DATA.is_file(), reason="the recorded candidates are not here")
def test_recorded_steps() -> None:
    """Our split of the recorded responses is the split that their authors recorded."""
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    own = [row for row in rows if row.get("steps")]
    assert len(own) == 496  # the other four responses are empty
    different = [
        r for r in own if [t.strip() for _, t in steps_of(r["response"])] != [s.strip() for s in r["steps"]]
    ]
    assert different == []
