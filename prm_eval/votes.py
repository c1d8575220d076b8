"""Voting over all k-subsets of a pool: majority, weighted, majority then best.

Invariant: a class earns the mean label of its members, classes that tie share evenly, and a value
is exact unless its `Expectation` says otherwise and gives a standard error.
"""

import math
from collections.abc import Sequence

import numpy as np

from prm_eval import plurality
from prm_eval.metrics import Bools, Expectation, Floats, Ints, Pool
from prm_eval.subsets import over_subsets

WORK_LIMIT = 5e7
"""Multiplications that the exact programme may spend on one problem: about 50 ms. Every pool of 64
candidates stays below a tenth of it."""

_TIE = 1e-12


def majority_at_k(pool: Pool, ks: Sequence[int], seed: int) -> Expectation:
    """The class with most votes. Every candidate with an answer votes, scored or not.

    A subset without any vote earns its mean label. Exact up to N = 1024 and `WORK_LIMIT`.
    """
    pool = settled(pool)
    ballots = _ballots(pool, np.zeros(len(pool.labels), dtype=np.int64))
    if not _affordable(pool, ballots, ks):
        return over_subsets(pool, ks, seed, _earn_majority)
    return Expectation.certain(_exact(pool, ballots, ks))


def majority_then_best_at_k(pool: Pool, ks: Sequence[int], seed: int) -> Expectation:
    """The class with most votes; among equals the one whose best score is highest.

    Unscored candidates vote and rank below every scored one. A subset without a scored candidate,
    or without a vote, earns its mean label. Exact up to N = 1024 and `WORK_LIMIT`.
    """
    pool = settled(pool)
    ranks = _ranks(pool)
    ballots = _ballots(pool, ranks)
    if not _affordable(pool, ballots, ks):
        return over_subsets(pool, ks, seed, _earn_majority_then_best)
    values = _exact(pool, ballots, ks)
    hidden = np.flatnonzero(~pool.scored)
    if len(hidden) and not pool.constant:
        unseen = Pool(pool.labels[hidden], pool.scores[hidden], pool.scored[hidden], pool.classes[hidden])
        within = [k for k in ks if k <= len(hidden)]
        voted = dict(zip(within, _exact(unseen, _ballots(unseen, ranks[hidden]), within), strict=True))
        for place, k in enumerate(ks):
            if k in voted:
                odds = math.comb(len(hidden), k) / math.comb(len(pool.labels), k)
                values[place] += odds * (unseen.labels.mean() - voted[k])
    return Expectation.certain(np.clip(values, 0.0, 1.0))


def weighted_at_k(pool: Pool, ks: Sequence[int], seed: int) -> Expectation:
    """The class with the largest sum of its scored voters' weights, which are `pool.scores`.

    An unscored candidate keeps its vote with no weight: a class without a scored voter ranks below
    every class with one, and such classes tie. A subset without a scored candidate, or without a
    vote, earns its mean label. Sums within 1e-12 of each other, relative to the subset's total
    weight, are equal. Exact where the subsets are few enough to enumerate, else estimated.
    """
    return over_subsets(settled(pool), ks, seed, _earn_weighted)


def settled(pool: Pool) -> Pool:
    """The pool with every voter's label replaced by the mean label of its class."""
    voters = np.flatnonzero(pool.classes >= 0)
    if not len(voters):
        return pool
    _, place = np.unique(pool.classes[voters], return_inverse=True)
    labels = pool.labels.copy()
    labels[voters] = (np.bincount(place, labels[voters]) / np.bincount(place))[place]
    return Pool(labels, pool.scores, pool.scored, pool.classes)


def _ranks(pool: Pool) -> Ints:
    """Dense ranks of the scores, 1 and up; 0 for every unscored candidate."""
    ranks = np.zeros(len(pool.labels), dtype=np.int64)
    ranks[pool.scored] = np.unique(pool.scores[pool.scored], return_inverse=True)[1] + 1
    return ranks


def _ballots(pool: Pool, ranks: Ints) -> tuple[plurality.Ballot, ...]:
    steps = np.unique(ranks[pool.classes >= 0])
    ballots = []
    for name in np.unique(pool.classes[pool.classes >= 0]):
        members = pool.classes == name
        counts = np.searchsorted(np.sort(ranks[members]), steps, "right")
        ballots.append((float(pool.labels[members][0]), tuple(counts.tolist())))
    return tuple(sorted(ballots))


def _parts(pool: Pool, ks: Sequence[int]) -> list[int]:
    return [k for k in ks if k < len(pool.labels)]


def _affordable(pool: Pool, ballots: tuple[plurality.Ballot, ...], ks: Sequence[int]) -> bool:
    if pool.constant:
        return True
    small = len(pool.labels) <= plurality.MAX_SIZE
    return small and plurality.work(ballots, max(_parts(pool, ks), default=0)) <= WORK_LIMIT


def _exact(pool: Pool, ballots: tuple[plurality.Ballot, ...], ks: Sequence[int]) -> Floats:
    if pool.constant or not len(ks):
        return np.full(len(ks), pool.labels[0])
    silent = pool.classes < 0
    abstain = int(silent.sum())
    mean = float(pool.labels[silent].mean()) if abstain else 0.0
    curve = plurality.expected_label(ballots, abstain, mean, max(_parts(pool, ks), default=0))
    whole = plurality.chosen_label(ballots, mean)
    values = [curve[k - 1] if k < len(pool.labels) else whole for k in ks]
    return np.clip(values, 0.0, 1.0)


def _tally(pool: Pool) -> tuple[Floats, Floats]:
    """(membership [C, N], label [C]) of the answer classes of a settled pool."""
    names, first = np.unique(pool.classes, return_index=True)
    voting = (pool.classes == names[:, None]).astype(np.float64)
    return voting[names >= 0], pool.labels[first][names >= 0]


def _shared(standing: Floats, labels: Floats, blank: Floats, slack: Floats | float = 0.0) -> Floats:
    """Mean label of the classes with the highest standing [C, M]; `blank` where all are -inf."""
    if not len(labels):
        return blank
    best = standing.max(axis=0)
    tops = (standing >= best - slack).astype(np.float64)
    earned, count = np.stack([labels, np.ones_like(labels)]) @ tops
    return np.where(best > -np.inf, earned / count, blank)


def _mean_label(pool: Pool, members: Floats) -> Floats:
    mean: Floats = (pool.labels @ members) / members.sum(axis=0)
    return mean


def _earn_majority(pool: Pool, members: Floats) -> Floats:
    voting, labels = _tally(pool)
    votes = voting @ members
    return _shared(np.where(votes > 0, votes, -np.inf), labels, _mean_label(pool, members))


def _earn_majority_then_best(pool: Pool, members: Floats) -> Floats:
    voting, labels = _tally(pool)
    votes = voting @ members
    ranks = _ranks(pool)
    best = np.zeros_like(votes)
    for place, voters in enumerate(voting):
        own = np.flatnonzero(voters)
        best[place] = (members[own] * ranks[own, None]).max(axis=0)
    standing = np.where(votes > 0, votes * (len(ranks) + 1) + best, -np.inf)
    mean = _mean_label(pool, members)
    return np.where(pool.scored @ members > 0, _shared(standing, labels, mean), mean)


def _earn_weighted(pool: Pool, members: Floats) -> Floats:
    voting, labels = _tally(pool)
    known = voting * pool.scored
    weights = np.where(pool.scored, pool.scores, 0.0)
    sums = (known * weights) @ members
    if (weights[pool.scored] > 0).all():
        # Only an absent class has the sum 0, and it cannot win: one product less.
        seen: Bools = np.any(sums > 0, axis=0)
    else:
        present = known @ members > 0
        sums[~present] = -np.inf
        seen = np.any(present, axis=0)
    blank = np.zeros(members.shape[1])
    earned = _shared(sums, labels, blank, _TIE * (np.abs(weights) @ members))
    if not seen.all():
        earned[~seen] = _earn_unweighted(pool, members[:, ~seen])
    return earned


def _earn_unweighted(pool: Pool, members: Floats) -> Floats:
    """What subsets without a scored voter earn: all classes tie where somebody else is scored."""
    voting, labels = _tally(pool)
    mean = _mean_label(pool, members)
    tied = _shared(np.where(voting @ members > 0, 0.0, -np.inf), labels, mean)
    return np.where(pool.scored @ members > 0, tied, mean)
