"""The body of `prm-eval judge`: options to objects, then the job.

Invariant: every name is looked up, and every contradiction refused, before a game is played.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from prm_eval import judge as job
from prm_eval.aggregate import Aggregation
from prm_eval.benchmarks import LabelledPair, PairBenchmark, Rules
from prm_eval.best_of_n import Grader, Meter, grade, grading_summary, resolve_aggregations
from prm_eval.cli.summary import tell_plan
from prm_eval.conflicts import conflict_pairs
from prm_eval.costs import in_words
from prm_eval.errors import PluginError
from prm_eval.harness.samples import read_any
from prm_eval.judging import sides
from prm_eval.judging_report import who
from prm_eval.pairs import read_pairs
from prm_eval.plugins import Registry, load_registry
from prm_eval.references import with_option
from prm_eval.runs import RunFolder


def run(ctx: click.Context, given: Mapping[str, Any], meter: Meter) -> tuple[dict[str, Any], int]:
    """Run the job that the options describe; returns the results and the exit status."""
    registry, aggregations, source = _prepare(ctx, given, meter)
    folder = _folder(given)
    gathered = _gather(given, source, registry, folder, aggregations, meter)
    results = job.measure(source, gathered, seed=given["seed"], bootstrap=given["bootstrap"])
    if folder is not None:
        folder.write_results(results)
        folder.write_manifest(ctx.command_path, given, {"judges": results["provenance"]})
    _tell(results, folder)
    return results, _status(results["unscored"], given["max_unscored"])


def dry_run(ctx: click.Context, given: Mapping[str, Any], meter: Meter) -> int:
    """Check what needs no GPU and say what would be played; writes nothing, returns the exit status."""
    registry, aggregations, source = _prepare(ctx, given, meter)
    _gather(given, source, registry, None, aggregations, meter)
    count, orders = len(source.pairs), source.benchmark.rules.orders
    games = count * (2 if orders == "both" else 1)
    folder = _folder(given)
    told = {
        "pairs": f"{source.benchmark.name}: {count:,}, order {orders}: at most {games:,} games a judge",
        "judges": ", ".join(given["judges"]) or "none: recorded games and scores",
        "run folder": "none" if folder is None else str(folder.path),
    }
    tell_plan(told, given["as_json"])
    return 0


def _prepare(
    ctx: click.Context, given: Mapping[str, Any], meter: Meter
) -> tuple[Registry, Mapping[str, Aggregation | None], job.Source]:
    _refuse_contradictions(ctx, given)
    registry = load_registry(given["plugins"])
    for reference in given["judges"]:
        registry.check_judge(reference)
    aggregations = resolve_aggregations(registry, given["aggregations"])
    source = _with_rules(_limited(_source(given, registry, meter), given["limit"]), given)
    return registry, aggregations, source


def _gather(
    given: Mapping[str, Any],
    source: job.Source,
    registry: Registry,
    folder: RunFolder | None,
    aggregations: Mapping[str, Aggregation | None],
    meter: Meter,
) -> job.Gathered:
    gathered = job.Gathered()
    job.read_recorded(source, given["verdict_paths"], given["score_paths"], aggregations, gathered)
    if folder is not None:
        how = job.Play(registry, folder, meter, aggregations, given["seed"], given["retry_unscored"])
        job.play_all(source, given["judges"], how, gathered)
    return gathered


def _refuse_contradictions(ctx: click.Context, given: Mapping[str, Any]) -> None:
    if sum(bool(given[name]) for name in ("benchmark", "pairs_path", "candidates_path")) != 1:
        raise click.UsageError("give pairs by one of --benchmark, --pairs and --candidates", ctx)
    if given["data"] and not given["benchmark"]:
        raise click.UsageError("--data is the files of a --benchmark: give that too", ctx)
    if not (given["judges"] or given["verdict_paths"] or given["score_paths"]):
        raise click.UsageError(
            "who judges? Give --judge NAME (plays), --verdicts FILE or --scores FILE (recorded)", ctx
        )
    if given["both_orders"] and given["order"] not in (None, "both"):
        raise click.UsageError(f"--both-orders and --order {given['order']} contradict: give one", ctx)


def _source(given: Mapping[str, Any], registry: Registry, meter: Meter) -> job.Source:
    if given["benchmark"]:
        return _of_benchmark(given["benchmark"], given["data"], registry)
    if given["pairs_path"]:
        pairs = read_pairs(given["pairs_path"])
        return job.Source(PairBenchmark(given["pairs_path"].stem, pairs, _rules_for(pairs)), sides(pairs))
    return _of_candidates(given, meter)


def _of_benchmark(reference: str, data: str | None, registry: Registry) -> job.Source:
    named = reference if data is None else with_option(reference, "path", data)
    loaded = registry.load("benchmark", named)
    if not isinstance(loaded.obj, PairBenchmark):
        raise PluginError(f"'{loaded.entry.name}' is no benchmark of pairs: see prm-eval stepwise for steps")
    return job.Source(loaded.obj, sides(loaded.obj.pairs))


def _of_candidates(given: Mapping[str, Any], meter: Meter) -> job.Source:
    path: Path = given["candidates_path"]
    candidates = read_any([path], given["problem_field"], given["answer_field"])
    grading = grade(candidates, Grader(given["regrade"], given["answer_kind"]), meter)
    found = conflict_pairs(candidates, grading.grades, given["pairs_per_problem"], given["seed"])
    with_pairs = len({labelled.item for labelled in found.pairs})
    told = []
    if found.ungraded:
        told.append(f"{found.ungraded} candidates could not be graded and stand in no pair")
    sections = {
        "data": {"problems": found.problems, "problems_with_pairs": with_pairs, "ungraded": found.ungraded},
        "grading": grading_summary(grading),
    }
    rules = Rules(source="conflict pairs: one right, one wrong response to the same problem")
    return job.Source(PairBenchmark(path.stem, found.pairs, rules), found.sides, told, sections)


def _rules_for(pairs: Sequence[LabelledPair]) -> Rules:
    """Of a file: three labels make a tie a label like another; every tag has rows."""
    tags = tuple(dict.fromkeys(tag for labelled in pairs for tag in labelled.tags))
    three = any(labelled.label == "tie" for labelled in pairs)
    return Rules(ties="wrong", equal_scores="wrong", tags=tags) if three else Rules(tags=tags)


def _limited(source: job.Source, limit: int | None) -> job.Source:
    count = len(source.pairs)
    if limit is None or limit >= count:
        return source
    benchmark = replace(source.benchmark, pairs=source.pairs[:limit])
    told = [*source.told, f"only the first {limit:,} of {count:,} pairs (--limit): this is no result"]
    return replace(source, benchmark=benchmark, sides=source.sides[: 2 * limit], told=told)


def _with_rules(source: job.Source, given: Mapping[str, Any]) -> job.Source:
    """The benchmark's rules with what the command line says instead; each change is told."""
    asked = {"orders": "both" if given["both_orders"] else given["order"], "unparsed": given["unparsed"]}
    rules, told = source.benchmark.rules, list(source.told)
    changes = {name: value for name, value in asked.items() if value and value != getattr(rules, name)}
    if given["benchmark"]:
        told += [
            f"not {source.benchmark.name}'s own rule: {name} '{value}', where it has '{getattr(rules, name)}'"
            for name, value in changes.items()
        ]
    benchmark = replace(source.benchmark, rules=replace(rules, **changes))
    return replace(source, benchmark=benchmark, told=told)


def _folder(given: Mapping[str, Any]) -> RunFolder | None:
    """Where the run goes; recorded games need none."""
    if given["out"]:
        return RunFolder(given["out"])
    if not given["judges"]:
        return None
    path = given["pairs_path"] or given["candidates_path"]
    name = path.stem if path else given["benchmark"].partition(":")[0]
    return RunFolder(Path("prm_eval_runs") / f"judge-{name}")


def _tell(results: Mapping[str, Any], folder: RunFolder | None) -> None:
    """One line per judge, on standard error, then where the files are."""
    for entry in results["unscored"]:
        read = entry["games"] - entry["unscored"]
        line = f"{who(entry)}: {read:,} of {entry['games']:,} games with a verdict"
        cost = results["cost"].get(entry["judge"])
        click.echo(f"{line} ({in_words(cost)})" if cost else line, err=True)
    if folder is not None:
        click.echo(f"written: {folder.path}", err=True)


def _status(unscored: Sequence[Mapping[str, Any]], allowed: float | int) -> int:
    """0, or 1 when a judge left more games without a verdict than allowed (a share, or a count)."""
    for entry in unscored:
        most = allowed * entry["games"] if isinstance(allowed, float) else allowed
        if entry["unscored"] > most:
            count = f"{entry['unscored']:,} of {entry['games']:,} games"
            limit = f"more than --max-unscored {allowed:g} allows"
            click.echo(f"prm-eval: {count} of {who(entry)} have no verdict, {limit}", err=True)
            return 1
    return 0
