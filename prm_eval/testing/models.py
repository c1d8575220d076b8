"""The contract of a reward model, promise by promise.

Invariant: a check raises AssertionError with what was found, and needs no label but the example's.
"""

from collections.abc import Callable, Sequence

from prm_eval.scoring import score_candidates
from prm_eval.testing.examples import ODD_TEXTS, candidate, example_of, is_own
from prm_eval.types import Candidate, RewardModel, Score, Step, Unscored


def one_result_each(model: RewardModel) -> None:
    """As many results as candidates, an empty one among them."""
    given = [*_both(model), _of(model, "", 2)]
    results = list(model.score(given))
    assert len(results) == len(given), f"{len(results)} results for {len(given)} candidates"
    for result in results:
        assert isinstance(result, Score | Unscored), (
            f"returned {type(result).__name__}, not Score or Unscored"
        )


def order(model: RewardModel) -> None:
    """Results follow their candidates when the batch is turned around."""
    good, bad = _both(model)
    given = [good, bad, _of(model, good.text + "\n\nDone.", 2)]
    forward, backward = _score(model, given), _score(model, given[::-1])[::-1]
    for one, other in zip(forward, backward, strict=True):
        assert _close(one, other), f"scores change with the order of the batch: {one} and {other}"


def repeatable(model: RewardModel) -> None:
    """Two calls, one score."""
    good, _ = _both(model)
    first, second = _score(model, [good]), _score(model, [good])
    assert _close(first[0], second[0]), f"two calls, two scores: {first[0]} and {second[0]}"


def empty_batch(model: RewardModel) -> None:
    """Nothing in, nothing out."""
    assert list(model.score([])) == [], "an empty batch must give an empty list"


def odd_texts(model: RewardModel) -> None:
    """Odd texts, whole and as one given step, have a result each."""
    for name, text in ODD_TEXTS.items():
        for item in (candidate(text), Candidate(candidate(text).problem, 0, text, (Step(text),))):
            result = list(model.score([item]))
            assert len(result) == 1, f"{name}: {len(result)} results for one candidate"
            assert isinstance(result[0], Score | Unscored), f"{name}: returned {type(result[0]).__name__}"


def tells_apart(model: RewardModel) -> None:
    """The two responses of the example differ; of the model's own, the right one scores higher."""
    good, bad = _score(model, _both(model))
    assert isinstance(good, Score) or isinstance(bad, Score), f"a plain response is unscored: {good}"
    assert not _close(good, bad, own_scale=True), f"a right and a wrong response score the same: {good}"
    if is_own(example_of(model)) and isinstance(good, Score) and isinstance(bad, Score):
        assert good.value > bad.value, f"its own example: {good.value:g} for right, {bad.value:g} for wrong"


CHECKS: dict[str, Callable[[RewardModel], None]] = {
    "one result for each candidate": one_result_each,
    "results in the order of the candidates": order,
    "the same score twice": repeatable,
    "an empty batch gives an empty list": empty_batch,
    "odd texts are scored or Unscored": odd_texts,
    "a right and a wrong response differ": tells_apart,
}


def _of(model: RewardModel, text: str, index: int) -> Candidate:
    example = example_of(model)
    return candidate(text, index, example.prompt, None if is_own(example) else "2")


def _both(model: RewardModel) -> list[Candidate]:
    example = example_of(model)
    return [_of(model, example.first, 0), _of(model, example.second, 1)]


def _score(model: RewardModel, candidates: Sequence[Candidate]) -> list[Score | Unscored]:
    return score_candidates(model, candidates, name="the model", identity="contract").results


def _close(one: Score | Unscored, other: Score | Unscored, own_scale: bool = False) -> bool:
    if isinstance(one, Unscored) or isinstance(other, Unscored):
        return one == other
    # products of many probabilities are small: they are told apart by their ratio
    scale = min(1.0, max(abs(one.value), abs(other.value))) if own_scale else 1.0
    return abs(one.value - other.value) <= max(1e-4 * scale, 1e-12)
