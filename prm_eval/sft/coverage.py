"""Rows that cover the pool: facility location, maximised by the greedy algorithm.

Invariant: the row that is offered is the one with the largest gain, exactly; sums count to 12 decimal
places, and equal gains go by lot. Memory is one block of embeddings and some numbers a row.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from prm_eval.sft.vectors import Floats, Places, Vectors

_DECIMALS = 12  # above the rounding of sums in float64, below any difference that matters


class FacilityLocation:
    """max over K rows S of (1 - w)/n sum_i max(0, max_{j in S} cos(i, j)) + w/K sum_{j in S} q_j.

    The first part is the mean similarity of the n rows to the nearest chosen one, a negative cosine being
    0; the second is the mean quality, in [0, 1]; `weight` is w. They are joined as in QDIT (arXiv
    2311.14736). Greedy reaches 1 - 1/e of the maximum (Nemhauser, Wolsey and Fisher 1978).

    Each gain is kept and corrected: when a row is chosen, only rows that are nearer to it than to all
    before change what the others would add. A row's nearest changes about ln K times, so that all costs
    about (1 + ln K) n^2 products of embeddings.
    """

    def __init__(
        self, vectors: Vectors, lots: Places, groups: Places, quality: Floats, weight: float, top: int
    ) -> None:
        self._vectors, self._lots, self._groups = vectors, lots, groups
        self._worth = quality * (weight / top)
        self._share = (1.0 - weight) / vectors.count
        self._nearest = np.zeros(vectors.count)  # similarity to the nearest chosen row
        self._gain = np.zeros(vectors.count)  # what each would add to the sum of `_nearest`
        self._open = np.ones(vectors.count, dtype=bool)

    @property
    def coverage(self) -> float:
        """Mean similarity of all rows to the nearest chosen one, in [0, 1]."""
        return float(self._nearest.mean())

    def prepare(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Compute the gain of every row alone; `path` keeps them, so that a crash goes on."""
        total, step = self._vectors.count, self._vectors.block
        with path.open("ab") as handle:
            done = handle.tell() // 8 // step * step
            handle.truncate(done * 8)
            for start in range(done, total, step):
                stop = min(start + step, total)
                handle.write(self._alone(self._vectors.between(start, stop)).tobytes())
                handle.flush()
                if progress is not None:
                    progress(stop, total)
        self._gain = np.fromfile(path, dtype=np.float64, count=total)

    def offers(self) -> Iterator[int]:
        """Place after place, the largest gain first; ask for the next after `keep` was told, or not."""
        for group in np.unique(self._groups):
            while len(places := np.flatnonzero(self._open & (self._groups == group))):
                gains = np.round(self._share * self._gain[places] + self._worth[places], _DECIMALS)
                equal = places[gains == gains.max()]
                place = int(equal[np.argmin(self._lots[equal])])
                self._open[place] = False
                yield place

    def keep(self, place: int) -> None:
        """The row that was offered last is chosen."""
        chosen = self._vectors.between(place, place + 1)[0]
        nearer = np.concatenate([
            start + np.flatnonzero(block @ chosen > self._nearest[start : start + len(block)])
            for start, block in self._vectors.blocks()
        ])  # fmt: skip
        for start in range(0, len(nearer), self._vectors.block):
            self._correct(nearer[start : start + self._vectors.block], chosen)

    def _alone(self, vectors: Floats) -> Floats:
        gains = np.zeros(len(vectors))
        for _, block in self._vectors.blocks():
            gains += np.maximum(block @ vectors.T, 0.0).sum(axis=0)
        return gains

    def _correct(self, nearer: Places, chosen: Floats) -> None:
        """Move these rows to the row that was chosen, and take from every gain what it had from them."""
        vectors, before = self._vectors.take(nearer), self._nearest[nearer]
        now = np.maximum(vectors @ chosen, before)
        for start, block in self._vectors.blocks():
            similar = block @ vectors.T
            lost = np.maximum(similar - before, 0.0)
            lost -= np.maximum(similar - now, 0.0, out=similar)
            self._gain[start : start + len(block)] -= lost.sum(axis=1)
        self._nearest[nearer] = now
