"""A reward model made to serve as a judge: the side with the higher score wins.

Invariant: each text is scored once, and a side without a score makes the game Unscored, never lost.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from prm_eval import batching
from prm_eval.aggregate import RELATIVE
from prm_eval.errors import UsageError
from prm_eval.scoring import as_prepared, prepare_all, score_works
from prm_eval.store import ScoreStore
from prm_eval.types import Candidate, Pair, Problem, RewardModel, Score, Unscored, Verdict, Work

Sides = tuple[Score | Unscored, Score | Unscored]


class ScoreJudge:
    """A `types.PreparedJudge` over a reward model.

    `preference` is None: a score says who is better, not how surely. `sides` gives the two scores.
    """

    def __init__(self, model: RewardModel, identity: str) -> None:
        self._model = as_prepared(model, identity)
        self._store = ScoreStore(None)
        self.example = getattr(model, "example", None)  # what the model can read, for `plugins check`
        self.fingerprint = self._model.fingerprint

    def compare(self, pairs: Sequence[Pair]) -> list[Verdict | Unscored]:
        """One verdict per pair: the higher score wins, equal scores tie."""
        prepared = self.prepare(pairs)
        played = iter(self.judge_work([work for work in prepared if isinstance(work, Work)]))
        return [next(played) if isinstance(work, Work) else work for work in prepared]

    def prepare(self, pairs: Sequence[Pair]) -> list[Work | Unscored]:
        """Both sides made ready for the model; a side that it cannot score makes the pair Unscored."""
        works = prepare_all(self._model, _candidates(pairs), "the reward model")
        return [_both(pair, *sides) for pair, sides in zip(pairs, _in_twos(works), strict=True)]

    def judge_work(self, works: Sequence[Work]) -> list[Verdict | Unscored]:
        """One verdict per work; texts that were scored before are not scored again."""
        return [_verdict(*sides) for sides in self._scored([side for work in works for side in work.payload])]

    def sides(self, pairs: Sequence[Pair]) -> list[Sides]:
        """(score of the first, score of the second) of every pair, for margins and calibration."""
        return self._scored(prepare_all(self._model, _candidates(pairs), "the reward model"))

    def provenance(self) -> Mapping[str, Any]:
        """What the reward model says of itself, and that its scores were compared."""
        return {**self._model.provenance(), "judge": "a reward model: the higher score wins"}

    def cost(self) -> Mapping[str, float]:
        """The reward model's own counts."""
        return batching.counts(self._model)

    def _scored(self, works: Sequence[Work | Unscored]) -> list[Sides]:
        return _in_twos(score_works(self._model, works, "the reward model", self._store))


def judge_of(model: RewardModel, identity: str) -> ScoreJudge:
    """The judge that compares a model's scores. `identity` names a model without a fingerprint.

    Raises UsageError for a model whose scores depend on the other candidates of a problem.
    """
    if getattr(model, "default_aggregation", None) in RELATIVE:
        raise UsageError(
            "its scores compare the candidates of one problem and cannot judge pairs: name its judge instead"
        )
    return ScoreJudge(model, identity)


def _candidates(pairs: Sequence[Pair]) -> list[Candidate]:
    """First and second of every pair; one prompt is one problem, so that equal texts are one."""
    found = []
    for pair in pairs:
        digest = hashlib.sha256(pair.prompt.encode("utf-8", "surrogatepass")).hexdigest()
        problem = Problem(digest[:16], pair.prompt)
        found += [Candidate(problem, 0, pair.first), Candidate(problem, 1, pair.second)]
    return found


def _both(pair: Pair, first: Work | Unscored, second: Work | Unscored) -> Work | Unscored:
    if pair.history:
        return Unscored("several turns: a reward model reads one prompt and one response")
    if isinstance(first, Unscored):
        return _unscored("first", first)
    if isinstance(second, Unscored):
        return _unscored("second", second)
    key = hashlib.sha256(json.dumps([first.key, second.key]).encode()).hexdigest()
    return Work(key, first.size + second.size, (first, second))


def _verdict(first: Score | Unscored, second: Score | Unscored) -> Verdict | Unscored:
    if isinstance(first, Unscored):
        return _unscored("first", first)
    if isinstance(second, Unscored):
        return _unscored("second", second)
    text = f"scores {first.value:.6g} and {second.value:.6g}"
    if first.value == second.value:
        return Verdict("tie", text=text)
    return Verdict("first" if first.value > second.value else "second", text=text)


def _unscored(side: str, given: Unscored) -> Unscored:
    """The reason keeps its kind, so that games which failed alike are counted together."""
    return Unscored(f"{given.reason} (the {side} response)")


def _in_twos(items: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2], strict=True))
