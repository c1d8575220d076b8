"""The Ray side of the pool: actors that hold a reward model, their start, their loss.

Invariant: what is handed in comes back in order, each item once. Only this module and the actor in
it touch Ray.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prm_eval.errors import MissingExtra, PrmEvalError, UsageError
from prm_eval.plugins import load_registry
from prm_eval.scoring import as_prepared, score_batch
from prm_eval.types import Candidate, Work

log = logging.getLogger("prm_eval")

TRIES = 3  # of one batch, and of one worker's start
AHEAD = 4  # finished batches per worker that may wait for an earlier one
# Ray prints every death to standard output, the results' place; the notices here say the same.
SURROUNDINGS = {"RAY_DEDUP_LOGS_SKIP_REGEX": ".", "RAY_USAGE_STATS_ENABLED": "0"}
PATIENCE = 60.0  # seconds between two notices that workers are still starting


class Actor:
    """Lives in a worker's process: builds the model from its reference there, and works on batches.

    Every method returns (answer, notices): what the "prm_eval" logger said goes home with it.
    Errors of ours travel as their text: not every exception survives pickling.
    """

    def __init__(self, reference: str, plugin_files: Sequence[Path]) -> None:
        self._reference, self._files = reference, plugin_files

    def load(self) -> tuple[Any, list[str]]:
        """Build the model; its name, fingerprint, default aggregation and provenance."""
        return self._home(self._load)

    def prepare(self, candidates: Sequence[Candidate]) -> tuple[Any, list[str]]:
        """`PreparedRewardModel.prepare`."""
        return self._home(lambda: list(self._model.prepare(candidates)))

    def score_batch(self, task: tuple[list[Work], str]) -> tuple[Any, list[str]]:
        """`scoring.score_batch`: (results, cost)."""
        batch, name = task

        def work() -> tuple[Any, Any]:
            done = score_batch(self._model, name, batch)
            return done.results, dict(done.cost)

        return self._home(work)

    def _load(self) -> dict[str, Any]:
        loaded = load_registry(self._files).reward_model(self._reference)
        self._model = as_prepared(loaded.obj, f"{loaded.entry.owner} {loaded.name}")
        return {
            "name": loaded.name,
            "fingerprint": self._model.fingerprint,
            "default_aggregation": getattr(loaded.obj, "default_aggregation", None),
            "provenance": dict(self._model.provenance()),
        }

    def _home(self, work: Any) -> tuple[Any, list[str]]:
        notices = _Notices()
        log.addHandler(notices)
        try:
            return work(), notices.texts
        except PrmEvalError as error:
            return PrmEvalError(str(error)), notices.texts
        finally:
            log.removeHandler(notices)


class _Notices(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@dataclass(slots=True)
class _Task:
    number: int
    item: Any
    tries: int = 0
    actor: Any = field(default=None, repr=False)


class Crew:
    """`count` actors with one model each; a lost one is replaced."""

    def __init__(self, reference: str, count: int, address: str | None, plugin_files: Sequence[Path]) -> None:
        self._ray = connect(count, address)
        share = self._ray.cluster_resources().get("GPU", 0) / count
        remote = self._ray.remote(Actor).options(num_cpus=1, num_gpus=_gpus(share), max_restarts=0)
        self._new: Callable[[], Any] = lambda: remote.remote(reference, list(plugin_files))
        self._count = count
        self._idle: list[Any] = []

    def __len__(self) -> int:
        return self._count

    def start(self) -> list[dict[str, Any]]:
        """Start all workers at once; what each says of its model. Raises what a model's loading raises."""
        actors = [self._new() for _ in range(self._count)]
        return [self._loaded(actor, quiet=bool(number)) for number, actor in enumerate(actors)]

    def ordered(self, method: str, items: Iterable[Any]) -> Iterator[Any]:
        """The answers of `method` to every item, in order; None for one that cost `TRIES` workers."""
        fresh = (_Task(number, item) for number, item in enumerate(items))
        again: deque[_Task] = deque()
        running: dict[Any, _Task] = {}
        finished: dict[int, Any] = {}
        following = 0
        while True:
            while self._idle:
                if again:
                    task = again.popleft()
                elif len(finished) >= AHEAD * self._count or (new := next(fresh, None)) is None:
                    break
                else:
                    task = new
                task.actor, task.tries = self._idle.pop(), task.tries + 1
                running[getattr(task.actor, method).remote(task.item)] = task
            if not running:
                return
            (reference, *_), _ = self._ray.wait(list(running), num_returns=1)
            task = running.pop(reference)
            self._collect(reference, task, finished, again)
            while following in finished:
                yield finished.pop(following)
                following += 1

    def _collect(self, reference: Any, task: _Task, finished: dict[int, Any], again: deque[_Task]) -> None:
        try:
            answer, notices = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            log.warning("a worker was lost (%s), try %d of %d", _line(error), task.tries, TRIES)
            self._loaded(self._new(), quiet=True)
            if task.tries < TRIES:
                again.append(task)
            else:
                finished[task.number] = None
            return
        self._idle.append(task.actor)
        _tell(notices)
        if isinstance(answer, PrmEvalError):
            raise answer
        finished[task.number] = answer

    def _loaded(self, actor: Any, quiet: bool) -> dict[str, Any]:
        """Wait until the worker has its model; one that dies on the way is replaced, within limits."""
        for left in reversed(range(TRIES)):
            reference = actor.load.remote()
            while not self._ray.wait([reference], timeout=PATIENCE)[0]:
                log.warning("a worker is still starting: the cluster may be full, or the model large")
            try:
                answer, notices = self._ray.get(reference)
                break
            except self._ray.exceptions.RayActorError as error:
                if not left:
                    raise PrmEvalError(
                        f"a worker died {TRIES} times while loading its model ({_line(error)}): "
                        "give it more memory, or ask for fewer --workers"
                    ) from error
                log.warning("a worker died while loading its model (%s): starting another", _line(error))
                actor = self._new()
        if not quiet:
            _tell(notices)
        if isinstance(answer, PrmEvalError):
            raise answer
        self._idle.append(actor)
        found: dict[str, Any] = answer
        return found


def import_ray() -> Any:
    """The `ray` module. Raises MissingExtra without it."""
    for name, value in SURROUNDINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtra("ray", "ray") from error
    return ray


def connect(count: int, address: str | None) -> Any:
    """The `ray` module, connected. A Ray of our own gets more CPUs than workers: a full one stalls."""
    ray = import_ray()
    if ray.is_initialized():
        return ray
    try:
        if address is None:
            ray.init(num_cpus=count + 2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        else:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(f"Ray cannot be reached at {address or 'this machine'} ({_line(error)})") from error
    return ray


def _gpus(share: float) -> float:
    """The cluster's GPUs are shared out equally: whole ones, or a part of one."""
    return float(int(share)) if share >= 1 else share


def _tell(notices: Sequence[str]) -> None:
    for text in notices:
        log.warning("%s", text)


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
