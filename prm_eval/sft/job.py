"""The whole selection: pool in, training rows, lists of what was removed, and a card out.

Invariant: after a crash the same command goes on and ends with the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from prm_eval.candidates import score_row
from prm_eval.errors import UsageError
from prm_eval.records import dumps, write_json, write_text
from prm_eval.sft.by_problem import open_rows, score_by_problem
from prm_eval.sft.card import card_of, card_text, stages
from prm_eval.sft.contamination import Contamination, EvaluationSet
from prm_eval.sft.diversity import Diversity
from prm_eval.sft.formats import write_lines, write_removed, write_selected, write_selection
from prm_eval.sft.index import Index, Row, detail_of
from prm_eval.sft.intake import Intake
from prm_eval.sft.lengths import Length
from prm_eval.sft.plan import Plan
from prm_eval.sft.scorers import Scorer
from prm_eval.sft.scorestore import SqliteStore
from prm_eval.sft.sources import Pool
from prm_eval.sft.walk import walk
from prm_eval.types import Candidate, Problem, Score, Unscored

# What shows progress: a context that yields update(done, total). Arguments: title, unit.
Meter = Callable[[str, str], AbstractContextManager[Callable[[int, int], None]]]

_PACKAGES = ("prm-eval", "datasketch", "math-verify")


@dataclass(frozen=True, slots=True)
class Selection:
    """One selection, ready to run.

    `chunk` rows are held at a time. It decides which rows share a model's batch, and so the last digits
    of float32 scores: it is fixed, so that the same command gives the same bytes.
    """

    pool: Pool
    plan: Plan
    index: Index
    sets: Sequence[EvaluationSet]
    length: Length
    scorer: Scorer | None
    store: SqliteStore | None
    out: Path
    form: str = "messages"
    chunk: int = 2048

    def run(self, meter: Meter) -> dict[str, Any]:
        """Choose and write; returns the card.

        Raises UsageError, after removed.jsonl is written, when fewer rows are left than asked for.
        """
        contamination = Contamination(self.sets, self.plan.threshold) if self.sets else None
        intake = Intake(self.pool, self.plan, self.index, contamination, self.length, self.scorer)
        with meter("reading the pool", "rows") as update:
            intake.run(self.chunk, update)
        if self.scorer is not None and open_rows(self.index):
            with meter("scoring by problem", "rows") as update:
                score_by_problem(self.index, self.pool, self.plan, self.scorer, self.chunk, update)
        diversity = self._diversity(meter)
        with meter("choosing", "rows") as update:
            chosen = walk(self.index, self.pool, self.plan, update, diversity)
        write_removed(self.index, self.out / "removed.jsonl")
        self._write_scores()
        self._enough(chosen)
        output = write_selected(self.pool, self.plan, self.index, self.form, self.out)
        write_selection(self.index, self.plan, self.out / "selection.jsonl")
        card = card_of(self.index, self.plan, self.pool.files, self.sets, output, _versions())
        write_json(self.out / "card.json", card)
        write_text(self.out / "CARD.md", card_text(card))
        self.index.note("finished", True)
        return card

    def cost(self) -> dict[str, float]:
        """What the scores cost in all, whichever run paid; {} without a reward model."""
        if self.store is None:
            return {}
        return self.store.cost(row.key for row in self.index.rows("WHERE key IS NOT NULL") if row.key)

    def _diversity(self, meter: Meter) -> Diversity | None:
        if self.plan.by != "facility-location":
            return None
        found = Diversity(self.index, self.pool, self.plan, self.index.path.parent)
        with meter("comparing embeddings", "rows") as update:
            found.prepare(update)
        return found

    def _enough(self, chosen: int) -> None:
        wanted = self.plan.top
        if chosen and (wanted is None or chosen >= wanted):
            return
        found = stages(self.index, replace(self.plan, top=None))
        taken = [f"{stage['stage']} {stage['removed']:,}" for stage in found if stage["removed"]]
        asked = f"--top {wanted:,}, but only {chosen:,} rows are left" if chosen else "no row is left"
        raise UsageError(
            f"{asked} of {found[0]['left']:,}; removed by {', '.join(taken) or 'nothing'}: see"
            f" {self.out / 'removed.jsonl'}"
        )

    def _write_scores(self) -> None:
        """Write scores.jsonl, raw scores of every row that was scored, for `--scores` of other runs."""
        facts = self.index.fact("scores")
        if self.store is None or facts is None:
            return
        lines = (
            (dumps(self._score_line(row, facts)) + "\n").encode("utf-8")
            for row in self.index.rows("WHERE key IS NOT NULL OR rule = 'unscored' ORDER BY n")
        )
        write_lines(self.out / "scores.jsonl", lines)

    def _score_line(self, row: Row, facts: dict[str, Any]) -> dict[str, Any]:
        assert self.store is not None
        result: Score | Unscored | None = None if row.key is None else self.store.get(row.key)
        if result is None:
            result = Unscored(str(detail_of(row).get("reason")))
        candidate = Candidate(Problem(row.problem_id, ""), row.idx, "")
        return score_row(candidate, facts["reward_model"], result, facts["default_aggregation"], row.key)


def unscored(index: Index) -> tuple[int, int, Iterator[tuple[str, int]]]:
    """(unscored, scored or not, kinds of reasons with their counts) of the rows that met the scorer."""
    ((missing,),) = index.values("SELECT COUNT(*) FROM rows WHERE rule = 'unscored'")
    ((scored,),) = index.values("SELECT COUNT(*) FROM rows WHERE score IS NOT NULL")
    reasons: dict[str, int] = {}
    for row in index.rows("WHERE rule = 'unscored'"):
        kind = Unscored(str(detail_of(row).get("reason"))).kind
        reasons[kind] = reasons.get(kind, 0) + 1
    return missing, missing + scored, iter(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])))


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
