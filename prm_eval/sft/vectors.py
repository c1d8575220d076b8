"""Unit vectors in a file, read a block at a time.

Invariant: one block is held, however many there are. Kept in float32, given in float64: what is summed
up over them then agrees to 12 digits however it is cut into blocks.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from prm_eval.errors import UsageError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Places = np.ndarray[Any, np.dtype[np.int64]]

_BYTES = 4  # of one number
_BLOCK_BYTES = 8 << 20
_BLOCK_ROWS = 512  # of two blocks, all products lie in the cache


class Vectors:
    """`count` vectors of `size` numbers, counted from 0."""

    def __init__(self, path: Path, count: int, size: int) -> None:
        self.count, self.size = count, size
        self.block = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // (size * _BYTES)))
        self._handle = path.open("rb")

    def between(self, start: int, stop: int) -> Floats:
        """The vectors start..stop-1, shape (stop - start, size)."""
        self._handle.seek(start * self.size * _BYTES)
        numbers = np.fromfile(self._handle, dtype=np.float32, count=(stop - start) * self.size)
        return numbers.reshape(-1, self.size).astype(np.float64)

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """All of them: (place of the first, vectors) block by block."""
        for start in range(0, self.count, self.block):
            yield start, self.between(start, min(start + self.block, self.count))

    def take(self, places: Places) -> Floats:
        """The vectors at these places, shape (len(places), size)."""
        return np.concatenate([self.between(int(place), int(place) + 1) for place in places])

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


def write_vectors(path: Path, count: int, vectors: Iterator[Floats]) -> Vectors:
    """Write `count` vectors to `path`, unless they are there; whole or not at all.

    Raises UsageError when the disk has no room for them.
    """
    if path.exists():
        return Vectors(path, count, path.stat().st_size // (count * _BYTES))
    part, size = path.with_name(f"{path.name}.part"), 0
    with part.open("wb") as handle:
        for number, vector in enumerate(vectors):
            if number == 0:
                size = len(vector)
                _room(part, count * size * _BYTES, count)
            handle.write(vector.astype(np.float32).tobytes())
    part.replace(path)
    return Vectors(path, count, size)


def _room(path: Path, wanted: int, count: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if wanted > free:
        path.unlink()
        raise UsageError(
            f"{path.parent}: {count:,} embeddings need {wanted / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are"
            " free: let fewer rows take part (--min-score, --limit), or choose another --out"
        )
