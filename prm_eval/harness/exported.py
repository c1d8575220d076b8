"""The results of a run as lm-eval 0.4.13 writes them, for its tables, loggers and leaderboards.

Invariant: values and standard errors are those of results.json; what a run does not know is absent,
never made up. A number that lm-eval's own best-of-N task reports too has the same name here.
"""

import json
import re
import time
from calendar import timegm
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prm_eval.errors import UsageError
from prm_eval.harness.measure import metric_name
from prm_eval.pages.runs import Row, Run
from prm_eval.selection import MetricKey

FILTER = "prm_eval"  # the filter's name in the best-of-N tasks
_KINDS = ("best_of_n", "judge", "stepwise")
# what tells two rows of one metric and scope apart
_INSIDE = ("judge", "reward_model", "aggregation", "threshold", "tuned_on", "mean_of")
_LOWER_IS_BETTER = {"ece", "brier"}
_NEITHER = {"first_position_rate"}
# in the order in which lm-eval itself looks for a model's name
_NAMES = ("peft", "delta", "pretrained", "model", "path", "engine")


def exported(run: Run) -> dict[str, Any]:
    """What `simple_evaluate` returns and `EvaluationTracker` saves, without samples.

    Subsets, sections and tags are tasks of their own in a group of the task's name. Raises
    UsageError when two rows would stand under one name, or for a run that evaluates nobody.
    """
    if run.kind not in _KINDS:
        raise UsageError(f"{run.path} evaluates no model: give a run of best-of-n, judge or stepwise")
    whole = _plain(run.task)
    tasks = _tasks(whole, run.results["metrics"])
    parts = [name for name in tasks if name != whole]
    name = model_name(run)
    found: dict[str, Any] = {"results": {task: _numbers(task, rows) for task, rows in tasks.items()}}
    if parts:
        found["groups"] = {whole: found["results"][whole]} if whole in tasks else {}
    return found | {
        "group_subtasks": {whole: parts},
        "configs": {task: _config(run, task) for task in tasks},
        "versions": dict.fromkeys(tasks, "N/A"),
        "n-shot": {},  # no run says it
        "higher_is_better": {task: _directions(rows) for task, rows in tasks.items()},
        "n-samples": {task: _samples(run, rows) for task, rows in tasks.items()},
        "config": _settings(run),
        **_machine(run),
        "model_source": run.option("model") or "prm-eval",
        "model_name": name,
        "model_name_sanitized": re.sub(r"[\"<>:/|\\?*\[\]]+", "__", name),
    }


def model_name(run: Run) -> str:
    """Who is evaluated: the model that answered or, of judges and step scores, those that judged.

    A best-of-N run over stored responses does not know who wrote them: the file's name stands for it.
    """
    if run.kind != "best_of_n":
        who = (row.get("judge") or row.get("reward_model") for row in run.results["metrics"])
        return ", ".join(dict.fromkeys(str(one) for one in who if one))
    given = run.option("model_args") or ""
    for key in _NAMES:
        if found := re.search(rf"(?:^|,){key}=([^,]+)", str(given)):
            return found[1]
    path = run.option("candidates_path")
    return Path(str(path)).stem if path else run.name


def knows_its_model(run: Run) -> bool:
    """Whether `model_name` is a model's name, and not that of a file or folder."""
    return run.kind != "best_of_n" or bool(run.option("model_args"))


def _tasks(whole: str, rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Task to its rows: the whole first, then each subset, section and tag."""
    tasks: dict[str, list[Row]] = {}
    for row in rows:
        # a section may be called as a subset is
        named = {"section": row.get("section"), **(row.get("tags") or {})}
        scope = [f"{name}={value}" for name, value in named.items() if value]
        scope += [row["subset"]] if row.get("subset") else []
        tasks.setdefault("_".join([whole, *map(_plain, scope)]), []).append(row)
    return tasks


def _numbers(task: str, rows: Iterable[Row]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": task, "alias": task, "sample_len": 0}
    for row in rows:
        name = _name(row)
        if f"{name},{FILTER}" in found:
            raise UsageError(f"{task}: two rows of results.json would both be '{name}' for lm-eval")
        found[f"{name},{FILTER}"] = row["value"]
        # win_rate has its standard error in `error`; of another metric that is an estimate's own
        error = row.get("error") if row["metric"].endswith("win_rate") else row.get("stderr")
        if error is not None and row["value"] is not None:
            found[f"{name}_stderr,{FILTER}"] = error
        found["sample_len"] = max(found["sample_len"], _count(row))
    return found


def _name(row: Row) -> str:
    if "k" in row or row["metric"] == "mean":
        key = MetricKey(row["metric"], row.get("k"), row.get("reward_model"), row.get("aggregation"))
        return metric_name(key)
    inside = ":".join(str(row[name]) for name in _INSIDE if row.get(name) is not None)
    # lm-eval joins metric and filter with a comma
    return f"{row['metric']}[{inside}]".replace(",", ";") if inside else str(row["metric"])


def _directions(rows: Iterable[Row]) -> dict[str, bool | None]:
    return {
        _name(row): None if row["metric"] in _NEITHER else row["metric"] not in _LOWER_IS_BETTER
        for row in rows
    }


def _count(row: Row) -> int:
    return int(next(row[name] for name in ("n_problems", "n_solutions", "n_pairs") if name in row))


def _samples(run: Run, rows: Sequence[Row]) -> dict[str, int]:
    """`original` counts problems that a run left out of its numbers, where it keeps its candidates."""
    effective, subset = max(map(_count, rows)), rows[0].get("subset")
    own = {one.problem.id for one in run.candidates if subset in (None, one.problem.subset)}
    return {"original": len(own) or effective, "effective": effective}


def _config(run: Run, task: str) -> dict[str, Any]:
    n = run.option("n")
    return {
        "task": task,
        "output_type": "generate_until",
        **({"repeats": n} if n else {}),
        "metadata": {
            "prm_eval": {
                "command": run.manifest.get("command"),
                "seed": run.results.get("seed"),
                "versions": run.manifest.get("versions", {}),
                "reward_models": run.manifest.get("reward_models", {}),
                "warnings": run.results["warnings"],
                "unscored": run.results["unscored"],
            }
        },
    }


def _settings(run: Run) -> dict[str, Any]:
    drawn = _generation(run)
    seeds = ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")
    return {
        "model": run.option("model") or "prm-eval",
        "model_args": run.option("model_args"),
        "batch_size": run.option("batch_size"),
        "batch_sizes": [],
        "device": None,
        "use_cache": None,
        "limit": run.option("limit"),
        "bootstrap_iters": run.option("bootstrap"),
        "gen_kwargs": drawn.get("gen_kwargs") or run.option("gen_kwargs"),
        **dict.fromkeys(seeds, run.option("seed")),
    }


def _generation(run: Run) -> Mapping[str, Any]:
    """The settings that shaped the responses, {} where they were not drawn by this run."""
    path = run.path / "generation.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found if isinstance(found, dict) else {}


def _machine(run: Run) -> dict[str, Any]:
    versions: Mapping[str, str] = run.manifest.get("versions", {})
    found: dict[str, Any] = {"git_hash": None, "task_hashes": {}}
    if finished := run.manifest.get("finished"):
        found["date"] = float(timegm(time.strptime(finished, "%Y-%m-%dT%H:%M:%SZ")))
    for name, package in (("lm_eval_version", "lm-eval"), ("transformers_version", "transformers")):
        if package in versions:
            found[name] = versions[package]
    return found


def _plain(name: str) -> str:
    """A task's name: loggers take a slash for the end of it."""
    return re.sub(r"[\s/,]+", "_", name)
