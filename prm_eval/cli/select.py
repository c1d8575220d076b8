"""`prm-eval select`: stored candidates and stored scores to numbers. Calls no model."""

from pathlib import Path
from typing import Any

import click

from prm_eval.cli import options
from prm_eval.cli.console import print_results, progress


@click.command()
@click.argument(
    "run_folder",
    required=False,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="[RUN]",
)
@click.option(
    "--candidates",
    "candidates_path",
    type=options.FILE,
    help="candidates.jsonl or samples_*.jsonl.  [default: RUN's]",
)
@click.option(
    "--scores",
    "score_paths",
    type=options.FILE,
    multiple=True,
    help="scores.jsonl; repeatable, several models may share one.  [default: RUN's]",
)
@click.option("--n", type=click.IntRange(1), help="Only the first n candidates of every problem.")
@options.apply(options.selection)
@options.apply(options.grading)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the results object to this file too.",
)
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Keep candidates, scores, grades and results as a run folder, for `prm-eval report`.",
)
@options.apply(options.candidate_fields)
@options.plugin_files
@options.as_json
@click.pass_context
def select(ctx: click.Context, /, **given: Any) -> None:
    """Select and measure from stored scores.

    A new strategy or aggregation costs no model call.
    RUN is the folder of an earlier best-of-n run; --candidates and --scores name single files.
    """
    # click hands over some fifteen options; they are named once, in the decorators above
    from prm_eval import best_of_n as job
    from prm_eval.harness.samples import read_any
    from prm_eval.joining import join_scores
    from prm_eval.plugins import load_registry
    from prm_eval.records import write_json
    from prm_eval.runs import RunFolder, recorded_cost, recorded_generation
    from prm_eval.spending import GENERATION

    folder = RunFolder(given["run_folder"]) if given["run_folder"] else None
    path: Path | None = given["candidates_path"] or (folder.candidates if folder else None)
    if path is None:
        raise click.UsageError("give a RUN folder, or --candidates FILE with --scores FILE", ctx)
    scores = given["score_paths"] or ([folder.scores] if folder and folder.scores.exists() else [])
    selectors = job.resolve_selectors(
        load_registry(given["plugins"]),
        given["strategies"], given["aggregations"], given["ks"], given["seed"], given["bootstrap"],
    )  # fmt: skip
    candidates = read_any([path], given["problem_field"], given["answer_field"])
    kept = job.take_n(candidates, given["n"])
    sets = join_scores(kept, scores, selectors.aggregations)
    grading = job.grade(kept, job.Grader(given["regrade"], given["answer_kind"]), progress)
    generation = recorded_generation(path, len(kept))
    cost = {GENERATION: generation} if generation else {}
    cost |= recorded_cost(scores, [own.model for own in sets])
    results = job.measure(kept, grading, sets, selectors, None, cost)
    if given["out"]:
        write_json(given["out"], results)
    if given["save"]:
        saved = RunFolder(given["save"])
        job.save_selection(saved, kept, grading, sets, selectors, results)
        saved.write_manifest(ctx.command_path, given, {})
    print_results(results, given["as_json"])
