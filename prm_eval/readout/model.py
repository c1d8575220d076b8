"""A reward model made of a family (how to write and read) and an engine (what computes).

Invariant: as many results as candidates, in their order; what cannot be read is Unscored and never
shortened.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prm_eval.errors import BadOption
from prm_eval.readout.rendering import Engine, Family, Rendered, Rows
from prm_eval.readout.tokens import repair
from prm_eval.types import Candidate, Score, Unscored, Work

log = logging.getLogger("prm_eval")


class ReadoutModel:
    """A `types.PreparedRewardModel`. `max_tokens` may be less than what the backbone was built for."""

    def __init__(
        self, family: Family, engine: Engine, max_tokens: int | None = None, proven: str = ""
    ) -> None:
        if max_tokens is not None and max_tokens < 1:
            raise BadOption(f"max_tokens={max_tokens}: give at least 1")
        if max_tokens is not None and max_tokens > engine.max_tokens:
            raise BadOption(
                f"max_tokens={max_tokens}: the model was built for {engine.max_tokens} positions, and what"
                " lies past them scores plausible nonsense; give less, or another checkpoint"
            )
        self._family, self._engine, self._proven = family, engine, proven
        self._limit = max_tokens or own_limit(family, engine.max_tokens)
        self.default_aggregation = family.default_aggregation
        self.fingerprint = hashlib.sha256(f"{engine.identity}\n{family.identity}".encode()).hexdigest()

    def with_family(self, family: Family) -> "ReadoutModel":
        """The same weights, loaded once, read by another family that has the same head."""
        assert family.head == self._family.head, "another head would need other weights"
        return ReadoutModel(family, self._engine, self._limit, self._proven)

    def prepare(self, candidates: Sequence[Candidate]) -> list[Work | Unscored]:
        """Token ids and marks of each candidate, named by content; no forward pass."""
        repaired = [repair(candidate) for candidate in candidates]
        changed = sum(new is not old for new, old in zip(repaired, candidates, strict=True))
        if changed:
            log.warning("lone surrogates replaced by U+FFFD in %d of %d candidates", changed, len(candidates))
        return [self._prepare(candidate) for candidate in repaired]

    def score_work(self, works: Sequence[Work]) -> list[Score | Unscored]:
        """One result per work, in order; equal works are expected to be dropped before."""
        rows = self._engine.rows([work.payload for work in works])
        return [self._read(work.payload, row) for work, row in zip(works, rows, strict=True)]

    def score(self, candidates: Sequence[Candidate]) -> list[Score | Unscored]:
        """`prepare` and `score_work` in one; equal inputs are computed once."""
        prepared = self.prepare(candidates)
        unique = {work.key: work for work in prepared if isinstance(work, Work)}
        scores = dict(zip(unique, self.score_work(list(unique.values())), strict=True))
        return [scores[item.key] if isinstance(item, Work) else item for item in prepared]

    def provenance(self) -> Mapping[str, Any]:
        """What ran, and how its format is known."""
        return {
            **self._engine.provenance(),
            "family": self._family.identity,
            "fingerprint": self.fingerprint,
            "max_tokens": self._limit,
            "proven": self._proven,
        }

    def cost(self) -> Mapping[str, float]:
        """The engine's: cumulative tokens, padded_tokens, seconds and flops, and the peak of memory."""
        return self._engine.cost()

    def _prepare(self, candidate: Candidate) -> Work | Unscored:
        item = self._family.render(candidate)
        if isinstance(item, Unscored):
            return item
        if len(item) > self._limit:
            return too_long(item, self._limit, self._family.stepwise)
        return Work(self._key(item), len(item), item)

    def _key(self, item: Rendered) -> str:
        shape = f"{len(item.ids)} {len(item.marks)} {item.start}"
        digest = hashlib.sha256(f"{self.fingerprint} {shape}\n".encode())
        for array in (item.ids, item.marks):
            digest.update(array.astype("<i4").tobytes())
        return digest.hexdigest()

    def _read(self, item: Rendered, rows: Rows | Unscored) -> Score | Unscored:
        if isinstance(rows, Unscored):
            return rows
        if len(rows) != len(item.marks):
            return Unscored(f"engine failure: {len(rows)} rows for {len(item.marks)} marks")
        if not np.isfinite(rows).all():
            return Unscored("not finite: the model gave infinity or NaN, try dtype=float32")
        return self._family.read(rows)


def own_limit(family: Family, positions: int) -> int:
    """How long an input may be when nobody says: the position range, or what the family was trained for.

    A family says so by an attribute `longest`, in tokens; it never stretches the position range.
    """
    return min(positions, int(getattr(family, "longest", positions)))


def too_long(item: Rendered, limit: int, stepwise: bool) -> Unscored:
    """The reason, with the number of steps that a truncation would have lost."""
    reason = f"too long: {len(item)} tokens, the model reads {limit}"
    if stepwise:
        past = int((item.marks >= limit).sum())
        reason += f"; {past} of {len(item.marks)} step marks lie past it"
    return Unscored(reason)
