"""The body of `prm-eval best-of-n`: options to objects, then the job.

Invariant: every name is looked up, and every contradiction refused, before a model is loaded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from prm_eval import best_of_n as job
from prm_eval.cli import options
from prm_eval.cli.summary import status, tell_plan, tell_scored
from prm_eval.costs import Cost
from prm_eval.harness.samples import read_any
from prm_eval.plugins import Registry, load_registry
from prm_eval.runs import RunFolder, recorded_generation
from prm_eval.store import ScoreStore
from prm_eval.types import Candidate

_DEFAULT_N = 16


def run(ctx: click.Context, given: Mapping[str, Any], meter: job.Meter) -> tuple[dict[str, Any], int]:
    """Run the job that the options describe; returns the results and the exit status."""
    registry, selectors = prepare(ctx, given)
    load = options.loader(ctx, given["workers"], given["ray_address"], given["plugins"])
    folder = RunFolder(given["out"] or Path("prm_eval_runs") / _default_name(given))
    candidates = _candidates(given, registry, folder, meter)
    results, scorings = job.run_best_of_n(
        candidates,
        given["reward_models"],
        selectors,
        job.Grader(given["regrade"], given["answer_kind"]),
        folder,
        ScoreStore(given["store_path"] or folder.store, retry_unscored=given["retry_unscored"]),
        registry,
        meter,
        given["task"],
        load,
        _generation_cost(given, folder, len(candidates)),
    )
    folder.write_manifest(ctx.command_path, given, {"reward_models": results["provenance"]})
    tell_scored(scorings, folder.path)
    return results, status(scorings, given["max_unscored"])


def prepare(ctx: click.Context, given: Mapping[str, Any]) -> tuple[Registry, job.Selectors]:
    """Contradictions refused and names looked up, before a model is loaded."""
    _refuse_contradictions(ctx, given)
    registry = load_registry(given["plugins"])
    for reference in given["reward_models"]:
        registry.check("reward model", reference)
    return registry, job.resolve_selectors(
        registry, given["strategies"], given["aggregations"], given["ks"], given["seed"], given["bootstrap"]
    )


def dry_run(ctx: click.Context, given: Mapping[str, Any]) -> int:
    """Check what needs no GPU and say what would be done; writes nothing, returns the exit status."""
    registry, _ = prepare(ctx, given)
    options.loader(ctx, given["workers"], given["ray_address"], given["plugins"])
    if given["candidates_path"]:
        candidates = job.take_n(_stored(given), given["n"])
        told = {"candidates": f"{len(candidates):,} of {len({c.problem.id for c in candidates}):,} problems"}
    else:
        told = _generation(given, registry)
    told["reward models"] = ", ".join(given["reward_models"]) or "none"
    told["run folder"] = str(given["out"] or Path("prm_eval_runs") / _default_name(given))
    tell_plan(told, given["as_json"])
    return 0


def _generation(given: Mapping[str, Any], registry: Registry) -> dict[str, str]:
    from prm_eval.harness.runner import preview

    n = given["n"] or _DEFAULT_N
    found = preview(
        given["task"], given["model"], n=n, data=given["data"], limit=given["limit"],
        gen_kwargs=given["gen_kwargs"], out=given["out"] or Path("prm_eval_runs"),
        include_paths=[*registry.task_folders(), *given["include_paths"]],
    )  # fmt: skip
    sampling = ", ".join(f"{name}={value}" for name, value in found["sampling"].items())
    return {
        "task": f"{found['task']}: {found['problems']:,} problems, {n} responses each:"
                f" {found['responses']:,} to generate",
        "model": f"{given['model']} ({given['model_args']}), not loaded",
        "sampling": sampling,
    }  # fmt: skip


def _refuse_contradictions(ctx: click.Context, given: Mapping[str, Any]) -> None:
    if bool(given["task"]) == bool(given["candidates_path"]):
        raise click.UsageError("give either --task (generates) or --candidates FILE (stored responses)", ctx)
    if given["task"] and not given["model"]:
        raise click.UsageError(
            "--task generates, so it needs --model (hf, vllm, ...) and its --model-args", ctx
        )
    if given["candidates_path"]:
        for name in (
            "model",
            "model_args",
            "data",
            "limit",
            "batch_size",
            "gen_kwargs",
            "apply_chat_template",
        ):
            if given[name] not in (None, ""):
                option = "--" + name.replace("_", "-")
                raise click.UsageError(
                    f"{option} is for generation: it says nothing beside --candidates", ctx
                )


def _default_name(given: Mapping[str, Any]) -> str:
    return str(given["task"]) if given["task"] else Path(given["candidates_path"]).stem


def _candidates(
    given: Mapping[str, Any], registry: Registry, folder: RunFolder, meter: job.Meter
) -> list[Candidate]:
    if given["candidates_path"]:
        return job.take_n(_stored(given), given["n"])
    from prm_eval.harness.runner import generate

    with meter("generating", "responses") as update:
        return generate(
            given["task"],
            given["model"],
            given["model_args"],
            given["n"] or _DEFAULT_N,
            out=folder.path,
            seed=given["seed"],
            data=given["data"],
            limit=given["limit"],
            batch_size=given["batch_size"],
            gen_kwargs=given["gen_kwargs"],
            apply_chat_template=given["apply_chat_template"],
            include_paths=[*registry.task_folders(), *given["include_paths"]],
            progress=update,
        )


def _stored(given: Mapping[str, Any]) -> list[Candidate]:
    return read_any([given["candidates_path"]], given["problem_field"], given["answer_field"])


def _generation_cost(given: Mapping[str, Any], folder: RunFolder, count: int) -> Cost:
    """What the candidates cost to generate; {} where nobody recorded it."""
    if given["candidates_path"]:
        return recorded_generation(given["candidates_path"], count)
    from prm_eval.harness.generation_cost import generation_cost

    return generation_cost(folder.path, given["n"] or _DEFAULT_N)
