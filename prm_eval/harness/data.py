"""The data sets of the tasks: a local file, else the hub, as rows of one shape.

Invariant: every row has problem_id (unique), problem, answer, answer_kind, subset and level. What was
tried and how to give a file is said in one line when nothing is found.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prm_eval.errors import DataError, UsageError
from prm_eval.harness.choices import LETTERS, lettered
from prm_eval.harness.tables import Row, read_table

# The hub's own column names beside ours: MATH-500, GPQA, Maxwell-Jia/AIME_2024, math-ai/aime25.
_COLUMNS = {
    "problem_id": ("problem_id", "unique_id", "Record ID", "ID", "id"),
    "problem": ("problem", "Problem", "question", "Question"),
    "answer": ("answer", "Answer", "Correct Answer"),
    "subset": ("subset", "subject", "High-level domain"),
    "level": ("level",),
}
_WRONG = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a task's data lies on the hub, and whether it is multiple choice."""

    task: str
    hub: str
    config: str | None
    split: str
    choice: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that names a local file."""
        return f"PRM_EVAL_DATA_{self.task.upper()}"


MATH500 = Source("math500", "HuggingFaceH4/MATH-500", None, "test")
GPQA_DIAMOND = Source("gpqa_diamond", "Idavidrein/gpqa", "gpqa_diamond", "train", choice=True)
GPQA_MAIN = Source("gpqa_main", "Idavidrein/gpqa", "gpqa_main", "train", choice=True)
AIME24 = Source("aime24", "Maxwell-Jia/AIME_2024", None, "train")
AIME25 = Source("aime25", "math-ai/aime25", None, "test")


# lm-eval passes the whole metadata (version, model arguments, what the user adds) as keyword
# arguments, so these five must take any; only `data` is looked at, or `--metadata n=3` would
# quietly cut the data set.
def math500(**metadata: Any) -> dict[str, Any]:
    """MATH-500 for `custom_dataset`."""
    return dataset(MATH500, metadata)


def gpqa_diamond(**metadata: Any) -> dict[str, Any]:
    """GPQA diamond for `custom_dataset`."""
    return dataset(GPQA_DIAMOND, metadata)


def gpqa_main(**metadata: Any) -> dict[str, Any]:
    """GPQA main for `custom_dataset`."""
    return dataset(GPQA_MAIN, metadata)


def aime24(**metadata: Any) -> dict[str, Any]:
    """AIME 2024 for `custom_dataset`."""
    return dataset(AIME24, metadata)


def aime25(**metadata: Any) -> dict[str, Any]:
    """AIME 2025 for `custom_dataset`."""
    return dataset(AIME25, metadata)


def dataset(source: Source, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """{"test": datasets.Dataset} as lm-eval wants it."""
    from datasets import Dataset

    return {"test": Dataset.from_list(load(source, metadata))}


def load(source: Source, metadata: Mapping[str, Any]) -> list[Row]:
    """The rows of a task: `data` of the metadata, else the environment variable, else the hub.

    Raises UsageError when there is none, DataError when a file or a row is not as expected.
    """
    given = metadata.get("data") or os.environ.get(source.variable)
    places = read_table(Path(str(given)).expanduser()) if given else _from_hub(source)
    rows = [_normal(source, place, row) for place, row in places]
    _refuse_doubles(rows, [place for place, _ in places])
    return rows


def _from_hub(source: Source) -> list[tuple[str, Row]]:
    from datasets import load_dataset

    try:
        found = load_dataset(source.hub, source.config, split=source.split)
    except Exception as error:  # the hub fails in many ways: offline, gated, moved
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"no data for {source.task}: data= was not given, {source.variable} is not set and the hub's"
            f" {source.hub} gave {type(error).__name__} ({reason}): name a local .jsonl, .json, .csv or"
            f" .parquet file with {source.variable}=FILE or --metadata data=FILE"
        ) from error
    return [(f"{source.hub}:row {number}", dict(row)) for number, row in enumerate(found, start=1)]


def _normal(source: Source, place: str, row: Row) -> Row:
    problem, answer = _text(place, row, "problem").strip(), _text(place, row, "answer").strip()
    if source.choice:
        problem, answer = _choice(place, row, problem, answer)
    found = {name: _first(row, _COLUMNS[name]) for name in ("problem_id", "subset", "level")}
    # without an id of its own a problem is named by its text, which does not move when rows do
    name = found["problem_id"] or f"{source.task}-{hashlib.sha256(problem.encode()).hexdigest()[:12]}"
    return {
        "problem_id": name,
        "problem": problem,
        "answer": answer,
        "answer_kind": "choice" if source.choice else None,
        "subset": found["subset"],
        "level": found["level"],
    }


def _choice(place: str, row: Row, question: str, answer: str) -> tuple[str, str]:
    wrong = [str(row[column]).strip() for column in _WRONG if row.get(column) is not None]
    if len(wrong) == len(_WRONG):
        return lettered(question, answer, wrong)
    if not wrong and answer in LETTERS:
        return question, answer  # our own shape: the options stand in the problem already
    raise DataError(place, f"expected the columns {', '.join(_WRONG)}, or an answer that is one of {LETTERS}")


def _text(place: str, row: Row, name: str) -> str:
    found = _first(row, _COLUMNS[name])
    if found is None or not found.strip():
        raise DataError(place, f"no {name}: expected text in one of the columns {', '.join(_COLUMNS[name])}")
    return found


def _first(row: Row, columns: tuple[str, ...]) -> str | None:
    return next((str(row[column]) for column in columns if row.get(column) is not None), None)


def _refuse_doubles(rows: list[Row], places: list[str]) -> None:
    seen: dict[str, str] = {}
    for row, place in zip(rows, places, strict=True):
        if row["problem_id"] in seen:
            raise DataError(
                place, f"the problem_id '{row['problem_id']}' stands at {seen[row['problem_id']]} too"
            )
        seen[row["problem_id"]] = place
