"""What can be browsed: the shape in which responses, pairs and labelled steps reach the page's script.

Invariant: a row is [problem, number, label, answer, scores, picks]: `label` 1 right, 0 wrong, 0.5
between, null unknown; label and answer are lists where each of the run's models says its own.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from prm_eval.candidates import ScoreRow
from prm_eval.pages.runs import Run


class Source(NamedTuple):
    """A kind of rows: how many a run has, the index of the first `kept`, their texts, and all words.

    The index has `models`, `ranges` (where the colours of a model's steps begin and end), `selectors`,
    `problems` ([id, subset, prompt, gold, a value per selector]) and `rows`.
    """

    noun: str
    size: Callable[[Run], int]
    described: Callable[[Run, int], dict[str, Any]]
    texts: Callable[[Run, int], Iterator[Any]]
    words: Callable[[Run], Iterator[str]]


def step_range(run: Run, model: str) -> list[float]:
    """Where the colours of a model's steps begin and end: 0 and 1 for probabilities."""
    steps = [step for row in run.scores[model].values() for step in row.steps or ()]
    low, high = min(steps, default=0.0), max(steps, default=1.0)
    return [0.0, 1.0] if low >= 0 and high <= 1 else [low, high]


def step_scores(row: ScoreRow | None) -> Any:
    """A model's step scores, or in words why there are none; None where it gives one number alone."""
    if row is None:
        return "no line in the scores file"
    if row.unscored is not None:
        return row.unscored
    return None if row.steps is None else [round(step, 4) for step in row.steps]


def rounded(row: ScoreRow | None) -> float | None:
    """The single number as the page lists it."""
    return None if row is None or row.value is None else round(row.value, 6)
