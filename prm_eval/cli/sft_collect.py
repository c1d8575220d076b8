"""`prm-eval sft collect`: evaluations of trained models as one table, for the two plots."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from prm_eval.cli import options


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="[NAME=]RUN...")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="A run folder for results.json, to be given to `prm-eval figures`.")  # fmt: skip
@options.as_json
def collect(runs: tuple[str, ...], out: Path, as_json: bool) -> int:
    """Put evaluations of trained models into one table.

    RUN is a folder of `prm-eval best-of-n` over a model that `prm-eval sft train` made. Runs that differ
    in their seed only become one row. NAME= renames the selector: "human-selected=runs/s1k".
    """
    from prm_eval.cli.console import print_results
    from prm_eval.runs import RunFolder
    from prm_eval.training.collect import collect as collected

    results = collected(runs)
    RunFolder(out).write_results(results)

    print_results(results, as_json, table)
    click.echo(f"written: {out}", err=True)
    return 0


def table(results: Mapping[str, Any]) -> None:
    """One line per selector and number of rows."""
    for row in results["metrics"]:
        low, high = row["ci"] or (float("nan"), float("nan"))
        click.echo(
            f"{row['selector']:28} {row['train_samples']:>7,} rows  {row['task']}  {row['value']:.3f}"
            f"  ({low:.3f}-{high:.3f}, {row['seeds']} seeds)"
        )
