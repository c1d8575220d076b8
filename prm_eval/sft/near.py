"""Rows that are too much like one that was chosen: near duplicates by text, neighbours by embedding.

Invariant: a row is compared with chosen rows only, best first, so the best-scored of a group stays
and memory grows with what is chosen, not with the pool.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from prm_eval.errors import DataError, MissingExtra
from prm_eval.sft.contamination import normal_words

SHINGLE = 5
PERMUTATIONS = 128
_HASH_SEED = 1


def shingles(text: str) -> set[str]:
    """Every run of five normal words; of a shorter text, all of it."""
    words = normal_words(text)
    runs = {" ".join(words[place : place + SHINGLE]) for place in range(len(words) - SHINGLE + 1)}
    return runs or {" ".join(words)}


def jaccard(one: set[str], other: set[str]) -> float:
    """Size of the intersection over size of the union, in [0, 1]."""
    return len(one & other) / len(one | other)


def need_extra() -> None:
    """Raises MissingExtra when what finds near duplicates is not installed."""
    try:
        import datasketch  # noqa: F401
    except ImportError:
        raise MissingExtra("datasketch", "sft") from None


class NearDuplicates:
    """Chosen texts by MinHash; what the hashes find is compared exactly.

    MinHash may miss a pair near the threshold, and never takes a pair below it for a duplicate.
    `text` gives the text of a chosen row again.
    """

    def __init__(self, threshold: float, text: Callable[[int], str]) -> None:
        need_extra()
        from datasketch import MinHash, MinHashLSH

        self._threshold, self._text, self._minhash = threshold, text, MinHash
        # a miss lets a duplicate through, a false alarm costs one comparison
        self._found = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=(0.1, 0.9))
        self._last: tuple[int, Any] | None = None

    def like(self, n: int, text: str) -> tuple[int, float] | None:
        """(chosen row, similarity) of the most similar one at or above the threshold."""
        mine = shingles(text)
        signature = self._minhash(num_perm=PERMUTATIONS, seed=_HASH_SEED, hashfunc=_hash32)
        signature.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in sorted(mine)])
        self._last = (n, signature)
        pairs = [
            (jaccard(mine, shingles(self._text(other))), other) for other in self._found.query(signature)
        ]
        best = min(((-share, other) for share, other in pairs if share >= self._threshold), default=None)
        return None if best is None else (best[1], -best[0])

    def keep(self, n: int) -> None:
        """The row that was asked about last is chosen."""
        assert self._last is not None and self._last[0] == n
        self._found.insert(n, self._last[1])


class Neighbours:
    """Embeddings of chosen rows; a row closer to one of them than `least` is refused.

    Distance is one minus the cosine, in [0, 2]. The walk is that of Deita (arXiv 2312.15685): best
    first, a row stays when it is far enough from all that stayed.
    """

    def __init__(self, least: float) -> None:
        self._least = least
        self._rows: list[int] = []
        self._kept = np.zeros((0, 0))

    def like(self, vector: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[int, float] | None:
        """(chosen row, distance) of the nearest one when it is too near."""
        if not self._rows:
            return None
        cosines = self._kept[: len(self._rows)] @ vector
        nearest = int(np.argmax(cosines))
        distance = max(0.0, 1.0 - float(cosines[nearest]))
        return (self._rows[nearest], distance) if distance < self._least else None

    def keep(self, n: int, vector: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        """A row is chosen."""
        if len(self._rows) == len(self._kept):
            grown = np.zeros((max(64, 2 * len(self._kept)), len(vector)))
            grown[: len(self._kept), :] = self._kept if len(self._kept) else 0.0
            self._kept = grown
        self._kept[len(self._rows)] = vector
        self._rows.append(n)


def unit_vector(
    value: Any, size: int | None, column: str, path: object, line: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """An embedding of a row at length one. `size` is that of the others, None for the first.

    Raises DataError for what is no list of finite numbers, has another size, or is all zero.
    """
    right = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
    if not right or any(isinstance(x, bool) or not isinstance(x, int | float) for x in value):
        raise DataError(path, f"field '{column}': expected an embedding, a list of numbers", line)
    vector = np.asarray(value, dtype=np.float64)
    if size is not None and len(vector) != size:
        raise DataError(path, f"field '{column}': {len(vector)} numbers, and {size} in earlier rows", line)
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm == 0.0:
        raise DataError(path, f"field '{column}': expected finite numbers that are not all zero", line)
    return vector / norm


def _hash32(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=4).digest(), "little")
