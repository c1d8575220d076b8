"""A data set of the model hub as JSON Lines: streamed once, at one revision, a block of rows in memory.

Invariant: no code of the data set is run, and the revision is settled before the first row and kept,
so that a run that was interrupted goes on with the same data: in the file of the data set in which it
was, without reading the files before it again.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prm_eval.errors import UsageError
from prm_eval.records import write_json
from prm_eval.sft import spool

_REFERENCE = re.compile(r"(?P<name>[^:@\s]+/[^:@\s]+)(?::(?P<config>[^@\s]+))?(?:@(?P<revision>\S+))?")

_NOTE = 1024  # rows between two notes; more than `spool` holds


def spooled(reference: str, split: str, work: Path) -> tuple[str, Path]:
    """(name with revision, JSON Lines) of `OWNER/NAME[:CONFIG][@REVISION]`.

    Raises UsageError, in one line, when the reference is malformed or the hub cannot be had.
    """
    name, config, wanted = _parts(reference)
    digest = hashlib.sha256(json.dumps([reference, split]).encode()).hexdigest()[:16]
    path, settled = work / f"hub-{digest}.jsonl", work / f"hub-{digest}.json"
    if settled.exists():
        revision = str(json.loads(settled.read_text(encoding="utf-8"))["revision"])
    else:
        revision = _revision(reference, name, wanted)
        write_json(settled, {"data_set": name, "config": config, "split": split, "revision": revision})
    stream = Stream(reference, name, config, split, revision)
    spool.write(path, lambda skip: stream.rows(skip, path.with_suffix(".state.json")))
    return stream.shown, path


def opened(reference: str, split: str) -> "Stream":
    """The stream of a reference at the revision that it has now; nothing is written."""
    name, config, wanted = _parts(reference)
    return Stream(reference, name, config, split, _revision(reference, name, wanted))


def _parts(reference: str) -> tuple[str, str | None, str | None]:
    """(name, configuration, revision) of a reference."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise UsageError(f"--pool hub:{reference}: write hub:OWNER/NAME, hub:OWNER/NAME:CONFIG or …@REVISION")
    return found["name"], found["config"], found["revision"]


def _revision(reference: str, name: str, wanted: str | None) -> str:
    try:
        from huggingface_hub import HfApi

        return str(HfApi().dataset_info(name, revision=wanted).sha)
    except Exception as error:  # the hub fails in many ways: offline, gated, moved
        raise _unavailable(reference, error) from error


@dataclass(frozen=True, slots=True)
class Stream:
    """The rows of one split; `name` may also be a folder laid out like a data set of the hub."""

    reference: str
    name: str
    config: str | None
    split: str
    revision: str

    @property
    def shown(self) -> str:
        """The data set with its revision and split, for people."""
        config = f":{self.config}" if self.config else ""
        return f"hub:{self.name}{config}@{self.revision}#{self.split}"

    def look(self) -> tuple[dict[str, Any], int | None, int | None]:
        """(first row, rows, bytes) of the split; the hub does not say the counts of every data set."""
        try:
            stream = self._stream()
            first = next(iter(stream), None)
        except Exception as error:
            raise _unavailable(self.reference, error) from error
        if first is None:
            raise UsageError(f"--pool hub:{self.reference}: no rows in it")
        said = (stream.info.splits or {}).get(self.split)
        return dict(first), said and said.num_examples, said and said.num_bytes

    def _stream(self) -> Any:
        from datasets import load_dataset

        return load_dataset(self.name, self.config, split=self.split, revision=self.revision, streaming=True)

    def rows(self, skip: int, kept: Path) -> Iterator[Mapping[str, Any]]:
        """The rows after the first `skip`; `kept` notes every so often where reading goes on.

        Raises UsageError, in one line, for whatever keeps a row from coming.
        """
        try:
            stream = self._stream()
            done, noted = _go_on(stream, skip, kept), None
            for number, row in enumerate(stream, done + 1):
                if number > skip:
                    yield dict(row)
                if number % _NOTE == 0:
                    if noted is not None:  # a whole stretch ago: all before it is on the disk
                        write_json(kept, noted)
                    noted = {"rows": number, "datasets": version("datasets"), "state": stream.state_dict()}
        except Exception as error:
            raise _unavailable(self.reference, error) from error
        kept.unlink(missing_ok=True)


def _go_on(stream: Any, skip: int, kept: Path) -> int:
    """Put the stream where an earlier run noted that it was; returns how many rows lie before that."""
    if not kept.exists():
        return 0
    noted = json.loads(kept.read_text(encoding="utf-8"))
    if noted["rows"] > skip or noted["datasets"] != version("datasets"):
        return 0
    stream.load_state_dict(noted["state"])
    return int(noted["rows"])


def _unavailable(reference: str, error: Exception) -> UsageError:
    reason = " ".join(str(error).split())[:200]
    return UsageError(
        f"--pool hub:{reference}: the hub gave {type(error).__name__} ({reason}): go online and run the same"
        " command again, which goes on where it was, or download its files and name them with --pool"
    )
