"""ReasonFlux-PRM-7B: each step of thinking and response, and the response as one step.

Invariant: both readings are one checkpoint's; a candidate whose response does not fit is Unscored in
both. Sources: ReasonFlux_PRM/README.md and utils/rm_utils.py; arXiv 2506.18896 for the selection.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prm_eval.aggregate import mean
from prm_eval.cards import Card, LoadOptions
from prm_eval.engines import load_card
from prm_eval.readout import ReadoutModel, Rendered, Rows, Tokens
from prm_eval.readout.families import StepHead
from prm_eval.readout.outcomes import response_text
from prm_eval.types import Candidate, Score, Step, Unscored, Work

NAME = "reasonflux-prm"


class Steps(StepHead):
    """The layout of Qwen2.5-Math-PRM; no system message is given, so the template's own stands."""

    default_aggregation = "mean"

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(tokens, NAME, system=None)

    def read(self, rows: Rows) -> Score:
        """P(good) per step; the value is the mean, as no aggregation was published."""
        steps = super().read(rows).steps
        assert steps is not None, "a step head gives steps"
        return Score(mean(steps), steps)


class Whole(StepHead):
    """The trajectory score: the whole response, tags included, as one step."""

    stepwise = False
    default_aggregation = "last"

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(tokens, f"{NAME}-trajectory", system=None)

    def render(self, candidate: Candidate) -> Rendered | Unscored:
        """The conversation with one separator, after the response."""
        whole = Step(response_text(candidate))
        return super().render(replace(candidate, steps=(whole,) if whole.text.strip() else ()))

    def read(self, rows: Rows) -> Score:
        """P(good) of the response."""
        return Score(super().read(rows).value)


class Selection:
    """mean step + alpha x trajectory; a `types.PreparedRewardModel` of two inputs per candidate.

    Its works pair the works of the two readings, so that keys, sizes and reasons are theirs.
    """

    default_aggregation = "model"

    def __init__(self, steps: ReadoutModel, whole: ReadoutModel, alpha: float, proven: str) -> None:
        self._steps, self._whole, self._alpha, self._proven = steps, whole, alpha, proven
        self.fingerprint = _digest(steps.fingerprint, whole.fingerprint, repr(alpha))

    def prepare(self, candidates: Sequence[Candidate]) -> list[Work | Unscored]:
        """Both inputs of each candidate; Unscored when one of them cannot be read."""
        pairs = zip(self._steps.prepare(candidates), self._whole.prepare(candidates), strict=True)
        return [self._pair(steps, whole) for steps, whole in pairs]

    def score_work(self, works: Sequence[Work]) -> list[Score | Unscored]:
        """One result per work, in order."""
        steps = self._steps.score_work([work.payload[0] for work in works])
        whole = self._whole.score_work([work.payload[1] for work in works])
        return [self._combine(one, other) for one, other in zip(steps, whole, strict=True)]

    def score(self, candidates: Sequence[Candidate]) -> list[Score | Unscored]:
        """`prepare` and `score_work` in one; equal inputs are computed once."""
        prepared = self.prepare(candidates)
        unique = {work.key: work for work in prepared if isinstance(work, Work)}
        scores = dict(zip(unique, self.score_work(list(unique.values())), strict=True))
        return [scores[item.key] if isinstance(item, Work) else item for item in prepared]

    def provenance(self) -> Mapping[str, Any]:
        """What ran, with alpha."""
        own = {"alpha": self._alpha, "fingerprint": self.fingerprint, "proven": self._proven}
        return {**self._steps.provenance(), **own}

    def cost(self) -> Mapping[str, float]:
        """Of both readings: they share an engine."""
        return self._steps.cost()

    def _pair(self, steps: Work | Unscored, whole: Work | Unscored) -> Work | Unscored:
        if isinstance(steps, Unscored) or isinstance(whole, Unscored):
            return steps if isinstance(steps, Unscored) else whole
        key = _digest(self.fingerprint, steps.key, whole.key)
        return Work(key, steps.size + whole.size, (steps, whole))

    def _combine(self, steps: Score | Unscored, whole: Score | Unscored) -> Score | Unscored:
        if isinstance(steps, Unscored) or isinstance(whole, Unscored):
            return steps if isinstance(steps, Unscored) else whole
        return Score(steps.value + self._alpha * whole.value, steps.steps)


def load_steps(options: LoadOptions, card: Card) -> ReadoutModel:
    """The step scores."""
    return load_card(Steps, options, card)


def load_selection(options: LoadOptions, card: Card, alpha: float) -> Selection:
    """The selection score: one set of weights, read twice."""
    whole: list[Whole] = []

    def both(tokens: Tokens) -> Steps:
        whole.append(Whole(tokens))
        return Steps(tokens)

    steps = load_card(both, options, card)
    return Selection(steps, steps.with_family(whole[0]), alpha, card.proven)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
