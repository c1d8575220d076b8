"""Strategies that vote over answer classes: majority, weighted, majority then best.

Invariant: a candidate without an answer never votes, an unscored one keeps its vote, and each of
several winning classes is represented equally often in what a call returns.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from prm_eval.errors import BadOption
from prm_eval.metrics import Expectation, Floats, Pool
from prm_eval.types import Scored
from prm_eval.votes import majority_at_k, majority_then_best_at_k, weighted_at_k

_log = logging.getLogger("prm_eval")
_EQUAL = 1e-12


class Majority:
    """The voters of the class with most votes; the whole pool where nobody votes."""

    uses_scores = False

    def __call__(self, pool: Sequence[Scored]) -> Sequence[Scored]:
        """All voters of all winning classes."""
        classes = _classes(pool)
        most = max(map(len, classes.values()), default=0)
        return [one for voters in classes.values() if len(voters) == most for one in voters] or list(pool)

    def expectation(self, pool: Pool, ks: Sequence[int], seed: int) -> Expectation:
        """See `votes.majority_at_k`."""
        return majority_at_k(pool, ks, seed)


class MajorityThenBest:
    """The best scored voter of the class with most votes, ties between classes by that score.

    The whole pool where nobody votes or nobody is scored.
    """

    uses_scores = True

    def __call__(self, pool: Sequence[Scored]) -> Sequence[Scored]:
        """One candidate per winning class."""
        classes = _classes(pool)
        if not classes or all(one.score is None for one in pool):
            return list(pool)
        most = max(map(len, classes.values()))
        leaders = [_leader(voters) for voters in classes.values() if len(voters) == most]
        best = max(map(_standing, leaders))
        return [one for one in leaders if _standing(one) == best]

    def expectation(self, pool: Pool, ks: Sequence[int], seed: int) -> Expectation:
        """See `votes.majority_then_best_at_k`."""
        return majority_then_best_at_k(pool, ks, seed)


class Weighted:
    """The best scored voter of the class with the largest sum of weights.

    weight: `raw` is the score itself, `sigmoid` is for scores that are logits, `exp` is a softmax
    over the pool, in which a score 700 below the best weighs nothing. Rules for unscored candidates and ties:
    `votes.weighted_at_k`. A negative raw score is reported once.
    """

    uses_scores = True

    def __init__(self, weight: str = "raw") -> None:
        if weight not in _WEIGHTS:
            raise BadOption(f"weight={weight} is not a weight: choose {', '.join(_WEIGHTS)}")
        self.sums_scores = weight == "raw"
        self._weigh = _WEIGHTS[weight]
        self._told = False

    def __call__(self, pool: Sequence[Scored]) -> Sequence[Scored]:
        """One candidate per winning class."""
        classes = _classes(pool)
        if not classes or all(one.score is None for one in pool):
            return list(pool)
        scores = np.array([one.score for one in pool if one.score is not None])
        weights = iter(self._weights(scores).tolist())
        weight = {one.candidate.key: next(weights) for one in pool if one.score is not None}
        sums = {
            name: math.fsum(weight[one.candidate.key] for one in voters if one.score is not None)
            for name, voters in classes.items()
            if any(one.score is not None for one in voters)
        }
        if not sums:
            return [_leader(voters) for voters in classes.values()]
        bar = max(sums.values()) - _EQUAL * math.fsum(map(abs, weight.values()))
        return [_leader(classes[name]) for name, total in sums.items() if total >= bar]

    def expectation(self, pool: Pool, ks: Sequence[int], seed: int) -> Expectation:
        """See `votes.weighted_at_k`."""
        weights = np.zeros_like(pool.scores)
        weights[pool.scored] = self._weights(pool.scores[pool.scored])
        return weighted_at_k(replace(pool, scores=weights), ks, seed)

    def _weights(self, scores: Floats) -> Floats:
        if self.sums_scores and not self._told and (scores < 0).any():
            self._told = True
            _log.warning(
                "weighted: a raw score is negative (%g), so that its vote weighs against its answer:"
                " weight=sigmoid or weight=exp may be meant",
                scores.min(),
            )
        return self._weigh(scores)


def _raw(scores: Floats) -> Floats:
    return scores


def _sigmoid(scores: Floats) -> Floats:
    squashed: Floats = np.exp(-np.logaddexp(0.0, -scores))
    return squashed


def _exp(scores: Floats) -> Floats:
    raised: Floats = np.exp(scores - scores.max(initial=-np.inf))
    return raised


_WEIGHTS: Mapping[str, Callable[[Floats], Floats]] = {"raw": _raw, "sigmoid": _sigmoid, "exp": _exp}


def _classes(pool: Sequence[Scored]) -> dict[str, list[Scored]]:
    classes: dict[str, list[Scored]] = defaultdict(list)
    for one in pool:
        if one.answer is not None:
            classes[one.answer].append(one)
    return dict(classes)


def _standing(one: Scored) -> float:
    return -math.inf if one.score is None else one.score


def _leader(voters: Sequence[Scored]) -> Scored:
    """The best scored voter; the lowest index among equals, which all have the same answer."""
    return min(voters, key=lambda one: (-_standing(one), one.candidate.index))
