"""`prm-eval sft sweep`: select, train and evaluate over a grid, and draw both plots."""

from pathlib import Path
from typing import Any

import click

from prm_eval.cli import options
from prm_eval.cli.console import progress

_OPTIONS = [
    click.option("--out", type=click.Path(file_okay=False, path_type=Path),
                 help="The folder of the sweep.  [default: prm_eval_runs/sweep-<name of the recipe>]"),
    click.option("--jobs", type=click.IntRange(1), default=1, show_default=True,
                 help="Stages that run at once on this machine."),
    click.option("--workers", type=click.IntRange(1), metavar="N",
                 help="Run N stages at once as tasks of Ray, whose machines share the folder."),
    click.option("--ray-address", metavar="ADDRESS",
                 help="The Ray cluster of --workers.  [default: RAY_ADDRESS, else Ray on this machine]"),
    click.option("--gpus-per-stage", "gpus", type=click.IntRange(1), metavar="G",
                 help="Devices that each stage sees.  [default: all]"),
    click.option("--dry-run", is_flag=True,
                 help="Check recipe, selectors and tasks, print the stages, and run nothing."),
]  # fmt: skip


@click.command()
@click.argument("recipe", type=options.FILE, metavar="RECIPE.yaml")
@options.apply(_OPTIONS)
@options.plugin_files
@options.as_json
@click.pass_context
def sweep(ctx: click.Context, /, **given: Any) -> int:
    """Select, train and evaluate over selectors, sizes and seeds.

    RECIPE.yaml names the grid. Every stage is a command of prm-eval with a folder and a log of its own;
    stages that are done are not run again. A sweep that was killed, or in which a stage failed, goes on:
    run the same command again.
    """
    from prm_eval.cli.sft_sweep_run import run

    return run(ctx, given, progress)
