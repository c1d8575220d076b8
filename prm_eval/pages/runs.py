"""A run folder as a page needs it: its results, its manifest and, of a best-of-N run, its candidates.

Invariant: calls no model and computes no number; a folder that is no run is one error that says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prm_eval.benchmarks import Game, LabelledPair
from prm_eval.candidates import ScoreRow, read_candidates, read_scores
from prm_eval.errors import DataError, UsageError
from prm_eval.pages.sft_folders import read_sft
from prm_eval.pairs import read_pairs, read_verdicts
from prm_eval.records import Field, read_object, read_rows
from prm_eval.runs import SCHEMA, RunFolder
from prm_eval.step_benchmarks import LabelledSteps
from prm_eval.step_labels import read_step_labels
from prm_eval.types import Candidate

Kind = Literal["best_of_n", "judge", "stepwise", "sft_select", "sft_train", "sft_collect"]
Row = Mapping[str, Any]
Key = tuple[str, int]

_SECTIONS = {"metrics": list, "comparisons": list, "warnings": list, "unscored": list, "cost": dict}


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `candidates` with what is known of each by its key are of best-of-N runs, `pairs` and
    `games` of judge runs, `labelled_steps` of step runs; `scores` are of all three.
    """

    name: str
    path: Path
    kind: Kind
    results: Row
    manifest: Row
    candidates: list[Candidate] = field(default_factory=list)
    grades: Mapping[Key, Row] = field(default_factory=dict)
    scores: Mapping[str, Mapping[Key, ScoreRow]] = field(default_factory=dict)
    selections: list[Row] = field(default_factory=list)
    tournaments: list[Row] = field(default_factory=list)
    pairs: list[LabelledPair] = field(default_factory=list)
    games: list[Game] = field(default_factory=list)
    labelled_steps: list[LabelledSteps] = field(default_factory=list)

    @property
    def task(self) -> str:
        """What was run on, in one word."""
        given = self.results.get("task") or self.option("task")
        if given:
            return str(given)
        path = self.option("candidates_path") or self.option("pairs_path") or self.option("labels_path")
        return Path(str(path)).stem if path else self.name

    def option(self, name: str) -> Any:
        """A resolved option of the command, None where the manifest does not know it."""
        return self.manifest.get("options", {}).get(name)

    def correct(self, key: Key) -> bool | None:
        """The label of a candidate; None when it was not graded."""
        found = self.grades.get(key)
        return None if found is None else found["correct"]


def read_run(path: Path) -> Run:
    """The run in a folder. Raises UsageError when it is none, DataError when a file of it is broken."""
    folder = RunFolder(path)
    if not path.is_dir():
        raise UsageError(f"{path} is no run folder: there is no such folder")
    if not folder.results.exists():
        made = read_sft(path)
        if made is None:
            raise UsageError(
                f"{path} is no run folder: it holds no results.json; give the --out of prm-eval best-of-n,"
                " judge, stepwise or sft, or the --save of prm-eval select"
            )
        return Run(path.resolve().name, path, made.kind, made.results, made.manifest)
    results = _results(folder.results)
    manifest = read_object(folder.manifest) if folder.manifest.exists() else {}
    kind = _kind(results)
    name = path.resolve().name
    return Run(name, path, kind, results, manifest, **_READ[kind](folder) if kind in _READ else {})


def _of_best_of_n(folder: RunFolder) -> dict[str, Any]:
    if not folder.candidates.exists():
        return {}
    return {
        "candidates": read_candidates(folder.candidates),
        "grades": _grades(folder.grades),
        "scores": _scores(folder.scores),
        "selections": [row for _, row in read_rows(folder.selections)] if folder.selections.exists() else [],
        "tournaments": _tournaments(folder.tournaments),
    }


def _of_judge(folder: RunFolder) -> dict[str, Any]:
    if not folder.pairs.exists():
        return {}
    return {
        "pairs": read_pairs(folder.pairs),
        "games": read_verdicts(folder.verdicts) if folder.verdicts.exists() else [],
        "scores": _scores(folder.scores),
    }


def _of_steps(folder: RunFolder) -> dict[str, Any]:
    if not folder.step_labels.exists():
        return {}
    return {"labelled_steps": read_step_labels(folder.step_labels), "scores": _scores(folder.scores)}


_READ: Mapping[str, Callable[[RunFolder], dict[str, Any]]] = {
    "best_of_n": _of_best_of_n, "judge": _of_judge, "stepwise": _of_steps,
}  # fmt: skip


def _results(path: Path) -> Row:
    results = read_object(path)
    schema = results.get("schema")
    family, _, number = str(schema).rpartition("/")
    known_family, _, known = SCHEMA.rpartition("/")
    if family != known_family or not number.isdigit():
        raise DataError(path, f"its schema is {schema!r}, not {SCHEMA}: not the results of a run")
    if int(number) > int(known):
        raise DataError(
            path, f"a newer prm-eval wrote it ({schema}; this one reads {SCHEMA}): update prm-eval"
        )
    if int(number) < int(known):
        raise DataError(path, f"an older prm-eval wrote it ({schema}; this one reads {SCHEMA}): run it again")
    fields = Field(results, path, None)
    for name, kind in _SECTIONS.items():
        fields.need(name, kind, "a list" if kind is list else "an object")
    if not results["metrics"]:
        raise DataError(path, "holds no metrics: there is nothing to report")
    return results


def _kind(results: Row) -> Kind:
    if "headline" in results:
        return "stepwise"
    if "train_samples" in results["metrics"][0]:
        return "sft_collect"
    return "judge" if "judge" in results["metrics"][0] else "best_of_n"


def _grades(path: Path) -> dict[Key, Row]:
    if not path.exists():
        return {}
    found: dict[Key, Row] = {}
    for line, row in read_rows(path):
        own = Field(row, path, line)
        own.may("correct", bool, "true, false or null")
        problem = str(own.need("problem_id", (str, int), "text"))
        found[problem, own.need("index", int, "a whole number from 0")] = {
            "correct": None,
            "answer": None,
        } | row
    return found


def _tournaments(path: Path) -> list[Row]:
    if not path.exists():
        return []
    found: list[Row] = []
    for line, row in read_rows(path):
        own = Field(row, path, line)
        for name in ("problem_id", "model", "tournament"):
            own.need(name, str, "text")
        for name in ("entrants", "rounds"):
            own.need(name, list, "a list of lists")
        found.append(row)
    return found


def _scores(path: Path) -> dict[str, dict[Key, ScoreRow]]:
    if not path.exists() or not path.stat().st_size:
        return {}
    found: dict[str, dict[Key, ScoreRow]] = {}
    for row in read_scores(path):
        found.setdefault(row.model, {})[row.problem_id, row.index] = row
    return found
