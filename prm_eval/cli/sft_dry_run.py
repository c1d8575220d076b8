"""`prm-eval sft select --dry-run`: everything checked that needs neither a GPU nor a model call.

Invariant: nothing is written, no model is loaded, and what would be refused later for its options, its
first row, its files or its folder is refused here by the same code.
"""

import importlib.util
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from prm_eval.errors import MissingExtra, UsageError
from prm_eval.sft.contamination import EvaluationSet
from prm_eval.sft.fields import COLUMNS, Fields, lookup, parse_entry
from prm_eval.sft.near import unit_vector
from prm_eval.sft.plan import STAGES, Plan
from prm_eval.sft.preview import Look, disk_need, look
from prm_eval.sft.scorers import Scorer

# The scores, read into a folder that goes away: `sft_run` knows how they are made of the options.
Recorded = Callable[[Path], Scorer | None]


def dry_run(
    given: Mapping[str, Any], sets: Sequence[EvaluationSet], plan_of: Callable[[Mapping[str, Any]], Plan],
    recorded: Recorded, out: Path,
) -> int:  # fmt: skip
    """Check and tell; returns the exit status. Raises as the selection itself would."""
    for folder in [out, *([given["store_path"].parent] if given["store_path"] else [])]:
        _writable(folder)
    looks = look(given["pool"], given["split"])
    plan = plan_of(looks[0].first)
    numbers = max(_row(one, plan) for one in looks)
    if given["workers"] and importlib.util.find_spec("ray") is None:
        raise MissingExtra("ray", "ray")
    with tempfile.TemporaryDirectory() as name:
        scorer = recorded(Path(name))
    told = {
        "pool": [f"{one.name}: {_count(one.rows)}" for one in looks],
        "columns": _columns(plan.fields),
        "decontamination": [f"{one.name}: {len(one.questions):,} questions" for one in sets] or ["none"],
        "scores": _scores(given, scorer),
        "rules": _rules(plan),
        "order": _order(plan),
        "output": [f"{out}: {_state(out)}", f"format {given['form']}"],
        "disk": [_disk(looks, numbers if plan.by == "facility-location" else 0, plan, out)],
    }
    if given["as_json"]:
        click.echo(json.dumps(told, ensure_ascii=False))
        return 0
    for name, lines in told.items():
        for number, line in enumerate(lines):
            click.echo(f"{'' if number else name:16} {line}")
    click.echo("dry run: of each file one row was parsed, no model was loaded, nothing was written", err=True)
    return 0


def _row(one: Look, plan: Plan) -> int:
    """Parse the first row of a file as the selection does; returns the size of its embedding."""
    parse_entry(one.first, plan.fields, one.name, 1)
    if plan.embedding is None:
        return 0
    return len(unit_vector(lookup(one.first, plan.embedding), None, plan.embedding, one.name, 1))


def _count(rows: int | None) -> str:
    return "not counted" if rows is None else f"{rows:,} rows"


def _columns(fields: Fields) -> list[str]:
    if fields.candidates:
        return ["as in candidates.jsonl"]
    named = [(name, getattr(fields, name)) for name in COLUMNS]
    return [f"{name} from '{column}'" for name, column in named if column is not None]


def _scores(given: Mapping[str, Any], scorer: Scorer | None) -> list[str]:
    how = given["aggregation"] or "the model's own aggregation"
    if scorer is not None:
        return [f"of {scorer.facts()['reward_model']}, recorded ({how})"]
    if not given["reward_model"]:
        return ["none"]
    where = f" on {given['workers']} Ray workers" if given["workers"] else ""
    return [f"by {given['reward_model']} ({how}){where}; its weights were not looked at"]


def _rules(plan: Plan) -> list[str]:
    return [name for rule, name in STAGES if plan.asks(rule) and rule not in ("contaminated", "unscored")]


def _order(plan: Plan) -> list[str]:
    top = "all that pass" if plan.top is None else f"the first {plan.top:,}"
    first = "right answers first, then " if plan.verified == "first" else ""
    return [f"{first}{plan.by}, seed {plan.seed}; {top}"]


def _state(out: Path) -> str:
    """What is in the run folder already; read without a lock, changed by nothing."""
    index = out / "work" / "index.sqlite"
    if not index.exists():
        return "new"
    try:
        with closing(sqlite3.connect(f"{index.resolve().as_uri()}?mode=ro", uri=True)) as db:
            done = db.execute("SELECT value FROM meta WHERE name = 'finished'").fetchone()
            (rows,) = db.execute("SELECT COUNT(*) FROM rows").fetchone()
    except sqlite3.DatabaseError as error:
        raise UsageError(f"{index}: not the index of a selection ({error}): remove it") from error
    if done is not None:
        return f"a finished selection of {rows:,} rows; the same one leaves it as it is, another is refused"
    return f"an unfinished selection, {rows:,} rows read; the same one goes on, another takes its place"


def _disk(looks: Sequence[Look], numbers: int, plan: Plan, out: Path) -> str:
    """The line about the disk. Raises UsageError when it is too small."""
    free = shutil.disk_usage(_there(out)).free
    need = disk_need(looks, numbers, plan.needs_scores)
    if need is None:
        return f"{free / 1e9:.2f} GB free; the need is not known before the pool is read"
    if need > free:
        raise UsageError(
            f"--out {out}: about {need / 1e9:.2f} GB are needed for index, scores and JSON Lines, and"
            f" {free / 1e9:.2f} GB are free"
        )
    return f"about {need / 1e9:.2f} GB besides the output, {free / 1e9:.2f} GB free"


def _writable(folder: Path) -> None:
    place = _there(folder)
    if not (place.is_dir() and os.access(place, os.W_OK)):
        raise UsageError(f"{folder} cannot be written: {place} is no folder that this user may write to")


def _there(path: Path) -> Path:
    """The path, or the nearest folder above it that there is."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
