"""For authors of plugins: fakes that satisfy the protocols, and the contracts of models and judges.

Subclass `RewardModelContract` or `JudgeContract` in a pytest file and return yours from `make`; the
inherited tests are the whole contract. Invariant: nothing here needs pytest, torch or a network.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from prm_eval.testing import judges, models
from prm_eval.testing.examples import BAD, EXAMPLE, GOOD, ODD_TEXTS, candidate
from prm_eval.types import Candidate, Judge, Pair, RewardModel, Score, Unscored, Verdict

__all__ = [
    "BAD", "EXAMPLE", "GOOD", "ODD_TEXTS", "FakeJudge", "FakeRewardModel", "JudgeContract",
    "RewardModelContract", "candidate", "check_judge", "check_reward_model",
]  # fmt: skip
T = TypeVar("T")


class FakeRewardModel:
    """Scores by a hash of the text, so that equal texts score alike and nothing else does."""

    def __init__(self, *, steps: bool = True) -> None:
        self.steps = steps
        self.calls: list[int] = []  # sizes of the batches it was given

    def score(self, candidates: Sequence[Candidate]) -> list[Score | Unscored]:
        """One score per candidate; an empty response is unscored."""
        self.calls.append(len(candidates))
        return [self._score(item) for item in candidates]

    def _score(self, item: Candidate) -> Score | Unscored:
        pieces = [piece for piece in item.text.split("\n\n") if piece.strip()]
        if not pieces:
            return Unscored("empty response")
        steps = tuple(_hashed(item.problem.prompt + piece) for piece in pieces)
        return Score(steps[-1], steps if self.steps else None)


class FakeJudge:
    """Prefers the response whose text has the higher hash, wherever it stands; equal texts tie."""

    def __init__(self) -> None:
        self.calls: list[int] = []  # sizes of the batches it was given

    def compare(self, pairs: Sequence[Pair]) -> list[Verdict | Unscored]:
        """One verdict per pair; an empty side is unscored."""
        self.calls.append(len(pairs))
        return [self._compare(pair) for pair in pairs]

    def _compare(self, pair: Pair) -> Verdict | Unscored:
        if not (pair.first.strip() and pair.second.strip()):
            return Unscored("empty response")
        first, second = _hashed(pair.prompt + pair.first), _hashed(pair.prompt + pair.second)
        if first == second:
            return Verdict("tie", 0.5)
        return Verdict("first" if first > second else "second", first / (first + second), f"{first} {second}")


def _hashed(text: str) -> float:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def check_reward_model(model: RewardModel) -> Iterator[tuple[str, str | None]]:
    """Run the contract; yields (what is promised, what went wrong or None)."""
    return _run(models.CHECKS, model)


def check_judge(judge: Judge) -> Iterator[tuple[str, str | None]]:
    """Run the contract of judges; yields (what is promised, what went wrong or None)."""
    return _run(judges.CHECKS, judge)


def _run(checks: Mapping[str, Callable[[T], None]], subject: T) -> Iterator[tuple[str, str | None]]:
    for name, check in checks.items():
        try:
            check(subject)
        except AssertionError as error:
            yield name, str(error)
        except Exception as error:  # it is a stranger's: whatever it raises is the finding
            yield name, f"raised {type(error).__name__}: {error}"
        else:
            yield name, None


class RewardModelContract:
    """The contract as tests: subclass it, and return the model to be tested from `make`."""

    def make(self) -> RewardModel:
        """The reward model under test."""
        raise NotImplementedError("return your reward model from make()")

    def test_one_result_each(self) -> None:
        """As many results as candidates, each a Score or an Unscored."""
        models.one_result_each(self.make())

    def test_order(self) -> None:
        """Results stand in the order of the candidates, whatever stands beside them."""
        models.order(self.make())

    def test_repeatable(self) -> None:
        """The same candidate scores the same twice."""
        models.repeatable(self.make())

    def test_empty_batch(self) -> None:
        """No candidates, no results."""
        models.empty_batch(self.make())

    def test_odd_texts(self) -> None:
        """Long, odd and empty texts give a Score or an Unscored, and never raise."""
        models.odd_texts(self.make())

    def test_tells_apart(self) -> None:
        """A right and a wrong response do not score the same."""
        models.tells_apart(self.make())


class JudgeContract:
    """The contract of judges as tests: subclass it, and return the judge to be tested from `make`."""

    def make(self) -> Judge:
        """The judge under test."""
        raise NotImplementedError("return your judge from make()")

    def test_one_verdict_each(self) -> None:
        """As many results as pairs, each a Verdict or an Unscored."""
        judges.one_verdict_each(self.make())

    def test_order_of_pairs(self) -> None:
        """Results stand in the order of the pairs, whatever stands beside them."""
        judges.order_of_pairs(self.make())

    def test_repeatable(self) -> None:
        """The same pair gets the same verdict twice."""
        judges.same_verdict(self.make())

    def test_empty_batch(self) -> None:
        """No pairs, no results."""
        judges.no_pairs(self.make())

    def test_odd_pairs(self) -> None:
        """Long, odd, empty and equal texts and earlier turns give a result, and never raise."""
        judges.odd_pairs(self.make())

    def test_tells_apart(self) -> None:
        """A right and a wrong response get a verdict that is not always the same side or a tie."""
        judges.tells_apart(self.make())
