"""A pool looked at before it is read: how many rows, what the first one holds, what disk it will need.

Invariant: nothing is written, and of each file no more is parsed than its first row; lines are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prm_eval.errors import DataError
from prm_eval.sft import hub, spool
from prm_eval.sft.sources import HUB, Pool, PoolFile, expanded, lies_readable, measured

# what index and scores took in the largest runs, per row; ids of usual length
_INDEX_BYTES = 300
_SCORE_BYTES = 400


@dataclass(frozen=True, slots=True)
class Look:
    """One file of the pool. `rows` None: it would have to be read to know; `spooled` are the bytes that it
    takes once more as JSON Lines, 0 where it is read as it lies, None where that is not known."""

    name: str
    first: Mapping[str, Any]
    rows: int | None
    spooled: int | None


def look(given: Sequence[str], split: str) -> list[Look]:
    """Every file of a pool. Raises as `open_pool` does, for what can be seen at once."""
    return [_look(name, split) for name in expanded(given)]


def disk_need(looks: Sequence[Look], numbers: int, scored: bool) -> int | None:
    """Bytes that a selection writes besides its output, about; `numbers` are those of an embedding.

    None when the rows of some file are not known.
    """
    total = 0
    for one in looks:
        if one.rows is None or one.spooled is None:
            return None
        each = _INDEX_BYTES + (_SCORE_BYTES if scored else 0) + 4 * numbers
        total += one.spooled + one.rows * each
    return total


def _look(name: str, split: str) -> Look:
    if name.startswith(HUB):
        stream = hub.opened(name.removeprefix(HUB), split)
        return Look(stream.shown, *stream.look())
    path = Path(name)
    if lies_readable(path):
        digest, lines = measured(path)
        return Look(name, Pool([PoolFile(name, path, path, digest, lines)]).first(), lines, 0)
    first = next(spool.READERS[path.suffix.lower()](path), None)
    if first is None:
        raise DataError(path, "no rows in it")
    if path.suffix.lower() == ".json":
        return Look(name, first, None, path.stat().st_size)
    import pyarrow.parquet  # type: ignore[import-untyped]

    found = pyarrow.parquet.read_metadata(path)
    held = sum(found.row_group(number).total_byte_size for number in range(found.num_row_groups))
    return Look(name, first, found.num_rows, held)
