"""Labelled solutions of step runs for the browser: every step with its label and its scores.

Invariant: a model is right about a solution when the first step that it does not accept, at the run's
first threshold, is the first wrong one; where the labels do not say which that is, nobody is.
"""

from collections.abc import Iterator
from typing import Any

from prm_eval.candidates import ScoreRow
from prm_eval.pages.browsed import Source, rounded, step_range, step_scores
from prm_eval.pages.runs import Run
from prm_eval.step_benchmarks import LabelledSteps


def _described(run: Run, kept: int) -> dict[str, Any]:
    thresholds = {
        model: float(given[0]["threshold"])
        for model, given in run.results.get("thresholds", {}).items() if given and model in run.scores
    }  # fmt: skip
    problems, rows = [], []
    for place, item in enumerate(run.labelled_steps[:kept]):
        found = [_value(run, item, model, threshold) for model, threshold in thresholds.items()]
        problems.append([item.id, item.subset, item.problem, _gold(item), found])
        scores = [rounded(own.get((item.id, 0))) for own in run.scores.values()]
        first = item.first_error
        rows.append([place, None, None if first is None else int(first == -1), _gold(item), scores, []])
    return {
        "models": list(run.scores), "ranges": [step_range(run, model) for model in run.scores],
        "selectors": [f"{model} at {threshold:.4g}" for model, threshold in thresholds.items()],
        "problems": problems, "rows": rows,
    }  # fmt: skip


def _value(run: Run, item: LabelledSteps, model: str, threshold: float) -> int | None:
    """1 when the model finds the first wrong step, or that there is none; None where that is not known."""
    row: ScoreRow | None = run.scores[model].get((item.id, 0))
    if item.first_error is None or row is None or row.steps is None or len(row.steps) != len(item.steps):
        return None
    sign = -1 if run.results.get("inverted") else 1
    refused = (place for place, score in enumerate(row.steps) if sign * score < sign * threshold)
    return int(next(refused, -1) == item.first_error)


def _gold(item: LabelledSteps) -> str:
    if item.first_error is None:
        return f"{len(item.steps)} steps, labelled in part"
    if item.first_error == -1:
        return f"every one of {len(item.steps)} steps is right"
    return f"first wrong: step {item.first_error + 1} of {len(item.steps)}"


def _texts(run: Run, kept: int) -> Iterator[list[Any]]:
    """[steps, per model its step scores or why there are none, labels: 1 right, 0 wrong, null]"""
    for item in run.labelled_steps[:kept]:
        steps = [[step.text] if step.part == "thinking" else step.text for step in item.steps]
        given = [step_scores(rows.get((item.id, 0))) for rows in run.scores.values()]
        yield [steps, given, [None if one is None else int(one) for one in item.labels]]


def _words(run: Run) -> Iterator[str]:
    for item in run.labelled_steps:
        yield item.problem
        yield from (step.text for step in item.steps)


STEPS = Source("labelled steps", lambda run: len(run.labelled_steps), _described, _texts, _words)
