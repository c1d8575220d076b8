"""The k-subsets of a pool: all of them where they are few, a seeded sample with its error where not.

Invariant: an estimate is unbiased for every seed, carries its standard error, and does not depend
on the order of the candidates.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np

from prm_eval.metrics import Bools, Expectation, Floats, Ints, Pool

ENUMERATE_UP_TO = math.comb(16, 8)
"""Subsets are enumerated when there are no more than this: every k at N = 16."""

SAMPLES = 1_000
"""Random subsets of an estimate: a standard error of at most 0.016 on one problem."""

Earn = Callable[[Pool, Floats], Floats]
"""A pool and subsets of it as 0/1 membership float[N, M] to what each earns, float[M]."""


@lru_cache(maxsize=128)
def memberships(n: int, k: int) -> Bools:
    """bool[N, M], a column per k-subset: all when they are few enough, else `SAMPLES`."""
    if enumerable(n, k):
        few = min(k, n - k)
        picked = np.array(list(combinations(range(n), few)), dtype=np.int64).reshape(math.comb(n, k), few)
        table = np.zeros((len(picked), n), dtype=np.bool_)
        np.put_along_axis(table, picked, True, axis=1)
        table = table if few == k else ~table
    else:
        keys = np.random.default_rng([n, k]).random((SAMPLES, n))
        table = np.zeros((SAMPLES, n), dtype=np.bool_)
        np.put_along_axis(table, np.argpartition(keys, k - 1, axis=1)[:, :k], True, axis=1)
    columns = np.ascontiguousarray(table.T)
    columns.setflags(write=False)
    return columns


def enumerable(n: int, k: int) -> bool:
    """Few enough k-subsets to look at them all."""
    return math.comb(n, k) <= ENUMERATE_UP_TO


def over_subsets(pool: Pool, ks: Sequence[int], seed: int, earn: Earn) -> Expectation:
    """Mean earnings over the k-subsets, exact where they can be enumerated.

    One table of subsets serves every problem of this N: the seed permutes the candidates, which
    makes each column a uniform k-subset and the problems' estimates uncorrelated.
    """
    n = len(pool.labels)
    if pool.constant:
        return Expectation.certain(np.full(len(ks), pool.labels[0]))
    order = _canonical(pool)[np.random.default_rng([seed, n]).permutation(n)]
    drawn = Pool(pool.labels[order], pool.scores[order], pool.scored[order], pool.classes[order])
    values, errors = np.zeros(len(ks)), np.zeros(len(ks))
    for place, k in enumerate(ks):
        earned = earn(drawn, memberships(n, k).astype(np.float64))
        values[place] = earned.mean()
        if not enumerable(n, k):
            errors[place] = standard_error(earned)
    return Expectation(values, errors, np.array([enumerable(n, k) for k in ks]))


def standard_error(earned: Floats) -> float:
    """Standard error of the mean of sampled earnings in [0, 1], never zero.

    Two imagined subsets are added, one that earns 0 and one that earns 1: a sample in which all
    are alike does not prove that all subsets are (Agresti & Coull 1998).
    """
    widened = np.append(earned, [0.0, 1.0])
    return float(widened.std(ddof=1)) / math.sqrt(len(widened))


def _canonical(pool: Pool) -> Ints:
    """An order of the candidates that does not depend on the one they came in."""
    _, place, count = np.unique(pool.classes, return_inverse=True, return_counts=True)
    score = np.where(pool.scored, pool.scores, -np.inf)
    order: Ints = np.lexsort((count[place], pool.labels, score))
    return order
