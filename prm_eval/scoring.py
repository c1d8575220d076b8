"""Candidates to scores: unique work, batches, the contract check, resume and progress.

Invariant: as many results as candidates, in their order. The batches depend only on what is still
to be scored, smallest first, so a killed run resumes with the same batches and the same bytes.
"""

import hashlib
import json
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from prm_eval.costs import since
from prm_eval.errors import PluginError, PrmEvalError
from prm_eval.store import ScoreStore
from prm_eval.types import Candidate, PreparedRewardModel, RewardModel, Score, Unscored, Work

log = logging.getLogger("prm_eval")

Progress = Callable[[int, int], None]  # (work done, work in all), in the model's own unit
Result = Score | Unscored

# A crash loses at most one batch. The model cuts it further by its own memory budget.
BATCH_ITEMS = 256
BATCH_SIZE = 131_072


@dataclass(frozen=True, slots=True)
class Scoring:
    """What one reward model says of the candidates, aligned with them."""

    model: str
    results: list[Result]
    keys: list[str | None]
    default_aggregation: str | None
    cost: Mapping[str, float]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unscored(self) -> Counter[str]:
        """How many candidates were not scored, by kind of reason."""
        return Counter(result.kind for result in self.results if isinstance(result, Unscored))


@dataclass(frozen=True, slots=True)
class Done:
    """One finished batch: one result per work, in order, and what they cost."""

    works: Sequence[Work]
    results: list[Result]
    cost: Mapping[str, float]


@runtime_checkable
class BatchRunner(Protocol):
    """A reward model that works on several batches at once; they come back in the order given."""

    def run_batches(self, batches: Iterable[list[Work]], name: str) -> Iterator[Done]: ...


def score_candidates(
    model: RewardModel,
    candidates: Sequence[Candidate],
    *,
    name: str,
    identity: str,
    store: ScoreStore | None = None,
    progress: Progress | None = None,
) -> Scoring:
    """Score every candidate once per distinct content.

    `name` is the model's reference. `identity` names the code and options of a model that has no
    fingerprint of its own; together with the candidate's text it makes the key. Raises PluginError
    when the model returns another number of results than it was given, or something else.
    """
    store = store if store is not None else ScoreStore(None)
    prepared = as_prepared(model, identity)
    works = _resilient(prepared.prepare, candidates, name, (Work, Unscored))
    unique = {work.key: work for work in works if isinstance(work, Work)}
    _score_missing(prepared, name, unique, store, progress)
    keys = [work.key if isinstance(work, Work) else None for work in works]
    results = [work if isinstance(work, Unscored) else _stored(store, work.key) for work in works]
    cost = store.cost(unique) | {"candidates": len(candidates), "unique": len(unique)}
    default = getattr(model, "default_aggregation", None)
    provenance = (
        dict(model.provenance()) if isinstance(model, PreparedRewardModel) else {"identity": identity}
    )
    return Scoring(name, results, keys, default, cost, provenance)


def as_prepared(model: RewardModel, identity: str) -> PreparedRewardModel:
    """The model, or one that has only `score` made to look prepared under `identity`."""
    return model if isinstance(model, PreparedRewardModel) else _Plain(model, identity)


def score_batch(model: PreparedRewardModel, name: str, batch: Sequence[Work]) -> Done:
    """One batch, whatever the model does: what it fails on is Unscored.

    Raises PluginError when it does not give one result per work.
    """
    started, before = time.perf_counter(), _counted(model)
    results = [_finite(r) for r in _resilient(model.score_work, batch, name, (Score, Unscored))]
    counted = since(before, _counted(model))
    return Done(batch, results, {"seconds": time.perf_counter() - started, **counted})


def plan(works: Sequence[Work]) -> Iterator[list[Work]]:
    """Batches of similar size, smallest first; ties by key, so the order of the input is no matter."""
    batch: list[Work] = []
    size = 0
    for work in sorted(works, key=lambda work: (work.size, work.key)):
        if batch and (len(batch) >= BATCH_ITEMS or size + work.size > BATCH_SIZE):
            yield batch
            batch, size = [], 0
        batch.append(work)
        size += work.size
    if batch:
        yield batch


def _score_missing(
    model: PreparedRewardModel,
    name: str,
    unique: Mapping[str, Work],
    store: ScoreStore,
    progress: Progress | None,
) -> None:
    missing = [work for key, work in unique.items() if store.get(key) is None]
    total = sum(work.size for work in missing)
    done = 0
    if progress is not None:
        progress(0, total)
    batches = plan(missing)
    if isinstance(model, BatchRunner):
        finished = model.run_batches(batches, name)
    else:
        finished = (score_batch(model, name, batch) for batch in batches)
    for batch in finished:
        pairs = [(work.key, result) for work, result in zip(batch.works, batch.results, strict=True)]
        store.add(pairs, batch.cost)
        done += sum(work.size for work in batch.works)
        if progress is not None:
            progress(done, total)


def _resilient(
    call: Callable[[Any], Any], items: Sequence[Any], name: str, kinds: tuple[type, ...]
) -> list[Any]:
    """Call a model with a batch; when it raises, item by item, so that only the guilty are lost."""
    try:
        results = call(items)
    except PrmEvalError:
        raise
    except Exception as error:  # whatever a model raises is a failure of items, not of the run
        if len(items) == 1:
            return [Unscored(f"{type(error).__name__}: {error}")]
        log.warning("%s failed on a batch of %d (%s): trying them one by one", name, len(items), error)
        return [_resilient(call, [item], name, kinds)[0] for item in items]
    return _checked(results, len(items), name, kinds)


def _checked(results: Any, count: int, name: str, kinds: tuple[type, ...]) -> list[Any]:
    """The one place where "batch in, list out, same length" is held."""
    try:
        found = list(results)
    except TypeError:
        raise PluginError(f"{name} returned {type(results).__name__}, not a list of results") from None
    if len(found) != count:
        raise PluginError(
            f"{name} returned {len(found)} results for {count} candidates: a reward model returns one each"
        )
    for result in found:
        if not isinstance(result, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise PluginError(f"{name} returned {type(result).__name__} for a candidate, not {wanted}")
    return found


def _finite(result: Result) -> Result:
    if isinstance(result, Unscored):
        return result
    for number in (result.value, *(result.steps or ())):
        if not math.isfinite(number):
            return Unscored(f"the model gave {number}")
    return result


def _stored(store: ScoreStore, key: str) -> Result:
    result = store.get(key)
    assert result is not None, "every unique work was just scored"
    return result


def _counted(model: object) -> dict[str, float]:
    """The model's own running counts (tokens, flops, ...) and peaks, {} when it keeps none."""
    cost = getattr(model, "cost", None)
    return {key: amount for key, amount in cost().items() if key != "seconds"} if callable(cost) else {}


class _Plain:
    """A reward model that has only `score`, made to look prepared: the key is the text itself."""

    default_aggregation = "model"

    def __init__(self, model: RewardModel, identity: str) -> None:
        self._model = model
        self.fingerprint = identity

    def score(self, candidates: Sequence[Candidate]) -> Sequence[Result]:
        return self._model.score(candidates)

    def prepare(self, candidates: Sequence[Candidate]) -> list[Work | Unscored]:
        return [Work(self._key(candidate), len(candidate.text), candidate) for candidate in candidates]

    def score_work(self, works: Sequence[Work]) -> Sequence[Result]:
        return self._model.score([work.payload for work in works])

    def provenance(self) -> Mapping[str, Any]:
        return {"identity": self.fingerprint}

    def _key(self, candidate: Candidate) -> str:
        steps = None if candidate.steps is None else [[step.part, step.text] for step in candidate.steps]
        # a plain model may look at anything, so two candidates are one only when all of this agrees
        parts = [self.fingerprint, candidate.problem.id, candidate.problem.prompt, candidate.problem.answer,
                 candidate.text, steps, candidate.prediction]  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
