"""What a sweep comes to: a table for every task, both plots, and a manifest for every cell.

Invariant: only cells whose every stage is done are counted; those that are not are named.
"""

import json
import platform
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from prm_eval.figures.runs import read_runs
from prm_eval.figures.training import save_reward_model_size, save_training_samples
from prm_eval.records import write_json
from prm_eval.runs import RunFolder, versions
from prm_eval.sweep.cells import Cell, Grid
from prm_eval.sweep.recipe import SweepRecipe
from prm_eval.training.collect import collect
from prm_eval.training.folder import TrainFolder

CELL_SCHEMA = "prm-eval/sweep-cell/1"


def tables(grid: Grid, finished: Collection[str], out: Path) -> dict[str, dict[str, Any]]:
    """For each task the results object of its finished cells, written to `table/TASK/results.json`."""
    found: dict[str, list[str]] = {}
    for cell in grid.cells:
        for task, stage in cell.evaluate.items():
            if all(name in finished for name in (cell.select, cell.train, stage)):
                found.setdefault(task, []).append(f"{cell.selector}={out / stage}")
    results = {}
    for task, references in found.items():
        folder = RunFolder(out / "table" / task)
        results[task] = collect(references)
        folder.write_results(results[task])
    return results


def plots(recipe: SweepRecipe, tasks: Collection[str], out: Path) -> list[Path]:
    """Accuracy against training samples, and against reward-model size as far as sizes are known."""
    paths = []
    for task in tasks:
        runs, folder = read_runs([out / "table" / task]), out / "plots" / task
        folder.mkdir(parents=True, exist_ok=True)
        paths += save_training_samples(runs, folder / "training-samples")
        paths += save_reward_model_size(runs, recipe.parameters, folder / "reward-model-size")
    return paths


def write_cells(grid: Grid, finished: Collection[str], out: Path) -> list[Cell]:
    """A manifest for every finished cell, enough to repeat it; returns those that are not finished."""
    missing = []
    for cell in grid.cells:
        if all(name in finished for name in cell.stages):
            write_json(out / "cells" / f"{cell.name}.json", _manifest(grid, cell, out))
        else:
            missing.append(cell)
    return missing


def _manifest(grid: Grid, cell: Cell, out: Path) -> dict[str, Any]:
    card = _json(out / cell.select / "card.json")
    trained = _json(TrainFolder(out / cell.train).manifest)
    return {
        "schema": CELL_SCHEMA,
        "selector": cell.selector,
        "size": cell.size,
        "seed": cell.seed,
        "commands": [grid.stages[name].line for name in cell.stages],
        "pool": card["pool"],
        "selected": card["output"],
        "recipe": trained["recipe"],
        "model": trained["model"],
        "trained": trained["outputs"],
        "accuracy": {
            task: _mean(_json(RunFolder(out / stage).results)) for task, stage in cell.evaluate.items()
        },
        "versions": {**trained["versions"], **versions()},
        "machine": {"platform": platform.platform(), "python": platform.python_version()},
    }


def _mean(results: Mapping[str, Any]) -> Any:
    return next(row["value"] for row in results["metrics"] if row["metric"] == "mean")


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
