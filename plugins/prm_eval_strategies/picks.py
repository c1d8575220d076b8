"""Strategies that pick a candidate: first, random, oracle, best of N.

Invariant: the mean label of what a call returns, over all k-subsets, is what `expectation` says.
"""

from collections.abc import Sequence

import numpy as np

from prm_eval.metrics import Expectation, Pool, best_of_k, first_of_k, pass_at_k
from prm_eval.types import Scored


class First:
    """The candidate of lowest index."""

    uses_scores = False

    def __call__(self, pool: Sequence[Scored]) -> Sequence[Scored]:
        """One candidate."""
        return [min(pool, key=lambda one: one.candidate.index)]

    def expectation(self, pool: Pool, ks: Sequence[int], seed: int) -> Expectation:  # noqa: ARG002
        """Exact for every k."""
        return Expectation.certain(first_of_k(pool.labels, ks))


class Random:
    """All candidates are equal bests."""

    uses_scores = False

    def __call__(self, pool: Sequence[Scored]) -> Sequence[Scored]:
        """The whole pool."""
        return list(pool)

    def expectation(self, pool: Pool, ks: Sequence[int], seed: int) -> Expectation:  # noqa: ARG002
        """The mean label, for every k."""
        return Expectation.certain(np.full(len(ks), pool.labels.mean()))


class Oracle:
    """The candidates known to be right; all of them where none is."""

    uses_scores = False

    def __call__(self, pool: Sequence[Scored]) -> Sequence[Scored]:
        """Goes by `candidate.correct`, which `selection.select` fills with the grade."""
        return [one for one in pool if one.candidate.correct] or list(pool)

    def expectation(self, pool: Pool, ks: Sequence[int], seed: int) -> Expectation:  # noqa: ARG002
        """pass@k."""
        return Expectation.certain(pass_at_k(pool.labels, ks))


class BestOfN:
    """The candidates with the highest score; all of them where none is scored."""

    uses_scores = True

    def __call__(self, pool: Sequence[Scored]) -> Sequence[Scored]:
        """All equal bests."""
        best = max((one.score for one in pool if one.score is not None), default=None)
        return [one for one in pool if one.score == best]

    def expectation(self, pool: Pool, ks: Sequence[int], seed: int) -> Expectation:  # noqa: ARG002
        """Exact for every k."""
        return Expectation.certain(best_of_k(pool.labels, pool.scores, pool.scored, ks))
