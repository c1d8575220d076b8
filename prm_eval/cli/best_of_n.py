"""`prm-eval best-of-n`: generate (or take) candidates, score, select, grade, measure."""

from pathlib import Path
from typing import Any

import click

from prm_eval.cli import options
from prm_eval.cli.console import print_results, progress

_GENERATION = [
    click.option("--task", metavar="NAME", help="Generate for this task (see `prm-eval tasks list`)."),
    click.option("--candidates", "candidates_path", type=options.FILE,
                 help="Stored candidates instead of generation: candidates.jsonl or samples_*.jsonl."),
    click.option("--model", metavar="NAME", help="A model class of lm-eval: hf, vllm, ..."),
    click.option("--model-args", default="", metavar="KEY=VALUE,...",
                 help="Its arguments, as lm-eval takes them."),
    click.option("--n", type=click.IntRange(1),
                 help="Candidates per problem.  [default: 16, or all that are stored]"),
    click.option("--data", metavar="FILE", help="The task's problems from a local file instead of the hub."),
    click.option("--limit", type=click.IntRange(1),
                 help="Only the first problems of the task; never for a result."),
    click.option("--batch-size", help="For generation.  [default: by the back end]"),
    click.option("--gen-kwargs", metavar="KEY=VALUE,...", help="Sampling options over the task's own."),
    click.option("--apply-chat-template/--no-apply-chat-template", default=None,
                 help="[default: yes when the tokenizer has a template]"),
    click.option("--include-path", "include_paths", multiple=True,
                 type=click.Path(exists=True, path_type=Path), help="More folders of task YAML; repeatable."),
]  # fmt: skip


@click.command("best-of-n")
@options.apply(_GENERATION)
@options.reward_models
@options.apply(options.selection)
@options.apply(options.grading)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The run folder.  [default: prm_eval_runs/<task or file>]",
)
@click.option(
    "--store",
    "store_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Share scores between runs.  [default: OUT/store.jsonl]",
)
@options.apply(options.workers)
@options.retry_unscored
@options.max_unscored
@options.apply(options.candidate_fields)
@options.plugin_files
@options.dry_run
@options.config
@options.as_json
@click.pass_context
def best_of_n(ctx: click.Context, /, **given: Any) -> int:
    """Measure how well models pick the best of N.

    Give --task and --model to generate through lm-eval, or --candidates for stored responses. A run
    that was killed goes on where it was: run the same command again.
    """
    # click hands over some thirty options; they are named once, in the decorators above
    from prm_eval.cli.bon_run import dry_run, run

    if given["dry_run"]:
        return dry_run(ctx, given)
    results, status = run(ctx, given, progress)
    print_results(results, given["as_json"])
    return status
