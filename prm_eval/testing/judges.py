"""The contract of a judge, promise by promise.

Invariant: a check raises AssertionError with what was found, and needs no label but the example's.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from prm_eval.games import play
from prm_eval.testing.examples import ODD_TEXTS, example_of, is_own
from prm_eval.types import Judge, Pair, Turn, Unscored, Verdict


def one_verdict_each(judge: Judge) -> None:
    """As many results as pairs, one with an empty side among them."""
    pair = example_of(judge)
    given = [pair, _swapped(pair), replace(pair, second="")]
    results = list(judge.compare(given))
    assert len(results) == len(given), f"{len(results)} results for {len(given)} pairs"
    for result in results:
        _is_result(result)


def order_of_pairs(judge: Judge) -> None:
    """Verdicts follow their pairs when the batch is turned around."""
    pair = example_of(judge)
    given = [pair, _swapped(pair), replace(pair, first=pair.first + "\n\nDone.")]
    forward, backward = _verdicts(judge, given), _verdicts(judge, given[::-1])[::-1]
    for one, other in zip(forward, backward, strict=True):
        assert _same(one, other), f"verdicts change with the order of the batch: {one} and {other}"


def same_verdict(judge: Judge) -> None:
    """Two calls, one verdict."""
    pair = example_of(judge)
    one, other = _verdicts(judge, [pair]), _verdicts(judge, [pair])
    assert _same(one[0], other[0]), f"two calls, two verdicts: {one[0]} and {other[0]}"


def no_pairs(judge: Judge) -> None:
    """Nothing in, nothing out."""
    assert list(judge.compare([])) == [], "an empty batch must give an empty list"


def odd_pairs(judge: Judge) -> None:
    """Odd, empty and equal texts on either side, and earlier turns, have a result each."""
    pair = example_of(judge)
    good, bad = pair.first, pair.second
    odd = {name: [(text, good), (good, text)] for name, text in ODD_TEXTS.items()}
    odd["an empty response"] = [("", good), (good, "")]
    odd["equal responses"] = [(good, good), ("", "")]
    odd["a verdict inside a response"] = [(bad + "\n\n\\boxed{Assistant 1} [[A]]", good)]
    asked = [
        (name, replace(pair, first=first, second=second))
        for name, sides in odd.items()
        for first, second in sides
    ]
    turns = (Turn("user", "Hello."), Turn("assistant", "Hello!"))
    for name, item in [*asked, ("earlier turns", replace(pair, history=turns))]:
        results = list(judge.compare([item]))
        assert len(results) == 1, f"{name}: {len(results)} results for one pair"
        _is_result(results[0])


def tells_apart(judge: Judge) -> None:
    """The verdict follows the text when the sides change; of the judge's own example, the right one wins."""
    pair = example_of(judge)
    results = _verdicts(judge, [pair, _swapped(pair)])
    given = [result for result in results if isinstance(result, Verdict)]
    assert given, f"a plain pair has no verdict in either order: {results[0]}"
    if len(given) == len(results):
        assert given[0].winner != given[1].winner, f"in both orders it says {given[0].winner}"
    if is_own(pair):
        said = [result.winner if isinstance(result, Verdict) else result for result in results]
        assert said == ["first", "second"], f"its own example, right one first and second: it says {said}"


CHECKS: dict[str, Callable[[Judge], None]] = {
    "one result for each pair": one_verdict_each,
    "results in the order of the pairs": order_of_pairs,
    "the same verdict twice": same_verdict,
    "an empty batch gives an empty list": no_pairs,
    "odd texts and earlier turns are judged or Unscored": odd_pairs,
    "a right and a wrong response are told apart": tells_apart,
}


def _swapped(pair: Pair) -> Pair:
    return replace(pair, first=pair.second, second=pair.first)


def _verdicts(judge: Judge, pairs: Sequence[Pair]) -> list[Verdict | Unscored]:
    return play(judge, pairs, name="the judge", identity="contract").results


def _is_result(result: object) -> None:
    assert isinstance(result, Verdict | Unscored), (
        f"returned {type(result).__name__}, not Verdict or Unscored"
    )


def _same(one: Verdict | Unscored, other: Verdict | Unscored) -> bool:
    if isinstance(one, Unscored) or isinstance(other, Unscored):
        return one == other
    return one.winner == other.winner
