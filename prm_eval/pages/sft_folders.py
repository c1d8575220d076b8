"""Folders of `sft select` and `sft train` in the shape of a run: results, and how they were made.

Invariant: what they hold beyond the sections of a run stands under `card` and `training`, unchanged.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from prm_eval.errors import DataError
from prm_eval.records import Field, read_object
from prm_eval.runs import RunFolder
from prm_eval.sft.card import SCHEMA as CARD
from prm_eval.training.folder import TrainFolder

Row = Mapping[str, Any]
TRAINING = "prm-eval/train-manifest/1"


class Found(NamedTuple):
    """What kind of folder it is, its results and its manifest."""

    kind: Literal["sft_select", "sft_train"]
    results: Row
    manifest: Row


def read_sft(path: Path) -> Found | None:
    """The selection or training in a folder, None when it holds neither. Raises DataError."""
    if (path / "card.json").is_file():
        return _selection(path, path / "card.json")
    folder = TrainFolder(path)
    if folder.manifest.is_file() or folder.losses.is_file():
        return _training(folder)
    return None


def _selection(path: Path, file: Path) -> Found:
    card = read_object(file)
    _known(card, file, CARD, {"stages": list, "output": dict, "selected": dict, "decontamination": dict})
    manifest = RunFolder(path).manifest
    made = read_object(manifest) if manifest.exists() else {}
    scores = card.get("scores") or {}
    model = scores.get("reward_model")
    files = [Path(str(one["file"])).name for one in card.get("pool", [])]
    results = {
        **_EMPTY, "task": ", ".join(files), "card": card,
        "cost": {model: made["cost"]} if model and made.get("cost") else {},
        "provenance": {model: scores.get("provenance", {})} if model else {},
    }  # fmt: skip
    return Found("sft_select", results, made)


def _training(folder: TrainFolder) -> Found:
    """One without a manifest is not done: its curve so far, and what it was asked to do."""
    curve = folder.curve()
    if not folder.manifest.is_file():
        begun = folder.path / "begun.json"
        return Found(
            "sft_train", {**_EMPTY, "training": None, "curve": curve},
            read_object(begun) if begun.is_file() else {},
        )  # fmt: skip
    made = read_object(folder.manifest)
    _known(made, folder.manifest, TRAINING, {"rows": int, "tokens": dict, "recipe": dict, "options": dict})
    results = {**_EMPTY, "training": made, "curve": curve, "cost": {"training": made.get("cost", {})},
               "task": Path(str(made["options"].get("data", ""))).name}  # fmt: skip
    return Found("sft_train", results, made)


_EMPTY: Row = {"metrics": [], "comparisons": [], "warnings": [], "unscored": [], "cost": {}}


def _known(value: dict[str, Any], path: Path, schema: str, needed: Mapping[str, type]) -> None:
    if value.get("schema") != schema:
        raise DataError(path, f"its schema is {value.get('schema')!r}, not {schema}: make it again")
    fields = Field(value, path, None)
    for name, kind in needed.items():
        fields.need(name, kind, {list: "a list", dict: "an object", int: "a number"}[kind])
