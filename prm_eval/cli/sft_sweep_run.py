"""The body of `prm-eval sft sweep`: a recipe to stages, the stages run, the table and both plots told.

Invariant: every command of the grid is parsed, and every name in it looked up, before the first runs.
"""

import glob
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from prm_eval.errors import MissingExtra, PrmEvalError, UsageError
from prm_eval.harness.tasks import generation_twin
from prm_eval.plugins import Registry, load_registry
from prm_eval.records import write_text
from prm_eval.sft.sources import HUB
from prm_eval.sweep.cells import Grid, Stage, grid, in_yaml
from prm_eval.sweep.recipe import SweepRecipe, load_sweep
from prm_eval.sweep.schedule import Outcome, Runner, Schedule
from prm_eval.training.model import need_extra, sha256
from prm_eval.training.recipe import load_recipe

Meter = Callable[[str, str], AbstractContextManager[Callable[[int, int], None]]]
_LINES_SHOWN = 3


def run(ctx: click.Context, given: Mapping[str, Any], meter: Meter) -> int:
    """Run the sweep, or say what it would run; 1 when a stage failed."""
    if given["ray_address"] is not None and given["workers"] is None:
        raise click.UsageError("--ray-address says where the tasks of --workers run: give that too", ctx)
    recipe = load_sweep(given["recipe"])
    out = given["out"] or Path("prm_eval_runs") / f"sweep-{given['recipe'].stem}"
    laid = grid(recipe, out, [str(path) for path in given["plugins"]])
    _check(recipe, laid, given["plugins"])
    schedule = Schedule(laid.stages, out, _inputs(recipe, laid))
    before = schedule.finished()
    if given["dry_run"]:
        _tell_plan(laid, before, out, given["as_json"])
        return 0
    write_text(out / "recipe.yaml", given["recipe"].read_text(encoding="utf-8"))
    outcome = execute(schedule, _runner(given), given["workers"] or given["jobs"], meter)
    return _tell(recipe, laid, outcome, schedule, given["as_json"])


def _check(recipe: SweepRecipe, laid: Grid, plugins: Sequence[Path]) -> None:
    """Everything that can be known before the first stage: options, names, files, extras."""
    need_extra()
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtra("matplotlib", "figures")
    registry = load_registry(plugins)
    for task in recipe.evaluate.tasks:
        generation_twin(task, registry.task_folders())
    load_recipe(recipe.train.recipe, _changes(recipe))
    model = Path(recipe.train.model)
    if (model.is_absolute() or recipe.train.model.startswith(".")) and not model.is_dir():
        raise UsageError(f"sweep key train.model: {model}: no such folder")
    for stage in laid.stages.values():
        _check_stage(stage, registry)


def _check_stage(stage: Stage, registry: Registry) -> None:
    """Its words parsed and looked up as the command itself will; a training's data are not there yet."""
    from prm_eval.cli.best_of_n import best_of_n
    from prm_eval.cli.sft import select
    from prm_eval.cli.sft_run import check

    kind = stage.name.partition("/")[0]
    try:
        if kind == "select":
            context = select.make_context("select", list(stage.command[3:]))
            check(context, context.params, registry)
        elif kind == "evaluate":
            best_of_n.make_context("best-of-n", list(stage.command[2:]))
    except (click.ClickException, PrmEvalError) as error:
        told = error.format_message() if isinstance(error, click.ClickException) else str(error)
        raise UsageError(f"{stage.name}: {told}") from error


def _changes(recipe: SweepRecipe) -> list[str]:
    return [f"{key}={in_yaml(value)}" for key, value in recipe.train.set.items()]


def _inputs(recipe: SweepRecipe, laid: Grid) -> dict[str, dict[str, Any]]:
    """What the outcome of a stage depends on besides its words: the recipe's content, the files read."""
    trained = load_recipe(recipe.train.recipe, _changes(recipe)).as_dict()
    found: dict[str, dict[str, Any]] = {}
    data = {task: _data(task, Path(path)) for task, path in recipe.evaluate.data.items()}
    files = {selector: _files(recipe.options_of(selector)) for selector in recipe.selectors}
    for cell in laid.cells:
        found[cell.select] = {"files": files[cell.selector]}
        found[cell.train] = {"recipe": {**trained, "seed": cell.seed}}
        for task, stage in cell.evaluate.items():
            found[stage] = {"files": data[task]} if task in data else {}
    return found


def _files(options: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the files that a selector reads; a data set of the hub is pinned by its selection."""
    given = [pattern for name in ("pool", "scores") for pattern in _listed(options.get(name, []))]
    found = [path for pattern in given if not pattern.startswith(HUB) for path in glob.glob(pattern)]  # noqa: PTH207 - as the pool reads it
    return {path: sha256(Path(path)) for path in sorted(found)}


def _data(task: str, path: Path) -> dict[str, str]:
    if not path.is_file():
        raise UsageError(f"sweep key evaluate.data.{task}: {path}: no such file")
    return {str(path): sha256(path)}


def _listed(value: Any) -> list[str]:
    return list(map(str, value)) if isinstance(value, list) else [str(value)]


def _runner(given: Mapping[str, Any]) -> Runner:
    from prm_eval.sweep.runners import LocalRunner, RayRunner

    if given["workers"] is not None:
        return RayRunner(given["workers"], given["ray_address"], given["gpus"])
    return LocalRunner(given["jobs"], given["gpus"])


def execute(schedule: Schedule, runner: Runner, jobs: int, meter: Meter) -> Outcome:
    """Run the stages; a line for each that ends."""
    with meter("sweep", "stages") as update:

        def told(outcome: Outcome, name: str) -> None:
            over = len(outcome.finished) + len(outcome.failed) + len(outcome.blocked)
            update(over, len(schedule.stages))
            click.echo(_line(outcome, name, schedule), err=True)

        return schedule.run(runner, jobs, told)


def _line(outcome: Outcome, name: str, schedule: Schedule) -> str:
    if name in outcome.done:
        return f"{name}: done in {outcome.done[name]:,.0f} s"
    if name in outcome.blocked:
        return f"{name}: not run, {outcome.blocked[name]} failed"
    said = schedule.log(name).read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    last = " | ".join(line.strip() for line in said[-_LINES_SHOWN:] if line.strip())
    return f"{name}: failed with {outcome.failed[name]}: {last} (all of it: {schedule.log(name)})"


def _tell_plan(laid: Grid, before: list[str], out: Path, as_json: bool) -> None:
    if as_json:
        stages = [
            {"name": name, "command": stage.line, "needs": stage.needs, "done": name in before}
            for name, stage in laid.stages.items()
        ]
        click.echo(json.dumps({"cells": len(laid.cells), "stages": stages, "out": str(out)}))
        return
    for stage in laid.stages.values():
        click.echo(f"{'# done: ' if stage.name in before else ''}{stage.line}")
    kinds = {
        kind: sum(name.startswith(kind) for name in laid.stages) for kind in ("select", "train", "evaluate")
    }
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    click.echo(
        f"{len(laid.cells)} cells: {counts}; {len(before)} of {len(laid.stages)} stages are done", err=True
    )


def _tell(recipe: SweepRecipe, laid: Grid, outcome: Outcome, schedule: Schedule, as_json: bool) -> int:
    from prm_eval.cli.sft_collect import table
    from prm_eval.sweep.results import plots, tables, write_cells

    results = tables(laid, outcome.finished, schedule.out)
    missing = write_cells(laid, outcome.finished, schedule.out)
    paths = plots(recipe, results, schedule.out) if results else []
    if as_json:
        click.echo(json.dumps({"tables": results, "missing": [cell.name for cell in missing]}))
    else:
        for found in results.values():
            table(found)
    for path in paths:
        click.echo(f"written: {path}", err=True)
    if missing:
        click.echo(
            f"prm-eval: {len(missing)} of {len(laid.cells)} cells are missing in the table: run the same"
            " command again when the cause is mended", err=True,
        )  # fmt: skip
    return 1 if missing else 0
