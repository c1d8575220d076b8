"""Candidates, grades and scores, problem by problem: the groups and number pools to select from.

Invariant: a group's candidates stand in the order of their index, whatever the order of the file,
and everything made from a group has one entry per candidate of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from prm_eval.aggregate import Aggregation, aggregate
from prm_eval.errors import UsageError
from prm_eval.grading import Grade
from prm_eval.metrics import Bools, Floats, Ints, Pool
from prm_eval.types import Candidate, Problem, Score, Scored, Unscored

MODEL_OWN = "model"
"""The name of the aggregation that is the reward model's own value."""

View = tuple[str, str | None]
"""(reward model, aggregation): one way to give every candidate a number."""


@dataclass(frozen=True, slots=True)
class ScoreSet:
    """One reward model's results, aligned with the candidates.

    `default_aggregation` names how the model's own value comes from its steps, None when unknown
    or when it has no steps.
    """

    model: str
    results: Sequence[Score | Unscored]
    default_aggregation: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """One problem's candidates by index; `places` are their positions in the whole list."""

    problem: Problem
    places: tuple[int, ...]
    candidates: tuple[Candidate, ...]
    grades: tuple[Grade, ...]

    @property
    def ungraded(self) -> int:
        """How many candidates have no label."""
        return sum(isinstance(grade.label, Unscored) for grade in self.grades)

    @property
    def labels(self) -> Floats:
        """float[N]: 1 right, 0 wrong. Raises UsageError when a candidate is ungraded."""
        if self.ungraded:
            raise UsageError(
                f"problem '{self.problem.id}' has {self.ungraded} ungraded of {len(self.grades)} candidates:"
                " leave it out or grade it"
            )
        return np.array([grade.label is True for grade in self.grades], dtype=np.float64)

    @property
    def classes(self) -> Ints:
        """int[N]: the answer class, numbered by first appearance, -1 without an answer."""
        numbers: dict[str, int] = {}
        names = [grade.answer_class for grade in self.grades]
        return np.array([-1 if name is None else numbers.setdefault(name, len(numbers)) for name in names])


def group(candidates: Sequence[Candidate], grades: Sequence[Grade]) -> list[Group]:
    """Group by problem id, in order of first appearance.

    Raises UsageError when the lengths differ or a problem has an index twice.
    """
    if len(candidates) != len(grades):
        raise UsageError(f"{len(candidates)} candidates but {len(grades)} grades: give one grade for each")
    places: dict[str, list[int]] = {}
    for place, candidate in enumerate(candidates):
        places.setdefault(candidate.problem.id, []).append(place)
    groups = []
    for name, found in places.items():
        found.sort(key=lambda place: candidates[place].index)
        own = tuple(candidates[place] for place in found)
        for one, other in pairwise(own):
            if one.index == other.index:
                raise UsageError(
                    f"problem '{name}' has two candidates with index {one.index}: number them apart"
                )
        groups.append(Group(own[0].problem, tuple(found), own, tuple(grades[place] for place in found)))
    return groups


def check_scores(candidates: Sequence[Candidate], score_sets: Sequence[ScoreSet]) -> None:
    """Raises UsageError when a set is not aligned with the candidates or a model comes twice."""
    for score_set in score_sets:
        if len(score_set.results) != len(candidates):
            raise UsageError(
                f"'{score_set.model}' has {len(score_set.results)} results for {len(candidates)} candidates:"
                " give one Score or Unscored for each"
            )
    names = [score_set.model for score_set in score_sets]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two score sets are named '{name}': give each reward model a name of its own")


def views(
    score_sets: Sequence[ScoreSet], aggregations: Mapping[str, Aggregation | None]
) -> dict[View, tuple[ScoreSet, Aggregation | None]]:
    """Every reward model under every aggregation, by the names that the results give them.

    The model's own value goes by the model's default aggregation where that is known; asked for by
    its name too, that aggregation is computed from the steps and stands once.
    """
    found: dict[View, tuple[ScoreSet, Aggregation | None]] = {}
    for score_set in score_sets:
        for name, how in aggregations.items():
            shown = score_set.default_aggregation if name == MODEL_OWN else name
            if name != MODEL_OWN or shown not in aggregations:
                found[score_set.model, shown] = (score_set, how)
    return found


def numbers(own: Group, score_set: ScoreSet, how: Aggregation | None) -> tuple[Floats, Bools]:
    """(scores float[N], scored bool[N]) of a group under one view."""
    found = [aggregate(score_set.results[place], how) for place in own.places]
    scored = np.array([not isinstance(value, Unscored) for value in found], dtype=np.bool_)
    return np.array([0.0 if isinstance(value, Unscored) else value for value in found]), scored


def pools(
    own: Group, score_sets: Sequence[ScoreSet], aggregations: Mapping[str, Aggregation | None]
) -> dict[View, Pool]:
    """The group's pool under every view."""
    labels, classes = own.labels, own.classes
    found = {}
    for view, (score_set, how) in views(score_sets, aggregations).items():
        scores, scored = numbers(own, score_set, how)
        found[view] = Pool(labels, scores, scored, classes)
    return found


def scoreless(own: Group) -> Pool:
    """The group's pool for a strategy that looks at no score."""
    size = len(own.places)
    return Pool(own.labels, np.zeros(size), np.zeros(size, dtype=np.bool_), own.classes)


def scored(own: Group, scores: Floats, known: Bools) -> list[Scored]:
    """The group as strategies see it; a candidate's `correct` is its label where it has one."""
    found = []
    for place, (candidate, grade) in enumerate(zip(own.candidates, own.grades, strict=True)):
        if not isinstance(grade.label, Unscored):
            candidate = replace(candidate, correct=grade.label)
        found.append(Scored(candidate, float(scores[place]) if known[place] else None, grade.answer_class))
    return found
