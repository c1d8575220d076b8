"""The best-of-N job: candidates in, a run folder with scores, grades, selections and results out.

Invariant: every name is resolved before the first expensive step, and every finished step is on the
disk before the next one starts.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal

from prm_eval.aggregate import Aggregation
from prm_eval.candidates import score_row
from prm_eval.costs import Cost
from prm_eval.errors import UsageError
from prm_eval.grading import Grading, Kind, grade_candidates
from prm_eval.plugins import Loaded, Registry
from prm_eval.records import write_rows
from prm_eval.runs import SCHEMA, RunFolder
from prm_eval.scoring import Host, Scoring, score_candidates
from prm_eval.selection import ScoreSet, evaluate, select
from prm_eval.spending import GENERATION
from prm_eval.store import ScoreStore
from prm_eval.types import Candidate, PreparedRewardModel, Strategy, Unscored

DEFAULT_STRATEGIES = ("best_of_n", "weighted", "majority")
MODEL_OWN = "model"

# What shows progress: a context that yields update(done, total). Arguments: title, unit.
Meter = Callable[[str, str], AbstractContextManager[Callable[[int, int], None]]]
# What makes a reward model of a reference: in this process, or on workers.
Loader = Callable[[Registry, str], Loaded]


@dataclass(frozen=True, slots=True)
class Selectors:
    """What turns scores into picks and numbers."""

    strategies: Mapping[str, Strategy]
    aggregations: Mapping[str, Aggregation | None]
    ks: Sequence[int] | Literal["all"] | None = None
    seed: int = 0
    bootstrap: int = 10_000


@dataclass(frozen=True, slots=True)
class Grader:
    """How answers are graded."""

    regrade: bool = False
    kind: Kind | None = None


def resolve_selectors(
    registry: Registry,
    strategies: Sequence[str],
    aggregations: Sequence[str],
    ks: Sequence[int] | Literal["all"] | None,
    seed: int,
    bootstrap: int,
) -> Selectors:
    """Names to objects, strategies and aggregations."""
    chosen = {loaded.name: loaded.obj for loaded in map(registry.strategy, strategies or DEFAULT_STRATEGIES)}
    return Selectors(chosen, resolve_aggregations(registry, aggregations), ks, seed, bootstrap)


def resolve_aggregations(registry: Registry, names: Sequence[str]) -> dict[str, Aggregation | None]:
    """Aggregations by name; `model`, the default, is the reward model's own and has no callable."""
    numbers: dict[str, Aggregation | None] = {}
    for name in names or (MODEL_OWN,):
        if name == MODEL_OWN:
            numbers[name] = None
        else:
            loaded = registry.aggregation(name)
            numbers[loaded.name] = loaded.obj
    return numbers


def take_n(candidates: Sequence[Candidate], n: int | None) -> list[Candidate]:
    """The n candidates of lowest index of every problem. Raises UsageError where fewer are stored."""
    if n is None:
        return list(candidates)
    by_problem: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_problem.setdefault(candidate.problem.id, []).append(candidate)
    short = {problem: len(pool) for problem, pool in by_problem.items() if len(pool) < n}
    if short:
        problem = min(short, key=lambda name: short[name])
        raise UsageError(
            f"--n {n}, but {len(short)} of {len(by_problem)} problems have fewer candidates"
            f" ('{problem}' has {short[problem]}): ask for --n {short[problem]} or generate more"
        )
    kept = {c.key for pool in by_problem.values() for c in sorted(pool, key=lambda c: c.index)[:n]}
    return [candidate for candidate in candidates if candidate.key in kept]


def grade(candidates: Sequence[Candidate], grader: Grader, meter: Meter) -> Grading:
    """Grade with progress."""
    with meter("grading", "comparisons") as update:
        return grade_candidates(candidates, kind=grader.kind, regrade=grader.regrade, progress=update)


def score(
    registry: Registry,
    reference: str,
    candidates: Sequence[Candidate],
    store: ScoreStore,
    meter: Meter,
    load: Loader = Registry.reward_model,
) -> Scoring:
    """Load one reward model, score everything that the store does not have, and let it go."""
    loaded = load(registry, reference)
    unit = "tokens" if isinstance(loaded.obj, PreparedRewardModel) else "characters"
    with meter(f"scoring with {loaded.name}", unit) as update:
        scoring = score_candidates(
            loaded.obj,
            candidates,
            name=loaded.name,
            identity=f"{loaded.entry.owner} {loaded.name}",
            store=store,
            progress=update,
        )
    if not isinstance(loaded.obj, Host):
        return scoring
    played = [{"model": loaded.name, **row} for row in loaded.obj.tournaments(candidates)]
    return replace(scoring, tournaments=played)


def run_best_of_n(
    candidates: Sequence[Candidate],
    references: Sequence[str],
    selectors: Selectors,
    grader: Grader,
    folder: RunFolder,
    store: ScoreStore,
    registry: Registry,
    meter: Meter,
    task: str | None = None,
    load: Loader = Registry.reward_model,
    generation: Cost | None = None,
) -> tuple[dict[str, Any], list[Scoring]]:
    """The whole job over given candidates; returns the results object, which is also on the disk.

    `generation` is what the candidates cost to generate, where that is known.
    """
    folder.keep_candidates(candidates)
    grading = grade(candidates, grader, meter)
    write_rows(folder.grades, grade_rows(candidates, grading))
    scorings: list[Scoring] = []
    for reference in references:
        scorings.append(score(registry, reference, candidates, store, meter, load))
        folder.write_scores(score_rows(candidates, scorings))
    if played := [row for scoring in scorings for row in scoring.tournaments]:
        write_rows(folder.tournaments, played)
    sets = [ScoreSet(s.model, s.results, s.default_aggregation) for s in scorings]
    cost = {GENERATION: dict(generation)} if generation else {}
    cost |= {s.model: dict(s.cost) for s in scorings}
    results = measure(candidates, grading, sets, selectors, task, cost)
    results["provenance"] = {s.model: dict(s.provenance) for s in scorings}
    write_rows(folder.selections, selection_rows(candidates, grading, sets, selectors))
    folder.write_results(results)
    return results, scorings


def save_selection(
    folder: RunFolder,
    candidates: Sequence[Candidate],
    grading: Grading,
    sets: Sequence[ScoreSet],
    selectors: Selectors,
    results: Mapping[str, Any],
) -> None:
    """Keep what `measure` was given and found as a run folder. Raises UsageError over other candidates."""
    folder.keep_candidates(candidates)
    write_rows(folder.grades, grade_rows(candidates, grading))
    folder.write_scores([
        score_row(candidate, own.model, result, own.default_aggregation, None)
        for own in sets
        for candidate, result in zip(candidates, own.results, strict=True)
    ])  # fmt: skip
    write_rows(folder.selections, selection_rows(candidates, grading, sets, selectors))
    folder.write_results(results)


def measure(
    candidates: Sequence[Candidate],
    grading: Grading,
    sets: Sequence[ScoreSet],
    selectors: Selectors,
    task: str | None,
    cost: Mapping[str, Any],
) -> dict[str, Any]:
    """The results object of graded and scored candidates. Calls no model."""
    numbers = evaluate(
        candidates,
        grading.grades,
        sets,
        strategies=selectors.strategies,
        aggregations=selectors.aggregations,
        ks=_ks(candidates, selectors.ks),
        seed=selectors.seed,
        task=task,
        bootstrap=selectors.bootstrap,
    )
    return {
        "schema": SCHEMA,
        "task": task,
        **numbers,
        "seed": selectors.seed,
        "grading": grading_summary(grading),
        "unscored": [_unscored_summary(score_set) for score_set in sets],
        "cost": dict(cost),
    }


def grade_rows(candidates: Sequence[Candidate], grading: Grading) -> list[dict[str, Any]]:
    """Lines of grades.jsonl: the answer found, its class, the label, or why there is none."""
    rows = []
    for candidate, given in zip(candidates, grading.grades, strict=True):
        ungraded = given.label.reason if isinstance(given.label, Unscored) else None
        rows.append({
            "problem_id": candidate.problem.id,
            "index": candidate.index,
            "answer": given.answer,
            "answer_class": given.answer_class,
            "correct": None if ungraded else given.label,
            "ungraded": ungraded,
        })  # fmt: skip
    return rows


def score_rows(candidates: Sequence[Candidate], scorings: Sequence[Scoring]) -> list[dict[str, Any]]:
    """Lines of scores.jsonl, model by model, in the order of the candidates."""
    return [
        score_row(candidate, scoring.model, result, scoring.default_aggregation, key)
        for scoring in scorings
        for candidate, result, key in zip(candidates, scoring.results, scoring.keys, strict=True)
    ]


def selection_rows(
    candidates: Sequence[Candidate], grading: Grading, sets: Sequence[ScoreSet], selectors: Selectors
) -> list[dict[str, Any]]:
    """Lines of selections.jsonl: what each selector chose at full N."""
    return [
        {
            "problem_id": chosen.problem.id,
            "strategy": chosen.strategy,
            "reward_model": chosen.reward_model,
            "aggregation": chosen.aggregation,
            "chosen": [candidate.index for candidate in chosen.chosen],
            "pool_size": chosen.pool_size,
            "unscored": chosen.unscored,
        }
        for chosen in select(
            candidates,
            grading.grades,
            sets,
            strategies=selectors.strategies,
            aggregations=selectors.aggregations,
        )
    ]


def _ks(candidates: Sequence[Candidate], ks: Sequence[int] | Literal["all"] | None) -> Sequence[int] | None:
    if ks != "all":
        return ks
    counts: dict[str, int] = {}
    for candidate in candidates:
        counts[candidate.problem.id] = counts.get(candidate.problem.id, 0) + 1
    return range(1, min(counts.values()) + 1)


def grading_summary(grading: Grading) -> dict[str, Any]:
    """The section `grading` of results.json."""
    return {
        **grading.provenance,
        "candidates": len(grading.grades),
        "no_answer": sum(given.answer is None for given in grading.grades),
        "ungraded": grading.ungraded,
        "disagreements": [
            {"problem_id": d.problem_id, "index": d.index, "gold": d.gold, "answer": d.answer,
             "ours": d.ours, "label": d.theirs}
            for d in grading.disagreements
        ],
    }  # fmt: skip


def _unscored_summary(score_set: ScoreSet) -> dict[str, Any]:
    reasons = Counter(result.kind for result in score_set.results if isinstance(result, Unscored))
    return {
        "reward_model": score_set.model,
        "candidates": len(score_set.results),
        "unscored": reasons.total(),
        "reasons": dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
    }
