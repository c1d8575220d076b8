"""What config.json says of the classes of a head.

Invariant: a head is read as its own checkpoint says, or the checkpoint is refused.
"""

from pathlib import Path

from prm_eval.errors import CheckpointError
from prm_eval.readout.checkpoint import read_json

GOOD = {"good", "correct", "positive", "valid", "right", "true", "yes", "+", "1"}
BAD = {"bad", "incorrect", "negative", "invalid", "wrong", "false", "no", "-", "0"}


def check_labels(folder: Path, good: int, count: int) -> None:
    """Raises CheckpointError when `id2label` has another number of classes, or swaps them.

    Names that say nothing (LABEL_0) pass, and so does a folder with a tokenizer alone.
    """
    path = folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    labels = {int(key): str(value).strip().lower() for key, value in (config.get("id2label") or {}).items()}
    if labels and len(labels) != count:
        raise CheckpointError(
            f"{folder}: config.json names {len(labels)} classes, this family reads {count}: use the family "
            "that the checkpoint belongs to"
        )
    for number, label in labels.items():
        if label in (BAD if number == good else GOOD):
            raise CheckpointError(
                f"{folder}: config.json calls class {number} {label!r}, and this family reads class {good} "
                "as good: the classes are swapped, use the family that the checkpoint belongs to"
            )
