"""`prm-eval judge`: play judges on labelled pairs, or take recorded verdicts and scores, and measure."""

from pathlib import Path
from typing import Any

import click

from prm_eval.benchmarks import PAIRS_PER_PROBLEM
from prm_eval.cli import options
from prm_eval.cli.console import print_results, progress

_PAIRS = [
    click.option("--benchmark", metavar="NAME[:OPTION=VALUE,...]",
                 help="A pair benchmark (see `prm-eval plugins list`)."),
    click.option("--data", metavar="PATH", help="The benchmark's own files, instead of the hub's."),
    click.option("--pairs", "pairs_path", type=options.FILE, help="Pairs of your own: pairs.jsonl."),
    click.option("--candidates", "candidates_path", type=options.FILE,
                 help="Make pairs of graded candidates: one right, one wrong of the same problem."),
    click.option("--pairs-per-problem", type=click.IntRange(1), default=PAIRS_PER_PROBLEM,
                 show_default=True, help="With --candidates: at most so many of one problem."),
    click.option("--limit", type=click.IntRange(1), help="Only the first pairs; never for a result."),
]  # fmt: skip
_JUDGES = [
    click.option("--judge", "judges", multiple=True, metavar="NAME[:OPTION=VALUE,...]",
                 help="A judge or a reward model; repeatable."),
    click.option("--verdicts", "verdict_paths", type=options.FILE, multiple=True,
                 help="Recorded games: verdicts.jsonl; repeatable."),
    click.option("--scores", "score_paths", type=options.FILE, multiple=True,
                 help="Recorded rewards of both sides: scores.jsonl; repeatable."),
    click.option("--order", type=click.Choice(["given", "random", "both"]),
                 help="Who stands first in a prompt.  [default: as the benchmark says, else random]"),
    click.option("--both-orders", is_flag=True, help="The same as --order both."),
    click.option("--unparsed", type=click.Choice(["wrong", "tie", "half", "exclude"]),
                 help="What a game without a verdict is worth.  [default: as the benchmark, else wrong]"),
    click.option("--aggregation", "aggregations", multiple=True, metavar="NAME",
                 help="How step scores become one number; repeatable.  [default: the model's own]"),
    click.option("--seed", type=int, default=0, show_default=True,
                 help="Of orders, drawn pairs and intervals."),
    click.option("--bootstrap", type=click.IntRange(100), default=10_000, show_default=True,
                 help="Resamples of the pairs behind every interval."),
]  # fmt: skip


@click.command()
@options.apply(_PAIRS)
@options.apply(_JUDGES)
@options.apply(options.grading)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The run folder.  [default: prm_eval_runs/judge-<benchmark or file>; none for recorded games]",
)
@options.retry_unscored
@click.option(
    "--max-unscored", type=options.Share(), default="50%", show_default=True,
    help="Exit 1 when more games than this have no verdict, for any judge.",
)  # fmt: skip
@options.apply(options.candidate_fields)
@options.plugin_files
@options.dry_run
@options.config
@options.as_json
@click.pass_context
def judge(ctx: click.Context, /, **given: Any) -> int:
    """Measure how often judges and reward models name the right one of two.

    Give pairs by --benchmark, --pairs or --candidates, and who judges them: --judge plays, --verdicts
    and --scores take what is recorded. A run that was killed goes on where it was.
    """
    # click hands over some twenty-five options; they are named once, in the decorators above
    from prm_eval.cli.judge_run import dry_run, run
    from prm_eval.judging_report import print_judging

    if given["dry_run"]:
        return dry_run(ctx, given, progress)
    results, status = run(ctx, given, progress)
    print_results(results, given["as_json"], print_judging)
    return status
