"""Candidates of one task to the numbers of every document: grade, score, select, write.

Invariant: the run folder gets what `prm-eval best-of-n` would write, and the mean of the documents'
numbers is the number in its results.json.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prm_eval import best_of_n as job
from prm_eval.errors import UsageError
from prm_eval.grading import Grading, grade_candidates
from prm_eval.harness.options import Options
from prm_eval.plugins import Loaded, Registry
from prm_eval.records import write_rows
from prm_eval.runs import RunFolder
from prm_eval.scoring import Scoring, score_candidates
from prm_eval.selection import Group, MetricKey, ScoreSet, group, problem_values
from prm_eval.store import ScoreStore
from prm_eval.types import Candidate, Score, Unscored

log = logging.getLogger("prm_eval")
BOOTSTRAP = 10_000
_NAMES = {"mean": "mean@1", "pass_at_k": "pass@{k}", "majority": "maj@{k}", "best_of_n": "best_of_{k}"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the filter hands on for one document. Its text is short: lm-eval logs it with every sample."""

    metrics: Mapping[str, float]
    scores: Mapping[str, Sequence[float | None]]
    answers: Sequence[str | None]
    correct: Sequence[bool | None]

    def __str__(self) -> str:
        return json.dumps(
            {"scores": self.scores, "answers": self.answers, "correct": self.correct},
            separators=(",", ":"),
            ensure_ascii=False,
        )


def metric_name(key: MetricKey) -> str:
    """`mean@1`, `pass@8`, `maj@8`, `best_of_8[model:min]`, `weighted@8[model:min]`, ...

    A strategy of any other name is `name@k`. lm-eval joins metric and filter with a comma, so a
    comma inside a reference is written as a semicolon.
    """
    name = _NAMES.get(key.metric, key.metric + "@{k}").replace("{k}", str(key.k))
    if key.reward_model is not None:
        name += f"[{':'.join(part for part in (key.reward_model, key.aggregation) if part)}]"
    return name.replace(",", ";")


def measure(
    pools: Sequence[Sequence[Candidate]],
    models: Sequence[Loaded],
    options: Options,
    folder: RunFolder,
    registry: Registry,
) -> list[Outcome]:
    """One outcome per pool, in their order; the run folder gets grades, scores, picks and results.

    Raises UnknownName for an aggregation or strategy that no plugin offers.
    """
    selectors = _selectors(options, registry, bool(models))
    candidates = [candidate for pool in pools for candidate in pool]
    grading = grade_candidates(candidates, kind=options.answer_kind)
    write_rows(folder.grades, job.grade_rows(candidates, grading))
    scorings = _score(candidates, models, folder)
    sets = [ScoreSet(one.model, one.results, one.default_aggregation) for one in scorings]
    cost = {one.model: dict(one.cost) for one in scorings}
    results = job.measure(candidates, grading, sets, selectors, options.task, cost)
    results["provenance"] = {one.model: dict(one.provenance) for one in scorings}
    for warning in results["warnings"]:
        log.warning("%s: %s", options.task, warning)
    write_rows(folder.selections, job.selection_rows(candidates, grading, sets, selectors))
    folder.write_results(results)
    folder.write_manifest("lm_eval", _shown(options), {"reward_models": results["provenance"]})
    ks = sorted({row["k"] for row in results["metrics"] if "k" in row})
    return [
        _outcome(own, sets, _values(own, sets, selectors, ks)) for own in _groups(candidates, grading, pools)
    ]


def _score(candidates: Sequence[Candidate], models: Sequence[Loaded], folder: RunFolder) -> list[Scoring]:
    store = ScoreStore(folder.store)
    scorings: list[Scoring] = []
    for loaded in models:
        identity = f"{loaded.entry.owner} {loaded.name}"
        scorings.append(
            score_candidates(loaded.obj, candidates, name=loaded.name, identity=identity, store=store)
        )
        folder.write_scores(job.score_rows(candidates, scorings))
    store.close()
    return scorings


def _selectors(options: Options, registry: Registry, scored: bool) -> job.Selectors:
    """Without a reward model only the strategies that need none."""
    names = options.strategies or (job.DEFAULT_STRATEGIES if scored else ("majority",))
    return job.resolve_selectors(registry, names, options.aggregations, options.ks, options.seed, BOOTSTRAP)


def _groups(
    candidates: Sequence[Candidate], grading: Grading, pools: Sequence[Sequence[Candidate]]
) -> list[Group]:
    """The graded groups in the order of the documents."""
    by_id = {own.problem.id: own for own in group(candidates, grading.grades)}
    return [by_id[pool[0].problem.id] for pool in pools]


def _values(
    own: Group, sets: Sequence[ScoreSet], selectors: job.Selectors, ks: Sequence[int]
) -> dict[str, float]:
    """The numbers of one document; none when a candidate is ungraded, as `evaluate` leaves it out."""
    if own.ungraded:
        return {}
    found = problem_values(own, sets, selectors.strategies, selectors.aggregations, ks, selectors.seed)
    return {metric_name(key): float(value.value) for key, value in found.items()}


def _outcome(own: Group, sets: Sequence[ScoreSet], metrics: Mapping[str, float]) -> Outcome:
    return Outcome(
        metrics=metrics,
        scores={one.model: [_number(one.results[place]) for place in own.places] for one in sets},
        answers=[grade.answer for grade in own.grades],
        correct=[None if isinstance(grade.label, Unscored) else grade.label for grade in own.grades],
    )


def _number(result: Score | Unscored) -> float | None:
    return None if isinstance(result, Unscored) else round(result.value, 6)


def refuse_doubles(pools: Sequence[Sequence[Candidate]]) -> None:
    """Raises UsageError when two documents are one problem: their responses could not be told apart."""
    seen: dict[str, int] = {}
    for place, pool in enumerate(pools):
        name = pool[0].problem.id
        if seen.setdefault(name, place) != place:
            raise UsageError(
                f"documents {seen[name]} and {place} are both problem '{name}':"
                " set problem_id: '{{field}}' in the filter"
            )


def _shown(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in options.__slots__}
