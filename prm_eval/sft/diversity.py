"""The rows of a selection in the order in which facility location takes them.

Invariant: the rows that are still in when the ranking begins are both what is chosen from and what is to
be covered. Of each some numbers are held; its embedding lies on the disk.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from prm_eval.batching import Progress
from prm_eval.sft.coverage import FacilityLocation
from prm_eval.sft.fields import lookup
from prm_eval.sft.index import Index, Row
from prm_eval.sft.near import unit_vector
from prm_eval.sft.plan import Plan
from prm_eval.sft.sources import Pool
from prm_eval.sft.vectors import Floats, write_vectors

_KNOWN = np.dtype([("n", np.int64), ("lot", np.int64), ("wrong", np.int8), ("score", np.float64)])


class Diversity:
    """Facility location over the embeddings that a column holds."""

    def __init__(self, index: Index, pool: Pool, plan: Plan, work: Path) -> None:
        self._index, self._pool, self._column = index, pool, plan.embedding or ""
        self._rows = np.fromiter(self._known(plan.verified == "first"), dtype=_KNOWN)
        self._weight, self._top = plan.score_weight or 0.0, plan.top or len(self._rows)
        seen = json.dumps(index.fact("options"), sort_keys=True).encode() + self._rows["n"].tobytes()
        self._path = work / f"embeddings-{hashlib.sha256(seen).hexdigest()[:16]}.f32"
        self._location: FacilityLocation | None = None

    def prepare(self, progress: Progress | None = None) -> None:
        """Write out the embeddings and compare them all; goes on where an earlier run was killed.

        Raises DataError for a row without a proper embedding, UsageError when the disk is too small.
        """
        if not len(self._rows):
            return
        vectors = write_vectors(self._path, len(self._rows), self._embeddings())
        rows = self._rows
        location = FacilityLocation(
            vectors, rows["lot"], rows["wrong"], _unit_range(rows["score"]), self._weight, self._top
        )
        location.prepare(self._path.with_suffix(".gains"), progress)
        self._location = location

    def rows(self) -> Iterator[Row]:
        """Row after row; ask for the next after `keep` was told of this one, or was not."""
        for place in self._location.offers() if self._location else ():
            yield next(self._index.rows("WHERE n = ?", (int(self._rows["n"][place]),)))

    def keep(self, row: Row) -> None:
        """The row that was offered last is chosen."""
        assert self._location is not None
        self._location.keep(int(np.searchsorted(self._rows["n"], row.n)))

    def facts(self) -> dict[str, Any]:
        """What the card says of the choice."""
        coverage = self._location.coverage if self._location else 0.0
        return {
            "embeddings": self._column,
            "score_weight": self._weight,
            "coverage": float(f"{coverage:.6g}"),
        }

    def _known(self, right_first: bool) -> Iterator[tuple[int, int, int, float]]:
        for row in self._index.rows("WHERE rule IS NULL ORDER BY n"):
            score = 0.0 if row.score is None else row.score
            yield row.n, row.tie, int(right_first and not row.verified), score

    def _embeddings(self) -> Iterator[Floats]:
        size: int | None = None
        for n in self._rows["n"]:
            row = next(self._index.rows("WHERE n = ?", (int(n),)))
            given = self._pool.files[row.file].given
            vector = unit_vector(
                lookup(self._pool.row(row.place), self._column), size, self._column, given, row.line
            )
            size = len(vector)
            yield vector


def _unit_range(scores: Floats) -> Floats:
    """Scores moved and stretched to [0, 1], lowest to highest; all 0 when they are equal."""
    low, high = float(scores.min()), float(scores.max())
    stretched: Floats = (scores - low) / (high - low) if high > low else np.zeros(len(scores))
    return stretched
