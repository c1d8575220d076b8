"""A run folder and its manifest: what was asked, with which versions, on which machine.

Invariant: the manifest alone repeats the run (`--config RUN/manifest.json`). Everything that differs
between two runs of the same work (times, machine) stands here and in `cost`, nowhere else.
"""

import json
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from prm_eval.candidates import candidate_row
from prm_eval.costs import Cost
from prm_eval.errors import UsageError
from prm_eval.records import dumps, write_json, write_rows, write_text
from prm_eval.spending import GENERATION
from prm_eval.types import Candidate

SCHEMA = "prm-eval/results/1"
_PACKAGES = (
    "prm-eval", "lm-eval", "math-verify", "latex2sympy2-extended", "sympy", "antlr4-python3-runtime",
    "numpy", "torch", "transformers", "tokenizers", "vllm",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run, by name."""

    path: Path

    @property
    def candidates(self) -> Path:
        """The candidates as they were scored."""
        return self.path / "candidates.jsonl"

    @property
    def step_labels(self) -> Path:
        """The labelled steps as they were scored."""
        return self.path / "step_labels.jsonl"

    @property
    def pairs(self) -> Path:
        """The pairs as they were judged."""
        return self.path / "pairs.jsonl"

    @property
    def verdicts(self) -> Path:
        """One line per game, in the order of the pairs."""
        return self.path / "verdicts.jsonl"

    @property
    def games(self) -> Path:
        """Verdicts by content, appended batch by batch; what a killed run goes on from."""
        return self.path / "games.jsonl"

    @property
    def scores(self) -> Path:
        """One line per candidate and reward model, in the order of the candidates."""
        return self.path / "scores.jsonl"

    @property
    def grades(self) -> Path:
        """The answer found in each candidate, and whether it is right."""
        return self.path / "grades.jsonl"

    @property
    def selections(self) -> Path:
        """What every strategy chose at full N."""
        return self.path / "selections.jsonl"

    @property
    def tournaments(self) -> Path:
        """The matches behind scores that come from tournaments: one line per problem and reward model."""
        return self.path / "tournaments.jsonl"

    @property
    def results(self) -> Path:
        """The numbers."""
        return self.path / "results.json"

    @property
    def manifest(self) -> Path:
        """What was asked and with what."""
        return self.path / "manifest.json"

    @property
    def store(self) -> Path:
        """Scores by content, appended batch by batch; what a killed run goes on from."""
        return self.path / "store.jsonl"

    def keep_candidates(self, candidates: Sequence[Candidate]) -> None:
        """Write the candidates, or find the very same ones there.

        Raises UsageError when the folder holds other candidates: a run never overwrites another.
        """
        self.keep(self.candidates, map(candidate_row, candidates), "candidates")

    def keep(self, path: Path, rows: Iterable[Mapping[str, Any]], what: str) -> None:
        """Write the file of what a run is over, or find the very same one there; else UsageError."""
        text = "".join(dumps(row) + "\n" for row in rows)
        if not path.exists():
            write_text(path, text)
        elif path.read_text(encoding="utf-8") != text:
            raise UsageError(f"{self.path} holds a run over other {what}: choose another --out, or remove it")

    def write_manifest(self, command: str, options: Mapping[str, Any], sections: Mapping[str, Any]) -> None:
        """Write manifest.json: `options` are the resolved options of the command."""
        manifest = {
            "schema": "prm-eval/manifest/1",
            "command": command,
            "options": {name: _plain(value) for name, value in options.items()},
            "versions": versions(),
            "machine": {"platform": platform.platform(), "python": platform.python_version()},
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **sections,
        }
        write_json(self.manifest, manifest)

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write results.json."""
        write_json(self.results, results)

    def write_scores(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write scores.jsonl whole."""
        write_rows(self.scores, rows)


def recorded_cost(scores: Iterable[Path], models: Iterable[str]) -> dict[str, Any]:
    """What making these scores cost, by model, as their run says; {} for files that lie in none."""
    found: dict[str, Any] = {}
    for folder in (
        RunFolder(path.parent) for path in scores if path.name == RunFolder(path.parent).scores.name
    ):
        content = _object(folder.results)
        found |= content.get("cost", {}) if content.get("schema") == SCHEMA else {}
    return {model: found[model] for model in models if model in found}


def recorded_generation(candidates: Path, count: int) -> Cost:
    """What generating the candidates of a run cost, as the run says.

    {} for a file that lies in no run, a run that does not know, and for another number of candidates.
    """
    folder = RunFolder(candidates.parent)
    content = _object(folder.results) if candidates.name == folder.candidates.name else {}
    cost = content.get("cost", {}).get(GENERATION, {}) if content.get("schema") == SCHEMA else {}
    return cost if cost.get("candidates") == count else {}


def _object(path: Path) -> dict[str, Any]:
    """A JSON object, {} where there is none: somebody else's file of that name says nothing here."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def versions() -> dict[str, str]:
    """Versions of everything installed that can change a number."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
