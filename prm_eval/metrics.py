"""Closed forms over all k-subsets of a pool: best-of-k, pass@k, first, mean; and the AUC.

Numbers in, numbers out. Invariant: every value is the exact expectation over all C(N, k) subsets
of size k, with equal scores sharing the credit; nothing depends on the order of the candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pool:
    """One problem's N candidates, in index order.

    labels: float[N] in [0, 1], each candidate's own label. scores: float[N], finite, meaningful
    only where scored: bool[N]. classes: int[N], the answer class, -1 = no answer, never votes.
    """

    labels: Floats
    scores: Floats
    scored: Bools
    classes: Ints

    @property
    def constant(self) -> bool:
        """All labels equal: whatever is chosen earns the same."""
        return bool(self.labels.min() == self.labels.max())


@dataclass(frozen=True, slots=True)
class Expectation:
    """float[K] values, their standard errors (0 where exact) and whether each is exact."""

    values: Floats
    errors: Floats
    exact: Bools

    @classmethod
    def certain(cls, values: Floats) -> "Expectation":
        """Exact values."""
        return cls(values, np.zeros_like(values), np.ones(values.shape, dtype=np.bool_))


@lru_cache(maxsize=64)
def _rank_weights(n: int, ks: tuple[int, ...]) -> Floats:
    sizes = np.asarray(ks, dtype=np.float64)[:, None]
    ranks = np.arange(n - 1, dtype=np.float64)[None, :]
    ratios = np.maximum(n - sizes - ranks, 0.0) / (n - 1 - ranks)
    weights: Floats = np.cumprod(np.concatenate([sizes / n, ratios], axis=1), axis=1)
    weights.setflags(write=False)
    return weights


def rank_weights(n: int, ks: Sequence[int]) -> Floats:
    """float[K, N]: the chance that the candidate of rank j (0 = best) is the best of a k-subset.

    C(N-1-j, k-1) / C(N, k), by the ratio of neighbours, so that no N overflows.
    """
    return _rank_weights(n, tuple(ks))


def best_of_k(labels: Floats, scores: Floats, scored: Bools, ks: Sequence[int]) -> Floats:
    """Expected label of the best scored candidate of a random k-subset.

    labels, scores, scored: [..., N]; returns float[..., K]. Equal scores share the credit evenly;
    all unscored candidates are one tie group below every scored one, so a subset with no scored
    candidate earns its mean label. Each sort costs O(N log N), each k then O(N).
    """
    n = labels.shape[-1]
    order = np.lexsort((np.where(scored, -scores, 0.0), ~scored), axis=-1)
    ranked = np.take_along_axis(labels, order, axis=-1)
    keys = np.take_along_axis(np.where(scored, scores, 0.0), order, axis=-1)
    known = np.take_along_axis(scored, order, axis=-1)
    opens = np.ones(labels.shape, dtype=np.bool_)
    opens[..., 1:] = (keys[..., 1:] != keys[..., :-1]) | (known[..., 1:] != known[..., :-1])
    group = np.cumsum(opens.ravel()) - 1
    shared = (np.bincount(group, ranked.ravel()) / np.bincount(group))[group].reshape(labels.shape)
    values: Floats = shared @ rank_weights(n, ks).T
    return np.clip(values, 0.0, 1.0)


def pass_at_k(labels: Floats, ks: Sequence[int]) -> Floats:
    """Expected best label of a random k-subset: [..., N] to [..., K].

    For 0/1 labels with c ones this is 1 - C(N-c, k) / C(N, k) (Chen et al. 2021, Codex).
    """
    return best_of_k(labels, labels, np.ones(labels.shape, dtype=np.bool_), ks)


def first_of_k(labels: Floats, ks: Sequence[int]) -> Floats:
    """Expected label of the lowest index of a random k-subset: [..., N] to [..., K]."""
    values: Floats = labels @ rank_weights(labels.shape[-1], ks).T
    return np.clip(values, 0.0, 1.0)


def _placements(scores: Floats, labels: Bools) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it, for each negative that of positives
    above it; an equal score counts one half."""
    positive, negative = np.sort(scores[labels]), np.sort(scores[~labels])
    below = np.searchsorted(negative, scores[labels], "left")
    upto = np.searchsorted(negative, scores[labels], "right")
    over = len(positive) - np.searchsorted(positive, scores[~labels], "right")
    from_ = len(positive) - np.searchsorted(positive, scores[~labels], "left")
    return (below + upto) / (2.0 * len(negative)), (over + from_) / (2.0 * len(positive))


def auc(scores: Floats, labels: Bools) -> float | None:
    """Chance that a right candidate outscores a wrong one, ties half; None when a side is empty.

    The Mann-Whitney statistic, over all pairs of the given candidates: [M] and bool[M].
    """
    if labels.all() or not labels.any():
        return None
    return float(_placements(scores, labels)[0].mean())


def auc_by_problem(scores: Floats, labels: Bools, problems: Ints) -> Floats | None:
    """float[P] pseudo-values, one per problem, whose mean is the AUC; None when a side is empty.

    The AUC plus P times the problem's influence on it, so that resampling problems gives an
    interval that respects their clusters (Obuchowski 1997). problems: int[M] in 0..P-1, each used.
    """
    area = auc(scores, labels)
    if area is None:
        return None
    right, wrong = _placements(scores, labels)
    count = int(problems.max()) + 1
    pull = np.bincount(problems[labels], right - area, count) / len(right)
    pull += np.bincount(problems[~labels], wrong - area, count) / len(wrong)
    pseudo: Floats = area + count * pull
    return pseudo
