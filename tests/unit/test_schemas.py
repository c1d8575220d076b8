"""The JSON Schemas that ship agree with the readers, line by line."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import prm_eval
from prm_eval.candidates import candidate_row, parse_candidate, read_scores, score_row
from prm_eval.errors import DataError
from prm_eval.testing import candidate
from prm_eval.types import Score, Unscored

FOLDER = Path(prm_eval.__file__).parent / "schemas"
ROW = {"problem_id": "p", "problem": "?", "index": 0, "response": "x"}


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("name", [path.name.partition(".")[0] for path in sorted(FOLDER.glob("*.json"))])
def test_schemas_are_valid(name: str) -> None:
    """Each file is itself a valid JSON Schema."""
    jsonschema.Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize(
    "change",
    [
        {}, {"answer": 5}, {"answer": None}, {"steps": ["a", {"text": "b", "part": "thinking"}]}, {"correct": True},
        {"index": -1}, {"index": "0"}, {"response": None}, {"correct": 1}, {"steps": "a"}, {"steps": [1]},
        {"steps": [{"part": "thinking"}]}, {"meta": []}, {"subset": 3}, {"problem": 4}, {"extra": 1},
    ],
)  # fmt: skip
def test_candidates_schema_agrees_with_the_reader(change: dict[str, Any]) -> None:
    """A line is valid for the schema exactly when the reader takes it."""
    row = {**ROW, **change}
    try:
        parse_candidate(row, "f", 1)
        read = True
    except DataError:
        read = False
    assert jsonschema.Draft202012Validator(schema("candidates")).is_valid(row) == read


def test_written_lines_are_valid() -> None:
    """What we write follows our own schemas, and scores come back as they were."""
    jsonschema.validate(candidate_row(candidate("x")), schema("candidates"))
    for result in (Score(0.5, (0.5,)), Score(-3.0), Unscored("too long: 5 tokens")):
        jsonschema.validate(score_row(candidate("x"), "m", result, "last", "k"), schema("scores"))


def test_scores_round_trip(tmp_path: Path) -> None:
    """A score written and read is the same number, to the last bit."""
    path = tmp_path / "s.jsonl"
    path.write_text(
        json.dumps(score_row(candidate("x"), "m", Score(0.1 + 0.2, (1 / 3,)), "last", None)) + "\n"
    )
    row = read_scores(path)[0]
    assert (row.value, row.steps, row.aggregation) == (0.1 + 0.2, (1 / 3,), "last")
