"""The content-addressed store: what was scored once is never scored again.

One JSON line per finished batch: `{"cost": {...}, "done": [{"key", "score", "steps"} | {"key",
"unscored"}]}`. Invariant: a batch is there whole or not at all, so a run that was killed goes on
with the very batches that an uninterrupted run would have made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prm_eval.costs import combined
from prm_eval.errors import DataError
from prm_eval.records import Appender, read_rows
from prm_eval.types import Score, Unscored

Result = Score | Unscored


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch cost: `seconds`, and whatever else the model counts; peaks are no sums."""

    cost: Mapping[str, float]


class ScoreStore:
    """Results by key, kept in one file; `path=None` keeps them in memory only."""

    def __init__(self, path: Path | None, *, retry_unscored: bool = False) -> None:
        self.path = path
        self._results: dict[str, Result] = {}
        self._batch_of: dict[str, Batch] = {}
        self._appender: Appender | None = None
        if path is not None and path.exists():
            self._load(path, retry_unscored)

    def get(self, key: str) -> Result | None:
        """The stored result, None when the key was never scored."""
        return self._results.get(key)

    def add(self, done: Sequence[tuple[str, Result]], cost: Mapping[str, float]) -> None:
        """Keep one finished batch, durably, before anything else happens."""
        if self.path is not None:
            if self._appender is None:
                self._appender = Appender(self.path)
            self._appender.append([{"cost": dict(cost), "done": [_row(key, result) for key, result in done]}])
        self._remember(done, Batch(cost))

    def cost(self, keys: Iterable[str]) -> dict[str, float]:
        """What the batches that hold any of these keys cost in all, whichever run paid for them."""
        batches = {id(batch): batch for key in keys if (batch := self._batch_of.get(key)) is not None}
        return combined(batch.cost for batch in batches.values())

    def close(self) -> None:
        """Close the file; the results stay readable."""
        if self._appender is not None:
            self._appender.close()
            self._appender = None

    def _remember(self, done: Iterable[tuple[str, Result]], batch: Batch) -> None:
        for key, result in done:
            self._results[key] = result
            self._batch_of[key] = batch

    def _load(self, path: Path, retry_unscored: bool) -> None:
        for line, row in read_rows(path, drop_torn_tail=True):
            try:
                done = [(item["key"], _result(item)) for item in row["done"]]
                batch = Batch(row["cost"])
            except (KeyError, TypeError) as error:
                raise DataError(
                    path, f"not a line of a score store ({error!r}); name another --store", line
                ) from error
            kept = [pair for pair in done if not (retry_unscored and isinstance(pair[1], Unscored))]
            self._remember(kept, batch)


def _row(key: str, result: Result) -> dict[str, Any]:
    if isinstance(result, Unscored):
        return {"key": key, "unscored": result.reason}
    return {"key": key, "score": result.value, "steps": None if result.steps is None else list(result.steps)}


def _result(item: Mapping[str, Any]) -> Result:
    if "unscored" in item:
        return Unscored(item["unscored"])
    steps = item["steps"]
    return Score(item["score"], None if steps is None else tuple(steps))
