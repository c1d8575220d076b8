"""`prm-eval sft demo`: data selection in miniature, offline, through the same commands as any other sweep.

Invariant: nothing here but arguments; each command that it runs is printed, and can be typed.
"""

from pathlib import Path
from typing import Any

import click

from prm_eval.cli import options
from prm_eval.cli.console import progress

_OPTIONS = [
    click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("sft-demo"),
                 show_default=True, help="The folder of pool, sweep, table and plots."),
    click.option("--problems", type=click.IntRange(2, 5000), default=5000, show_default=True,
                 help="Problems of the pool; each has four solutions."),
    click.option("--sizes", type=options.Ks(), default="1000,5000,10000", show_default=True,
                 metavar="ROWS,...", help="Rows that the larger reward model chooses; the least of them"
                 " is what the others choose."),
    click.option("--seeds", type=click.IntRange(1), default=3, show_default=True,
                 help="Trainings of every cell: seeds 0, 1, ..."),
    click.option("--steps", type=click.IntRange(1), help="Of every training.  [default: the recipe's 100]"),
    click.option("--jobs", type=click.IntRange(1), default=2, show_default=True,
                 help="Stages that run at once."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of the pool's sampling."),
]  # fmt: skip


@click.command()
@options.apply(_OPTIONS)
@options.as_json
@click.pass_context
def demo(ctx: click.Context, /, **given: Any) -> int:
    """Choose training data with tiny models, offline.

    The embedded policy and a noisier relative write a pool of solutions; two embedded reward models of
    different size choose from it; the policy is trained on what each chose, on random rows and on
    everything, and measured on held-out problems through lm-eval. Both plots are drawn.
    """
    import yaml
    from prm_eval_demo import miniature

    from prm_eval.cli.sft_sweep_run import execute, run
    from prm_eval.records import write_text
    from prm_eval.sweep.runners import LocalRunner
    from prm_eval.sweep.schedule import Schedule
    from prm_eval.training.recipe import load_recipe

    out, sizes = given["out"], given["sizes"]
    if sizes == "all":
        raise click.UsageError("--sizes all: the whole pool is one of the cells already", ctx)
    if min(sizes) < (batch := load_recipe(miniature.RECIPE).batch_size):
        raise click.UsageError(f"--sizes {min(sizes)}: a training takes {batch} rows a step", ctx)
    if max(sizes) > (rows := given["problems"] * sum(n for _, n in miniature.POLICIES)):
        raise click.UsageError(f"--sizes {max(sizes)}: the pool has {rows} rows before duplicates", ctx)
    stages = miniature.pool_stages(out, given["problems"], given["seed"])
    for stage in stages.values():
        click.echo(f"$ {stage.line}", err=True)
    outcome = execute(Schedule(stages, out, {}), LocalRunner(given["jobs"]), given["jobs"], progress)
    if outcome.failed:
        return 1
    count = miniature.merge([out / name for name in stages], out / "pool.jsonl")
    click.echo(f"written: {out / 'pool.jsonl'} ({count:,} rows)", err=True)
    recipe = out / "sweep.yaml"
    content = miniature.sweep(out / "pool.jsonl", sizes, range(given["seeds"]), given["steps"])
    write_text(recipe, yaml.safe_dump(content, sort_keys=False))
    folder = out / "sweep"
    click.echo(f"\n$ prm-eval sft sweep {recipe} --out {folder} --jobs {given['jobs']}\n", err=True)
    own = {"recipe": recipe, "out": folder, "workers": None, "ray_address": None, "gpus": None,
           "dry_run": False, "plugins": ()}  # fmt: skip
    return run(ctx, {**given, **own}, progress)
