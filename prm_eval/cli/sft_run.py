"""The body of `prm-eval sft select`: options to objects, then the job.

Invariant: every name is looked up, and every contradiction refused, before the pool is read.
"""

import hashlib
import itertools
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from prm_eval.aggregate import Aggregation
from prm_eval.cli import options
from prm_eval.cli.sft_dry_run import dry_run
from prm_eval.costs import in_words
from prm_eval.plugins import Registry, load_registry
from prm_eval.runs import RunFolder
from prm_eval.sft.contamination import EvaluationSet
from prm_eval.sft.fields import COLUMNS, Fields, resolve_fields
from prm_eval.sft.index import Index
from prm_eval.sft.job import Meter, Selection, unscored
from prm_eval.sft.lengths import length_in
from prm_eval.sft.near import need_extra
from prm_eval.sft.plan import Plan
from prm_eval.sft.scorers import ModelScorer, RecordedScorer, Scorer
from prm_eval.sft.scorestore import SqliteStore
from prm_eval.sft.sources import HUB, open_pool

log = logging.getLogger("prm_eval")
_MODEL_OWN = "model"
_REASONS_SHOWN = 3


def run(ctx: click.Context, given: Mapping[str, Any], meter: Meter) -> int:
    """Choose what the options describe; prints the card or its stages, returns the exit status."""
    registry = load_registry(given["plugins"])
    how = check(ctx, given, registry)
    length = length_in(given["length_unit"], given["tokenizer"])
    sets = _evaluation_sets(given)
    out = given["out"] or Path("prm_eval_runs") / f"sft-{_default_name(given['pool'][0])}"
    if given["dry_run"]:
        return dry_run(
            given, sets, lambda first: _plan(given, _fields(given, first)),
            lambda work: _recorded(given, registry, how, work), out,
        )  # fmt: skip
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    with meter("hashing the pool", "bytes") as update:
        pool = open_pool(given["pool"], work, given["split"], update)
    plan = _plan(given, _fields(given, pool.first()))
    store = _store(given, out)
    index = Index(work / "index.sqlite", plan.options(pool.files, sets, _scores_option(given)))
    if given["retry_unscored"]:
        index.forget()
    scorer = _scorer(ctx, given, registry, how, store, work)
    job = Selection(pool, plan, index, sets, length, scorer, store, out, given["form"])
    card = job.run(meter)
    facts = {"pool": card["pool"], "output": card["output"], "scores": index.fact("scores")}
    RunFolder(out).write_manifest(ctx.command_path, given, {**facts, "cost": job.cost()})
    _tell(card, out, job.cost(), given["as_json"])
    return _status(index, given["max_unscored"]) if given["reward_model"] else 0


def check(ctx: click.Context, given: Mapping[str, Any], registry: Registry) -> Aggregation | None:
    """Contradictions refused and names looked up, before anything is read; the aggregation."""
    _refuse_contradictions(ctx, given)
    how = _aggregation(registry, given["aggregation"])
    if given["reward_model"]:
        registry.check("reward model", given["reward_model"])
    if given["near_duplicates"]:
        need_extra()
    return how


def _refuse_contradictions(ctx: click.Context, given: Mapping[str, Any]) -> None:
    scored = bool(given["reward_model"] or given["scores_paths"])
    covers, weight = given["by"] == "facility-location", given["score_weight"]
    for wrong, message in (
        (given["reward_model"] and given["scores_paths"],
         "--reward-model scores the rows and --scores has recorded scores: give one of the two"),
        (given["by"] == "best" and not scored, "--by best needs --reward-model or --scores"),
        (given["min_score"] is not None and not scored, "--min-score needs --reward-model or --scores"),
        (scored and given["by"] not in (None, "best") and given["min_score"] is None and not weight,
         f"--by {given['by']} looks at no score: leave --reward-model and --scores out, or give --min-score"
         + (" or --score-weight" if covers else "")),
        (weight is not None and not covers, "--score-weight is for --by facility-location: give that"),
        (weight and not scored, "--score-weight needs --reward-model or --scores"),
        (covers and not given["top"], "--by facility-location needs --top, how many rows cover the pool"),
        (covers and not given["embedding_field"], "--by facility-location needs --embedding-field"),
        (given["score_model"] and not given["scores_paths"], "--score-model is for --scores: give them"),
        (given["aggregation"] and not scored, "--aggregation needs --reward-model or --scores"),
        (given["no_decontaminate"] and given["decontaminate"],
         "--decontaminate and --no-decontaminate: give one of the two"),
        (given["min_distance"] is not None and not given["embedding_field"],
         "--min-distance needs --embedding-field"),
        (given["embedding_field"] and given["min_distance"] is None and not covers,
         "--embedding-field is for --min-distance and --by facility-location: give one of them"),
        (given["per_source"] and not (given["source_field"] or given["preset"]),
         "--per-source needs --source-field"),
        (given["answer_kind"] and not given["verified"], "--answer-kind is for --verified: give that"),
        (None not in (given["min_length"], given["max_length"]) and given["min_length"] > given["max_length"],
         f"--min-length {given['min_length']} is above --max-length {given['max_length']}"),
    ):  # fmt: skip
        if wrong:
            raise click.UsageError(message, ctx)


def _plan(given: Mapping[str, Any], fields: Fields) -> Plan:
    scored = bool(given["reward_model"] or given["scores_paths"])
    threshold = given["contamination_threshold"]
    if given["per_source"] and fields.source is None:
        raise click.UsageError(f"--per-source: the preset '{given['preset']}' names no --source-field")
    return Plan(
        fields=fields,
        by=given["by"] or ("best" if scored else "all"),
        top=given["top"],
        min_score=given["min_score"],
        per_problem=given["per_problem"],
        per_source=given["per_source"],
        verified=given["verified"],
        answer_kind=given["answer_kind"],
        min_length=given["min_length"],
        max_length=given["max_length"],
        unit=given["length_unit"],
        duplicates=given["keep_duplicates"],
        near=given["near_duplicates"],
        embedding=given["embedding_field"],
        distance=given["min_distance"],
        score_weight=given["score_weight"],
        threshold=None if threshold == "any" else threshold,
        whole_row=given["contamination_in"] == "row",
        limit=given["limit"],
        seed=given["seed"],
    )


def _fields(given: Mapping[str, Any], first: Mapping[str, Any]) -> Fields:
    return resolve_fields(given["preset"], {name: given[f"{name}_field"] for name in COLUMNS}, first)


def _evaluation_sets(given: Mapping[str, Any]) -> list[EvaluationSet]:
    if given["no_decontaminate"]:
        log.warning("--no-decontaminate: rows that hold questions of evaluation sets are kept")
        return []
    from prm_eval.harness.evaluation_sets import evaluation_sets

    return evaluation_sets(given["decontaminate"])


def _default_name(first: str) -> str:
    return first.removeprefix(HUB).replace("/", "--") if first.startswith(HUB) else Path(first).stem


def _aggregation(registry: Registry, name: str | None) -> Aggregation | None:
    return None if name in (None, _MODEL_OWN) else registry.aggregation(str(name)).obj


def _store(given: Mapping[str, Any], out: Path) -> SqliteStore | None:
    if not given["reward_model"]:
        return None
    return SqliteStore(given["store_path"] or out / "store.sqlite", retry_unscored=given["retry_unscored"])


def _scores_option(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What of the scores an earlier run must agree on; files by content."""
    if given["reward_model"]:
        return {"reward_model": given["reward_model"], "aggregation": given["aggregation"]}
    if given["scores_paths"]:
        files = [_digest(path) for path in given["scores_paths"]]
        return {"files": files, "model": given["score_model"], "aggregation": given["aggregation"]}
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _scorer(
    ctx: click.Context, given: Mapping[str, Any], registry: Registry, how: Aggregation | None,
    store: SqliteStore | None, work: Path,
) -> Scorer | None:  # fmt: skip
    if store is None:
        return _recorded(given, registry, how, work)
    load = options.loader(ctx, given["workers"], given["ray_address"], given["plugins"])
    reference = given["reward_model"]
    return ModelScorer(lambda: load(registry, reference), store, how, _how_name(given))


def _recorded(
    given: Mapping[str, Any], registry: Registry, how: Aggregation | None, work: Path
) -> RecordedScorer | None:
    if not given["scores_paths"]:
        return None
    known = {entry.name: registry.aggregation(entry.name).obj for entry in registry.entries("aggregation")}
    return RecordedScorer(given["scores_paths"], work, given["score_model"], how, _how_name(given), known)


def _how_name(given: Mapping[str, Any]) -> str | None:
    return None if given["aggregation"] == _MODEL_OWN else given["aggregation"]


def _tell(card: Mapping[str, Any], out: Path, cost: Mapping[str, float], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(card, ensure_ascii=False))
    else:
        width = max(len(stage["stage"]) for stage in card["stages"])
        for stage in card["stages"]:
            removed = f"{-stage['removed']:>12,}" if stage["removed"] else f"{'':>12}"
            click.echo(f"{stage['stage']:{width}}{removed}{stage['left']:>12,}")
        for name, count in card["decontamination"]["removed"].items():
            click.echo(f"  contaminated by {name}: {count:,}")
    if cost:
        click.echo(f"{card['scores']['reward_model']}: {in_words(cost)}", err=True)
    click.echo(f"written: {out / card['output']['file']} ({card['output']['rows']:,} rows)", err=True)


def _status(index: Index, max_unscored: float | int) -> int:
    missing, count, reasons = unscored(index)
    for reason, number in itertools.islice(reasons, _REASONS_SHOWN):
        click.echo(f"  {number:,} unscored: {reason}", err=True)
    allowed = max_unscored * count if isinstance(max_unscored, float) else max_unscored
    if missing > allowed:
        click.echo(
            f"prm-eval: {missing:,} of {count:,} rows are unscored, more than --max-unscored"
            f" {max_unscored:g} allows",
            err=True,
        )
        return 1
    return 0
