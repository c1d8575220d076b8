"""The exchange files: read, validate, append, write (`docs/formats.md` is their manual).

Invariant: a line that does not follow its format is a DataError with file, line, field and what was
expected; nothing is skipped. Files are read by lines of bytes, so U+2028 never splits one.
"""

import json
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from prm_eval.errors import DataError

log = logging.getLogger("prm_eval")
_SURROGATE = re.compile("[\ud800-\udfff]")


def dumps(row: Mapping[str, Any]) -> str:
    """One JSON line. Lone surrogates, which UTF-8 cannot hold, are written as escapes."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    return json.dumps(row, allow_nan=False) if _SURROGATE.search(text) else text


def read_rows(path: Path, *, drop_torn_tail: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every line; blank lines are allowed.

    A last line without newline that does not parse is what a crash leaves behind: with
    `drop_torn_tail` it is left out with a notice, otherwise it is an error like any other.
    """
    try:
        handle = path.open("rb")
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror or error}") from error
    with handle:
        for number, raw in enumerate(handle, start=1):
            if not raw.strip():
                continue
            torn = not raw.endswith(b"\n")
            try:
                row = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
            except ValueError as error:
                if torn and drop_torn_tail:
                    log.warning("%s:%d: a torn last line (from a crash) was dropped", path, number)
                    return
                tail = " (the last line is torn: was the writer interrupted?)" if torn else ""
                raise DataError(path, f"not JSON: {error}{tail}", number) from error
            if not isinstance(row, dict):
                raise DataError(path, f"expected a JSON object, found {_kind(row)}", number)
            yield number, row


def read_object(path: Path) -> dict[str, Any]:
    """A file that is one JSON object. Raises DataError when it cannot be read as one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(path, "expected a JSON object")
    return value


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a whole file at once: readers see the old one or the new one, never a half."""
    write_text(path, "".join(dumps(row) + "\n" for row in rows))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """One indented JSON document, written whole."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """A text in UTF-8, written whole."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write through a temporary file in the same folder, synced and then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only we may read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class Appender:
    """Appends whole lines and syncs them; a torn last line of an earlier crash is cut off first."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_tail(path)
        self._handle = path.open("ab")

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the rows as one block and sync it to the disk."""
        self._handle.write("".join(dumps(row) + "\n" for row in rows).encode("utf-8"))
        self._handle.flush()
        os.fsync(self._handle.fileno())

    def close(self) -> None:
        """Close the file; appending again needs a new Appender."""
        self._handle.close()

    def __enter__(self) -> "Appender":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Field:
    """Checked access to one row: every complaint names file, line, field and what was expected."""

    def __init__(self, row: Mapping[str, Any], path: object, line: int | None) -> None:
        self.row, self.path, self.line = row, path, line

    def need(self, name: str, kind: type | tuple[type, ...], expected: str) -> Any:
        """The field, which must be there and of that type."""
        if name not in self.row:
            raise DataError(self.path, f"field '{name}' is missing: expected {expected}", self.line)
        value = self.row[name]
        # bool is a subclass of int: `"index": true` is a mistake, not the number 1
        if not isinstance(value, kind) or (isinstance(value, bool) and not _takes_bool(kind)):
            raise self.wrong(name, expected, value)
        return value

    def may(self, name: str, kind: type | tuple[type, ...], expected: str) -> Any:
        """The field, or None when it is absent or null."""
        return None if self.row.get(name) is None else self.need(name, kind, expected)

    def wrong(self, name: str, expected: str, value: Any) -> DataError:
        """The error that says what was expected of a field and what it held."""
        return DataError(self.path, f"field '{name}': expected {expected}, found {_kind(value)}", self.line)


def _takes_bool(kind: type | tuple[type, ...]) -> bool:
    return bool in (kind if isinstance(kind, tuple) else (kind,))


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true/false", type(None): "null"}
    shown = json.dumps(value)[:40] if not isinstance(value, dict | list) else ""
    return f"{names.get(type(value), 'a number')} {shown}".strip()


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cut_torn_tail(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as handle:
        size = handle.seek(0, os.SEEK_END)
        position = size
        while position > 0:
            start = max(0, position - 65536)
            handle.seek(start)
            newline = handle.read(position - start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position < size:
            log.warning("%s: a torn last line (from a crash) was dropped", path)
            handle.truncate(position)
