"""`prm-eval sft`: choose training rows with reward models, and train on them."""

from typing import Any

import click

from prm_eval.cli import options
from prm_eval.cli.console import progress
from prm_eval.cli.sft_collect import collect
from prm_eval.cli.sft_demo import demo
from prm_eval.cli.sft_options import LENGTHS, OUTPUT, POOL, RULES, SCORES, SETS
from prm_eval.cli.sft_sweep import sweep
from prm_eval.cli.sft_train import train


@click.group()
def sft() -> None:
    """Supervised fine-tuning: choose what to train on, and train."""


sft.add_command(train)
sft.add_command(sweep)
sft.add_command(demo)
sft.add_command(collect)


@sft.command()
@options.apply(POOL)
@options.apply(SCORES)
@options.apply(RULES)
@options.apply(LENGTHS)
@options.apply(SETS)
@options.apply(OUTPUT)
@options.apply(options.workers)
@options.retry_unscored
@options.max_unscored
@options.plugin_files
@options.config
@options.as_json
@click.pass_context
def select(ctx: click.Context, /, **given: Any) -> int:
    """Choose training rows from a pool of any size.

    Rows are read, decontaminated, filtered and scored as they stream by, then chosen from the best
    down. A run that was killed goes on where it was: run the same command again.
    """
    # click hands over some forty options; they are named once, in sft_options
    from prm_eval.cli.sft_run import run

    return run(ctx, given, progress)
