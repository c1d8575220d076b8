"""Candidates to scores: every candidate once per distinct content, whatever the model does.

Invariant: as many results as candidates, in their order; what is not finite is Unscored.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from prm_eval import batching
from prm_eval.batching import Progress, Trade
from prm_eval.store import ScoreStore
from prm_eval.types import Candidate, PreparedRewardModel, RewardModel, Score, Unscored, Work

Result = Score | Unscored
Done: TypeAlias = batching.Done[Score]


@dataclass(frozen=True, slots=True)
class Scoring:
    """What one reward model says of the candidates, aligned with them."""

    model: str
    results: list[Result]
    keys: list[str | None]
    default_aggregation: str | None
    cost: Mapping[str, float]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    tournaments: Sequence[Mapping[str, Any]] = ()

    @property
    def unscored(self) -> Counter[str]:
        """How many candidates were not scored, by kind of reason."""
        return Counter(result.kind for result in self.results if isinstance(result, Unscored))


@runtime_checkable
class BatchRunner(Protocol):
    """A reward model that works on several batches at once; they come back in the order given."""

    def run_batches(self, batches: Iterable[list[Work]], name: str) -> Iterator[Done]: ...


@runtime_checkable
class Attendant(Protocol):
    """A reward model with longer work of its own, such as games: told what the scoring is given.

    It may keep a file beside that of the store, and show its progress.
    """

    def attend(self, store: ScoreStore, progress: Progress | None) -> None: ...


@runtime_checkable
class Host(Protocol):
    """A reward model whose scores come from matches between the candidates of a problem.

    `tournaments` are the lines of tournaments.jsonl without `model`, in the order of the problems; it is
    asked after the scoring, about the same candidates, and plays nothing.
    """

    def tournaments(self, candidates: Sequence[Candidate]) -> Iterable[Mapping[str, Any]]: ...


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
    if isinstance(model, Attendant):
        model.attend(store, progress)
    prepared = as_prepared(model, identity)
    works = prepare_all(prepared, candidates, name)
    results = score_works(prepared, works, name, store, progress)
    keys = [work.key if isinstance(work, Work) else None for work in works]
    unique = {key for key in keys if key is not None}
    cost = store.cost(unique) | {"candidates": len(candidates), "unique": len(unique)}
    default = getattr(model, "default_aggregation", None)
    provenance = (
        dict(model.provenance()) if isinstance(model, PreparedRewardModel) else {"identity": identity}
    )
    return Scoring(name, results, keys, default, cost, provenance)


def as_prepared(model: RewardModel, identity: str) -> PreparedRewardModel:
    """The model, or one that has only `score` made to look prepared under `identity`."""
    return model if isinstance(model, PreparedRewardModel) else _Plain(model, identity)


def prepare_all(
    model: PreparedRewardModel, candidates: Sequence[Candidate], name: str
) -> list[Work | Unscored]:
    """`model.prepare`, checked; a candidate on which it raises is Unscored."""
    return batching.resilient(model.prepare, candidates, name, _SCORES, Work)


def score_works(
    model: PreparedRewardModel,
    works: Sequence[Work | Unscored],
    name: str,
    store: ScoreStore,
    progress: Progress | None = None,
) -> list[Result]:
    """The score of every work, in order; only what the store does not have is scored."""

    def run(batches: Iterator[list[Work]]) -> Iterator[Done]:
        if isinstance(model, BatchRunner):
            return model.run_batches(batches, name)
        return (score_batch(model, name, batch) for batch in batches)

    return batching.finish(works, store, run, progress)


def score_batch(model: PreparedRewardModel, name: str, batch: Sequence[Work]) -> Done:
    """One batch, whatever the model does: what it fails on is Unscored.

    Raises PluginError when it does not give one result per work.
    """
    return batching.run_batch(model, model.score_work, name, batch, _SCORES)


def _finite(score: Score) -> Result:
    for number in (score.value, *(score.steps or ())):
        if not math.isfinite(number):
            return Unscored(f"the model gave {number}")
    return score


_SCORES = Trade("a reward model", "candidate", Score, _finite)


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

    def cost(self) -> Mapping[str, float]:
        return batching.counts(self._model)

    def _key(self, candidate: Candidate) -> str:
        steps = None if candidate.steps is None else [[step.part, step.text] for step in candidate.steps]
        # a plain model may look at anything, so two candidates are one only when all of this agrees
        parts = [self.fingerprint, candidate.problem.id, candidate.problem.prompt, candidate.problem.answer,
                 candidate.text, steps, candidate.prediction]  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
