"""Exchange files: every wrong line is named, torn tails are survived, odd characters round-trip."""

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prm_eval.candidates import candidate_row, parse_candidate, read_candidates, read_scores
from prm_eval.errors import DataError
from prm_eval.records import Appender, dumps, read_rows, write_rows

ROW = {"problem_id": "p1", "problem": "1+1?", "answer": "2", "index": 0, "response": "2"}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", "expected a JSON object, found a list"),
        ({**ROW, "index": None}, "field 'index': expected a whole number from 0, found null"),
        ({**ROW, "index": True}, "field 'index': expected a whole number from 0, found true/false"),
        ({**ROW, "index": -1}, "field 'index': expected a whole number from 0, found a number -1"),
        ({**ROW, "index": 1.5}, "field 'index': expected a whole number from 0, found a number 1.5"),
        ({key: ROW[key] for key in ROW if key != "response"}, "field 'response' is missing: expected text"),
        ({**ROW, "response": 7}, "field 'response': expected text, found a number 7"),
        ({**ROW, "correct": "yes"}, "field 'correct': expected true, false or null, found text"),
        ({**ROW, "steps": ["a", 3]}, "field 'steps[1]': expected text or {text, part}, found a number 3"),
        ({**ROW, "steps": [{"text": "a", "part": "end"}]}, "steps[0].part"),
        ({**ROW, "meta": 3}, "field 'meta': expected an object"),
        ('{"problem_id": "p", "problem": "", "answer": NaN, "index": 0, "response": ""}', "NaN is not JSON"),
    ],
)
def test_wrong_line_is_named(tmp_path: Path, row: object, complaint: str) -> None:
    """A wrong line is one DataError with the file, the line number and the field."""
    path = write(tmp_path / "c.jsonl", {**ROW, "index": 5}, row)
    with pytest.raises(DataError) as error:
        read_candidates(path)
    assert f"{path}:2: " in str(error.value)
    assert complaint in str(error.value)


def test_duplicate_candidate(tmp_path: Path) -> None:
    """Two lines for one (problem_id, index) name both lines."""
    path = write(tmp_path / "c.jsonl", ROW, {**ROW, "index": 1}, ROW)
    with pytest.raises(DataError, match=r":3: problem_id 'p1' index 0 stands on line 1 too"):
        read_candidates(path)


def test_one_problem_two_answers(tmp_path: Path) -> None:
    """The same problem_id with another gold answer is a mix-up, not a choice."""
    path = write(tmp_path / "c.jsonl", ROW, {**ROW, "index": 1, "answer": "3"})
    with pytest.raises(DataError, match="field 'answer': differs from line 1"):
        read_candidates(path)


def test_empty_and_missing_files(tmp_path: Path) -> None:
    """An empty file and a file that is not there are said so."""
    with pytest.raises(DataError, match="no candidates in it"):
        read_candidates(write(tmp_path / "empty.jsonl"))
    with pytest.raises(DataError, match="cannot be read"):
        read_candidates(tmp_path / "missing.jsonl")


def test_torn_last_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A torn tail is an error to a reader, and dropped with a notice on resume."""
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps(ROW)[:20])
    with pytest.raises(DataError, match=r":2: not JSON.*the last line is torn"):
        list(read_rows(path))
    with caplog.at_level(logging.WARNING, "prm_eval"):
        assert [line for line, _ in read_rows(path, drop_torn_tail=True)] == [1]
    assert "torn last line" in caplog.text


def test_appender_cuts_a_torn_tail(tmp_path: Path) -> None:
    """Appending after a crash never glues two lines together, however long the torn one is."""
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + '{"response": "' + "x" * 200_000)
    with Appender(path) as file:
        file.append([{"a": 1}])
    assert [row for _, row in read_rows(path)] == [ROW, {"a": 1}]


def test_line_separators_do_not_split_lines(tmp_path: Path) -> None:
    """U+2028, U+0085 and form feeds inside a response leave it in one line."""
    row = {**ROW, "response": "a\u2028b\u0085c\x0cd\x1ee"}
    path = tmp_path / "c.jsonl"
    write_rows(path, [row])
    assert read_candidates(path)[0].text == row["response"]


def test_lone_surrogates_are_read_as_replacement(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A half emoji is written as an escape, read as U+FFFD, and counted in a notice."""
    path = tmp_path / "c.jsonl"
    write_rows(path, [{**ROW, "response": "half \ud83d", "steps": ["half \ud83d"]}])
    with caplog.at_level(logging.WARNING, "prm_eval"):
        candidate = read_candidates(path)[0]
    assert candidate.text == "half \ufffd"
    assert candidate.steps is not None
    assert candidate.steps[0].text == "half \ufffd"
    assert "1 responses hold lone surrogates" in caplog.text


def test_prediction_in_meta() -> None:
    """An extracted answer that a data set keeps in meta counts where the line has none of its own."""
    assert parse_candidate({**ROW, "meta": {"prediction": "3"}}, "f", 1).prediction == "3"
    assert parse_candidate({**ROW, "meta": {"prediction": "3"}, "prediction": 4}, "f", 1).prediction == "4"


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
ROWS = st.fixed_dictionaries(
    {"problem_id": TEXT, "problem": TEXT, "index": st.integers(0, 99), "response": TEXT},
    optional={
        "answer": st.none() | TEXT,
        "prediction": st.none() | TEXT,
        "correct": st.none() | st.booleans(),
        "subset": st.none() | TEXT,
        "steps": st.none()
        | st.lists(TEXT | st.fixed_dictionaries({"text": TEXT, "part": st.just("thinking")})),
        "meta": st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers()),
        "their_own_key": st.integers(),
    },
)


@given(ROWS)
def test_candidate_round_trip(row: dict[str, object]) -> None:
    """What is read is written back: every given key keeps its value, unknown ones included."""
    again = candidate_row(parse_candidate(json.loads(dumps(row)), "file", 1))
    for key, value in row.items():
        assert again[key] == value


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"score": "high"}, "field 'score': expected a number or null"),
        ({"score": None}, "all empty"),
        ({"steps": [0.1, "x"]}, "steps[1]"),
        ({"steps": [0.1, None]}, "steps"),
        ({"unscored": "too long"}, "stands beside a score"),
    ],
)
def test_wrong_score_line(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    """A wrong line of scores.jsonl names its field."""
    row = {"problem_id": "p1", "index": 0, "model": "m", "score": 0.5, **change}
    with pytest.raises(DataError) as error:
        read_scores(write(tmp_path / "s.jsonl", row))
    assert complaint in str(error.value)


def test_candidate_scored_twice(tmp_path: Path) -> None:
    """One model scores a candidate once; two models may share a file."""
    row = {"problem_id": "p1", "index": 0, "model": "m", "score": 0.5}
    assert len(read_scores(write(tmp_path / "s.jsonl", row, {**row, "model": "other"}))) == 2
    with pytest.raises(DataError, match="on line 1 too"):
        read_scores(write(tmp_path / "t.jsonl", row, row))
