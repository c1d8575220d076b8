"""The pool's files: JSON Lines read where they lie, anything else written out once as JSON Lines.

Invariant: every row has a place (file, byte offset) at which it can be read again, so that no row has
to be kept. Reading goes on at any place, and the bytes that are read are the bytes that were hashed.
"""

import glob
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from prm_eval.errors import DataError, UsageError
from prm_eval.sft import hub, spool

Notice = Callable[[int, int], None]
HUB = "hub:"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class PoolFile:
    """One file of the pool. `given` names it for people; `path` is the JSON Lines that are read.

    `original` is the file that was given, None for a hub data set; `sha256` is its hash, of a hub
    data set that of the JSON Lines.
    """

    given: str
    path: Path
    original: Path | None
    sha256: str
    lines: int


class Place(NamedTuple):
    """Where a row lies: number of the file, line, first byte, bytes."""

    file: int
    line: int
    start: int
    size: int


class Pool:
    """All files in the order in which they were given; rows are numbered through."""

    def __init__(self, files: Sequence[PoolFile]) -> None:
        self.files = files
        self._handles = [file.path.open("rb") for file in files]

    @property
    def lines(self) -> int:
        """How many rows there are at most (blank lines count)."""
        return sum(file.lines for file in self.files)

    def rows(self, after: Place | None = None) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Every row, or those that come after one of them."""
        first = 0 if after is None else after.file
        for number in range(first, len(self.files)):
            line, start = (after.line, after.start + after.size) if after and number == after.file else (0, 0)
            yield from self._file_rows(number, line, start)

    def read(self, place: Place) -> bytes:
        """The bytes of one row, with its line end."""
        handle = self._handles[place.file]
        handle.seek(place.start)
        return handle.read(place.size)

    def row(self, place: Place) -> dict[str, Any]:
        """One row again."""
        return _parse(self.read(place), self.files[place.file], place.line)

    def first(self) -> dict[str, Any]:
        """The first row. Raises DataError when there is none."""
        for _, row in self.rows():
            return row
        raise DataError(self.files[0].given, "no rows in it")

    def close(self) -> None:
        """Close the files."""
        for handle in self._handles:
            handle.close()

    def _file_rows(self, number: int, line: int, start: int) -> Iterator[tuple[Place, dict[str, Any]]]:
        file = self.files[number]
        with file.path.open("rb") as handle:
            handle.seek(start)
            for raw in handle:
                line += 1
                if raw.strip():
                    yield Place(number, line, start, len(raw)), _parse(raw, file, line)
                start += len(raw)


def open_pool(given: Sequence[str], work: Path, split: str, progress: Notice | None = None) -> Pool:
    """The pool of these files, patterns and `hub:OWNER/NAME[:CONFIG][@REVISION]`.

    What is no JSON Lines is written out under `work` first. Raises UsageError for a pattern without
    a file, DataError for a file of another kind or without rows.
    """
    opened = [_located(name, work, split) for name in expanded(given)]
    total = sum(path.stat().st_size for _, path, _, _ in opened)
    done, files = 0, []
    for name, path, original, known in opened:
        digest, lines = measured(path, done, total, progress)
        if not lines:
            raise DataError(name, "no rows in it")
        files.append(PoolFile(name, path, original, known or digest, lines))
        done += path.stat().st_size
    return Pool(files)


def expanded(given: Sequence[str]) -> list[str]:
    """Every file and hub data set that is meant. Raises UsageError when one is meant twice, or none."""
    wanted = [name for entry in given for name in _expanded(entry)]
    doubles = {name for name in wanted if wanted.count(name) > 1}
    if doubles:
        raise UsageError(f"--pool names {', '.join(sorted(doubles))} twice")
    return wanted


def lies_readable(original: Path) -> bool:
    """Whether a file is read where it lies. Raises DataError for a kind of file that is not read at all."""
    if original.suffix.lower() not in spool.READERS:
        known = ", ".join(spool.READERS)
        raise DataError(original, f"expected one of {known}, found '{original.suffix}'")
    return original.suffix.lower() == ".jsonl" or not spool.needed(original)


def _expanded(entry: str) -> list[str]:
    if entry.startswith(HUB):
        return [entry]
    if Path(entry).is_file():
        return [entry]
    found = sorted(path for path in glob.glob(entry, recursive=True) if Path(path).is_file())  # noqa: PTH207 (absolute patterns)
    if not found:
        raise UsageError(f"--pool {entry}: no such file; write {HUB}OWNER/NAME for a data set of the hub")
    return found


def _located(name: str, work: Path, split: str) -> tuple[str, Path, Path | None, str | None]:
    """(name for people, JSON Lines to read, the original file, its hash where it is another file)."""
    if name.startswith(HUB):
        shown, path = hub.spooled(name.removeprefix(HUB), split, work)
        return shown, path, None, None
    original = Path(name)
    if lies_readable(original):
        return name, original, original, None
    reader = spool.READERS[original.suffix.lower()]
    digest, _ = measured(original)
    path = work / f"{original.stem}-{digest[:16]}.jsonl"
    spool.write(path, lambda skip: spool.skipping(reader(original), skip))
    return name, path, original, digest


def measured(path: Path, done: int = 0, total: int = 0, progress: Notice | None = None) -> tuple[str, int]:
    """(SHA-256, lines) of a file."""
    digest, lines, last = hashlib.sha256(), 0, b"\n"
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
            lines += block.count(b"\n")
            last, done = block[-1:], done + len(block)
            if progress is not None:
                progress(done, total)
    return digest.hexdigest(), lines + (last != b"\n")


def _parse(raw: bytes, file: PoolFile, line: int) -> dict[str, Any]:
    try:
        row = json.loads(raw.decode("utf-8"), parse_constant=spool.refuse_constant)
    except ValueError as error:
        raise DataError(file.given, f"not JSON: {error}", line) from error
    if not isinstance(row, dict):
        raise DataError(file.given, f"expected a JSON object, found {json.dumps(row)[:40]}", line)
    return row
