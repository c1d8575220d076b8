"""Rows that cover the pool: facility location, maximised by the lazy greedy algorithm.

Invariant: every row that is offered is the one that plain greedy would offer. Memory is one block of
embeddings and some numbers a row; sums count to 12 decimal places, and equal gains go by lot.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from prm_eval.sft.vectors import Floats, Places, Vectors

_DECIMALS = 12  # above the rounding of sums in float64, below any difference that matters
_BATCH = 64  # gains that are brought up to date in one pass over the embeddings


class FacilityLocation:
    """max over K rows S of (1 - w)/n sum_i max(0, max_{j in S} cos(i, j)) + w/K sum_{j in S} q_j.

    The first part is the mean similarity of the n rows to the nearest chosen one, a negative cosine being
    0; the second is the mean quality, in [0, 1]; `weight` is w. They are joined as in QDIT (arXiv
    2311.14736). Greedy reaches 1 - 1/e of the maximum (Nemhauser et al. 1978); a gain never grows, so
    most need not be computed again (Minoux 1978).
    """

    def __init__(
        self, vectors: Vectors, lots: Places, groups: Places, quality: Floats, weight: float, top: int
    ) -> None:
        self._vectors, self._lots, self._groups = vectors, lots, groups
        self._worth = quality * (weight / top)
        self._share = (1.0 - weight) / vectors.count
        self._nearest = np.zeros(vectors.count)  # similarity to the nearest chosen row
        self._bound = np.full(vectors.count, -np.inf)  # a gain, or what it was earlier
        self._age = np.zeros(vectors.count, dtype=np.int32)  # how many were chosen when it was computed
        self._chosen = 0

    @property
    def coverage(self) -> float:
        """Mean similarity of all rows to the nearest chosen one, in [0, 1]."""
        return float(self._nearest.mean())

    def prepare(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Compute the gain of every row alone; `path` keeps them, so that a crash goes on.

        Costs n^2 products of embeddings; everything that comes after costs much less.
        """
        total, step = self._vectors.count, self._vectors.block
        with path.open("ab") as handle:
            done = handle.tell() // 8 // step * step
            handle.truncate(done * 8)
            for start in range(done, total, step):
                stop = min(start + step, total)
                gains = self._gains(np.arange(start, stop), self._vectors.between(start, stop))
                handle.write(gains.tobytes())
                handle.flush()
                if progress is not None:
                    progress(stop, total)
        self._bound = np.fromfile(path, dtype=np.float64, count=total)

    def offers(self) -> Iterator[int]:
        """Place after place, the largest gain first; ask for the next after `keep` was told, or not."""
        for group in np.unique(self._groups):
            outside = np.flatnonzero(self._groups != group)
            kept, self._bound[outside] = self._bound[outside], -np.inf
            while (place := self._best()) is not None:
                self._bound[place] = -np.inf
                yield place
            self._bound[outside] = kept

    def keep(self, place: int) -> None:
        """The row that was offered last is chosen."""
        vector = self._vectors.between(place, place + 1)[0]
        for start, block in self._vectors.blocks():
            near = self._nearest[start : start + len(block)]
            np.maximum(near, block @ vector, out=near)
        self._chosen += 1

    def _best(self) -> int | None:
        while True:
            top = highest(self._bound, self._lots, _BATCH)
            if not len(top):
                return None
            if self._age[top[0]] == self._chosen:
                return int(top[0])
            old = top[self._age[top] != self._chosen]
            self._bound[old] = self._gains(old, self._vectors.take(old))
            self._age[old] = self._chosen

    def _gains(self, places: Places, vectors: Floats) -> Floats:
        """What each of these rows, given with its vector, would add to the objective."""
        covered = np.zeros(len(places))
        for start, block in self._vectors.blocks():
            more = block @ vectors.T
            more -= self._nearest[start : start + len(block), None]
            np.maximum(more, 0.0, out=more)
            covered += more.sum(axis=0)
        gains: Floats = np.round(self._share * covered + self._worth[places], _DECIMALS)
        return gains


def highest(values: Floats, lots: Places, count: int) -> Places:
    """Places of the `count` highest values, highest first, equal ones by their lots; never one of -inf."""
    open_ = np.flatnonzero(values > -np.inf)
    if len(open_) > count:
        least = np.partition(values[open_], len(open_) - count)[len(open_) - count]
        above, level = open_[values[open_] > least], open_[values[open_] == least]
        level = level[np.argsort(lots[level])[: count - len(above)]]
        open_ = np.concatenate([above, level])
    return open_[np.lexsort((lots[open_], -values[open_]))]
