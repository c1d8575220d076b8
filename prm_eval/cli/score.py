"""`prm-eval score`: candidates and reward models to scores.jsonl, nothing else."""

from pathlib import Path

import click

from prm_eval.cli import options
from prm_eval.cli.console import progress


@click.command()
@click.option(
    "--candidates",
    "candidates_path",
    type=options.FILE,
    required=True,
    help="candidates.jsonl or samples_*.jsonl.",
)
@options.reward_models
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("scores.jsonl"), show_default=True
)
@click.option(
    "--store",
    "store_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where finished batches are kept.  [default: OUT with .store before its ending]",
)
@options.apply(options.workers)
@options.retry_unscored
@options.max_unscored
@options.apply(options.candidate_fields)
@options.plugin_files
@options.config
@click.pass_context
def score(
    ctx: click.Context,
    candidates_path: Path,
    reward_models: tuple[str, ...],
    out: Path,
    store_path: Path | None,
    workers: int | None,
    ray_address: str | None,
    retry_unscored: bool,
    max_unscored: float | int,
    problem_field: str,
    answer_field: str,
    plugins: tuple[Path, ...],
) -> int:
    """Score stored candidates with reward models.

    A run that was killed goes on where it was: run the same command again.
    """
    from prm_eval import best_of_n
    from prm_eval.cli.summary import status, tell_scored
    from prm_eval.harness.samples import read_any
    from prm_eval.plugins import load_registry
    from prm_eval.records import write_rows
    from prm_eval.store import ScoreStore

    if not reward_models:
        raise click.UsageError("name at least one --reward-model (see prm-eval plugins list)", ctx)
    load = options.loader(ctx, workers, ray_address, plugins)
    registry = load_registry(plugins)
    for reference in reward_models:
        registry.check("reward model", reference)
    candidates = read_any([candidates_path], problem_field, answer_field)
    store = ScoreStore(
        store_path or out.with_name(f"{out.stem}.store{out.suffix}"), retry_unscored=retry_unscored
    )
    scorings = []
    for reference in reward_models:
        scorings.append(best_of_n.score(registry, reference, candidates, store, progress, load))
        write_rows(out, best_of_n.score_rows(candidates, scorings))
    tell_scored(scorings, out)
    return status(scorings, max_unscored)
