"""`prm-eval demo`: the whole best-of-N job offline, through the same code as any other run.

Invariant: nothing here but arguments; the command that it runs is printed, and can be typed.
"""

import json
import shlex
from pathlib import Path

import click

from prm_eval.cli import options


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-run"),
    show_default=True,
    help="The run folder.",
)
@click.option(
    "--problems", type=click.IntRange(2, 1000), default=250, show_default=True, help="Held-out problems."
)
@click.option("--n", type=click.IntRange(1, 64), default=16, show_default=True, help="Responses per problem.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sampling and the intervals.")
@options.as_json
@click.pass_context
def demo(ctx: click.Context, out: Path, problems: int, n: int, seed: int, as_json: bool) -> int:
    """Run the whole job offline, on tiny models.

    Generates, scores, selects and measures.

    A small trained policy answers arithmetic problems that it never saw, sixteen times each; a small
    trained process reward model scores every step; strategies select; the picks are graded.
    """
    from prm_eval_demo import POLICY

    from prm_eval.cli.best_of_n import best_of_n
    from prm_eval.figures import save_curves

    arguments = [
        "--task", "demo", "--model", "hf", "--model-args", f"pretrained={POLICY},dtype=float32",
        "--n", str(n), "--limit", str(problems), "--batch-size", str(problems), "--seed", str(seed),
        "--reward-model", "demo-prm",
        "--strategy", "best_of_n", "--strategy", "weighted", "--strategy", "majority",
        "--aggregation", "product", "--aggregation", "min", "--aggregation", "last",
        "--out", str(out), *(["--json"] if as_json else []),
    ]  # fmt: skip
    click.echo(f"$ prm-eval best-of-n {shlex.join(arguments)}\n", err=True)
    status: int = best_of_n.main(args=arguments, prog_name="prm-eval best-of-n", standalone_mode=False)
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    for path in save_curves(results, out / "curves"):
        click.echo(f"written: {path}", err=True)
    return status
