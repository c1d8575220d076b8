"""lm-eval driven from here: N samples for every problem of a task, repeatable and resumable.

Invariant: generations.jsonl grows by one pass at a time, what shaped it stands in generation.json, and
a folder with other settings in it is refused instead of mixed.
"""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prm_eval.errors import UsageError
from prm_eval.harness.docs import identical_samples
from prm_eval.harness.tasks import TaskFile, generation_twin
from prm_eval.records import write_json
from prm_eval.runs import RunFolder
from prm_eval.types import Candidate

log = logging.getLogger("prm_eval")
Progress = Callable[[int, int], None]

GENERATIONS = "generations.jsonl"
SETTINGS = "generation.json"
# transformers would fall back to top_k 50 and to what the checkpoint's generation_config says, which
# no other back end does
HF_SAMPLING = {"top_k": 0, "repetition_penalty": 1.0}


@dataclass(frozen=True, slots=True)
class Sampling:
    """Everything that a sample depends on."""

    task: str
    model: str
    model_args: str | Mapping[str, Any]
    n: int
    seed: int
    data: str | None
    limit: int | None
    batch_size: str | int | None
    gen_kwargs: Mapping[str, Any]
    apply_chat_template: bool | None
    include_paths: Sequence[Path]


def generate(
    task: str,
    model: str,
    model_args: str | Mapping[str, Any],
    n: int,
    *,
    out: Path,
    seed: int = 0,
    data: str | None = None,
    limit: int | None = None,
    batch_size: str | int | None = None,
    gen_kwargs: str | Mapping[str, Any] | None = None,
    apply_chat_template: bool | None = None,
    include_paths: Sequence[Path] = (),
    progress: Progress | None = None,
    verbose: bool = False,
) -> list[Candidate]:
    """n samples for every problem of the task, by problem and index; also in `out/candidates.jsonl`.

    `model` and `model_args` are lm-eval's own; `gen_kwargs` overrides the task's sampling;
    `apply_chat_template=None` means: when the tokenizer has one. An interrupted run is continued by
    the same call. `progress` is called with (responses done, responses in all). Raises UsageError
    for an unknown task or model, a model that does not load, a folder with samples of other settings.
    """
    asked = Sampling(
        task, model, model_args, n, seed, data, limit, batch_size, _parsed(gen_kwargs), apply_chat_template,
        include_paths,
    )  # fmt: skip
    twin = generation_twin(task, include_paths)
    _check(asked, out)
    with _quiet(verbose), contextlib.redirect_stdout(sys.stderr):
        candidates = _run(asked, twin, out, progress)
    RunFolder(out).keep_candidates(candidates)
    notice = identical_samples(_by_problem(candidates))
    if notice is not None:
        log.warning("%s: %s", twin.name, notice)
    return candidates


def preview(
    task: str, model: str, *, n: int, data: str | None, limit: int | None,
    gen_kwargs: str | Mapping[str, Any] | None, include_paths: Sequence[Path], out: Path,
) -> dict[str, Any]:  # fmt: skip
    """What `generate` would do, without a model: task, problems, responses, sampling options.

    Loads the task's problems. Raises as `generate` does.
    """
    from prm_eval.harness.models import find_model

    asked = Sampling(task, model, "", n, 0, data, limit, None, _parsed(gen_kwargs), None, include_paths)
    twin = generation_twin(task, include_paths)
    _check(asked, out)
    find_model(model)
    with _quiet(False), contextlib.redirect_stdout(sys.stderr):
        loaded = _load_task(asked, twin)
        held = len(loaded.eval_docs)
    problems = held if limit is None else min(held, limit)
    sampling = dict(loaded.config.generation_kwargs) | dict(asked.gen_kwargs)
    return {"task": twin.name, "problems": problems, "responses": problems * n, "sampling": sampling}


def _run(sampling: Sampling, task: TaskFile, out: Path, progress: Progress | None) -> list[Candidate]:
    import lm_eval

    from prm_eval.harness import generation_cost, seeding
    from prm_eval.harness.generation_cost import Meter
    from prm_eval.harness.models import load_model
    from prm_eval.harness.replay import Replay
    from prm_eval.harness.seeds import RepeatSeeds

    lm = load_model(sampling.model, sampling.model_args, sampling.batch_size)
    if lm.world_size > 1:
        raise UsageError(
            f"{lm.world_size} processes were started and generation runs in one: use a back end that spreads"
            " over GPUs itself (vllm), or plain lm_eval with the task's generation twin"
        )
    loaded = _load_task(sampling, task)
    options = _sampling_options(sampling, lm, loaded)
    loaded.set_config(key="repeats", value=sampling.n)
    loaded.set_config(key="generation_kwargs", value=options, update=True)
    loaded.set_config(key="num_fewshot", value=loaded.config.num_fewshot or 0)
    loaded.set_fewshot_seed(seed=sampling.seed)
    loaded.override_metric(metric_name="bypass")  # no metric: these samples are graded elsewhere
    chat = _wants_chat_template(sampling, lm)
    settings = _settings(sampling, task, options, chat) | {"seeded_by": seeding.way_of(lm)}
    _claim(out, settings)
    meter = None if isinstance(lm, Replay) else Meter(lm, out / generation_cost.FILE)
    path = out / GENERATIONS
    model = RepeatSeeds(lm, seed=sampling.seed, path=path, progress=progress, meter=meter)
    # `simple_evaluate` would also list every installed package and ask some models for a tokenizer
    # of the hub: seconds to minutes for a report that nobody reads here
    lm_eval.evaluate(
        lm=model,
        task_dict={"tasks": {task.name: loaded}, "groups": {}},
        limit=sampling.limit,
        apply_chat_template=chat,
        bootstrap_iters=0,
    )
    return model.candidates


def _parsed(gen_kwargs: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Options as a mapping; text is read as lm-eval reads its `--gen_kwargs`."""
    if not isinstance(gen_kwargs, str):
        return dict(gen_kwargs or {})
    from lm_eval.utils import simple_parse_args_string

    for piece in filter(None, gen_kwargs.split(",")):
        if "=" not in piece:
            raise UsageError(f"gen_kwargs: '{piece}' is no option: write name=value,name=value")
    return dict(simple_parse_args_string(gen_kwargs))


def _check(sampling: Sampling, out: Path) -> None:
    if sampling.n < 1:
        raise UsageError(f"n is {sampling.n}: expected at least one sample for each problem")
    if "seed" in sampling.gen_kwargs:
        raise UsageError("gen_kwargs seed= would give every repeat the same seed: use the run's own seed")
    for name in ("n", "num_return_sequences"):
        if name in sampling.gen_kwargs:
            raise UsageError(f"gen_kwargs {name}= is not read by lm-eval's back ends: use the run's own n")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder")


def _load_task(sampling: Sampling, task: TaskFile) -> Any:
    from lm_eval.tasks import TaskManager

    # only `data` goes in: lm-eval would hand model arguments to the data set, where names collide
    metadata = {} if sampling.data is None else {"data": sampling.data}
    manager = TaskManager(include_defaults=False, include_path=[], metadata=metadata)
    return next(iter(manager.load([str(task.path)])["tasks"].values()))


def _sampling_options(sampling: Sampling, lm: Any, task: Any) -> dict[str, Any]:
    """The user's options, and for transformers what would otherwise come out of the checkpoint."""
    module = sys.modules.get("lm_eval.models.huggingface")
    own = dict(task.config.generation_kwargs) | dict(sampling.gen_kwargs)
    options = dict(sampling.gen_kwargs)
    if module is not None and isinstance(lm, module.HFLM) and own.get("do_sample"):
        options |= {name: value for name, value in HF_SAMPLING.items() if name not in own}
    window = getattr(lm, "max_length", None)
    wanted = own.get("max_gen_toks", 0)
    if isinstance(window, int) and wanted >= window:
        raise UsageError(
            f"the task asks for {wanted} new tokens and the model's window has {window}: lower it with"
            f" gen_kwargs max_gen_toks={window * 3 // 4}, or raise max_length in model_args"
        )
    return options


def _wants_chat_template(sampling: Sampling, lm: Any) -> bool:
    if sampling.apply_chat_template is not None:
        return sampling.apply_chat_template
    # chat servers apply their own template, but lm-eval sends them messages only when asked to
    # (a tokenizer that is a property, as that of `dummy`, would be loaded from the hub by being looked at)
    return "chat" in sampling.model or bool(getattr(vars(lm).get("tokenizer"), "chat_template", None))


def _settings(sampling: Sampling, task: TaskFile, options: Mapping[str, Any], chat: bool) -> dict[str, Any]:
    from prm_eval.harness.models import default_batch_size

    args = sampling.model_args
    return {
        "task": task.name,
        "model": sampling.model,
        "model_args": args if isinstance(args, str) else dict(args),
        "seed": sampling.seed,
        "data": sampling.data,
        "limit": sampling.limit,
        "batch_size": default_batch_size(sampling.model, sampling.batch_size),
        "gen_kwargs": dict(options),
        "apply_chat_template": chat,
        "lm_eval": version("lm_eval"),
    }


def _claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a new folder; refuse one whose samples were made otherwise."""
    import json

    path = out / SETTINGS
    if path.exists() and (out / GENERATIONS).exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name in settings if known.get(name) != settings[name]]
        if other:
            shown = ", ".join(f"{name} {known.get(name)!r} (now {settings[name]!r})" for name in other)
            raise UsageError(f"{out} holds samples made with {shown}: choose another folder")
        return
    write_json(path, settings)


def _by_problem(candidates: Sequence[Candidate]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.problem.id, []).append(candidate.text)
    return list(groups.values())


@contextlib.contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Log lines of lm-eval and of what it drives only when asked for."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "transformers")]
    before = [logger.level for logger in loggers]
    if not verbose:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
