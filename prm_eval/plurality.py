"""The plurality vote over all k-subsets, exactly, by a dynamic programme over answer classes.

Invariant: only non-negative terms are added, so the result is accurate to rounding; the largest
term is C(N, k), which fits a double up to N = `MAX_SIZE`.
"""

import math
from functools import lru_cache

import numpy as np

from prm_eval.metrics import Floats, Ints

MAX_SIZE = 1024

Ballot = tuple[float, tuple[int, ...]]
"""A class: its label, and for each tie-break rank r the number of its members at or below r."""


@lru_cache(maxsize=4096)
def binomials(n: int) -> Floats:
    """float[n+1]: C(n, 0..n)."""
    row = np.array([math.comb(n, j) for j in range(n + 1)], dtype=np.float64)
    row.setflags(write=False)
    return row


@lru_cache(maxsize=4096)
def _choose(m: int, upto: int) -> Floats:
    return np.array([math.comb(count, m) for count in range(upto + 1)], dtype=np.float64)


@lru_cache(maxsize=1024)
def _unit_nodes(count: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre on [0, 1]: exact for polynomials of degree 2 count - 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2


def work(ballots: tuple[Ballot, ...], top: int) -> float:
    """An upper bound of the multiplications that `expected_label` needs."""
    sizes = sorted(counts[-1] for _, counts in ballots)
    total = 0.0
    for level in range(1, min(sizes[-2] if len(sizes) > 1 else 0, top) + 1):
        big = [size for size in sizes if size >= level]
        rows = (len(big) + 1) // 2 if len(ballots[0][1]) == 1 else sum(big)
        total += rows * top * (level + 1) * len(big)
    return total


def chosen_label(ballots: tuple[Ballot, ...], abstain_label: float) -> float:
    """Label of the plurality class of the whole pool; equals share the credit evenly."""
    if not ballots:
        return abstain_label
    most = max(counts[-1] for _, counts in ballots)
    # The sooner a class's count is complete, the lower its best rank.
    ends = [(counts.index(most), label) for label, counts in ballots if counts[-1] == most]
    best = [label for end, label in ends if end == max(ends)[0]]
    return sum(best) / len(best)


@lru_cache(maxsize=8192)
def expected_label(ballots: tuple[Ballot, ...], abstain: int, abstain_label: float, top: int) -> Floats:
    """float[top]: expected label of the plurality class of a random k-subset, k = 1..top.

    `abstain` candidates never vote; a subset of them alone earns `abstain_label`. Classes with
    equally many votes are ordered by the highest tie-break rank present in each; those still
    equal share the credit evenly.
    """
    sizes = [counts[-1] for _, counts in ballots]
    total = abstain + sum(sizes)
    won = np.zeros(top + 1)
    won[: abstain + 1] += abstain_label * binomials(abstain)[: top + 1]
    if sizes:
        largest = int(np.argmax(sizes))
        second = max((size for place, size in enumerate(sizes) if place != largest), default=0)
        won += _unrivalled(ballots[largest], second, total, top)
        for level in range(1, min(second, top) + 1):
            won += _tied_level(ballots, level, total, top)
    values: Floats = won[1:] / binomials(total)[1 : top + 1]
    values.setflags(write=False)
    return values


def _unrivalled(ballot: Ballot, second: int, total: int, top: int) -> Floats:
    """Subsets where the largest class has more votes than any other class has members."""
    label, counts = ballot
    alone = binomials(counts[-1]).copy()
    alone[: second + 1] = 0.0
    return label * np.convolve(alone, binomials(total - counts[-1]))[: top + 1]


def _tied_level(ballots: tuple[Ballot, ...], level: int, total: int, top: int) -> Floats:
    """Label-weighted number of subsets, by size 0..top, whose winner has `level` votes.

    Row by row of (rank r, node y), a class may have fewer than `level` votes, or `level` votes
    topped below r, or a share y of those topped at r: integrating y over [0, 1] gives each of t
    classes tied at r the share 1/t. `others` is the product of these polynomials in the subset
    size, `won` the same with one class as the winner, times its label.
    """
    big = [ballot for ballot in ballots if ballot[1][-1] >= level]
    if not any(label for label, _ in big):
        return np.zeros(top + 1)
    bases, gains, weights = _rows(np.array([counts for _, counts in big]), level)
    others, won = np.ones((len(weights), 1)), np.zeros((len(weights), 1))
    for place, (label, counts) in enumerate(big):
        low = binomials(counts[-1])[:level]
        if won.any():
            won = _times(won, low, bases[place], top)
        if label:
            gained = _shift(others * (label * gains[place])[:, None], level, top)
            won = gained + (won if won.any() else 0.0)
        if any(later for later, _ in big[place + 1 :]):
            others = _times(others, low, bases[place], top)
    rest = total - sum(counts[-1] for _, counts in big)
    sets = np.zeros(top + 1)
    found = np.convolve(weights @ won, binomials(rest))[: top + 1]
    sets[: len(found)] = found
    return sets


def _rows(counts: Ints, level: int) -> tuple[Floats, Floats, Floats]:
    """(base [C, rows], gain [C, rows], weight [rows]) of the (rank, node) rows of one level."""
    upto = _choose(level, int(counts[:, -1].max()))[counts]
    below = np.concatenate([np.zeros((len(counts), 1)), upto[:, :-1]], axis=1)
    gain = upto - below
    tied = (gain > 0).sum(axis=0)
    live = np.flatnonzero(tied)
    nodes = [_unit_nodes((int(tied[rank]) + 1) // 2) for rank in live]
    ranks = np.repeat(live, [len(weight) for _, weight in nodes])
    share = np.concatenate([node for node, _ in nodes])
    return (
        below[:, ranks] + share * gain[:, ranks],
        gain[:, ranks],
        np.concatenate([weight for _, weight in nodes]),
    )


def _times(factor: Floats, low: Floats, at_level: Floats, top: int) -> Floats:
    """factor [rows, D] times (low[0] + low[1] x + ... + at_level x^level), up to x^top."""
    level, degree = len(low), factor.shape[1]
    out = _shift(factor * at_level[:, None], level, top)
    for votes, ways in enumerate(low):
        take = min(degree, out.shape[1] - votes)
        out[:, votes : votes + take] += ways * factor[:, :take]
    return out


def _shift(factor: Floats, level: int, top: int) -> Floats:
    """factor [rows, D] times x^level, up to x^top."""
    rows, degree = factor.shape
    out = np.zeros((rows, min(degree + level, top + 1)))
    take = min(degree, out.shape[1] - level)
    out[:, level : level + take] = factor[:, :take]
    return out
