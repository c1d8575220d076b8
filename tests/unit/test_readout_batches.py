"""The batch plan: pure numbers, against every possible plan."""

import itertools
from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from prm_eval.readout.batches import PASS_COST, plan


def cost(batches: Sequence[Sequence[int]], lengths: Sequence[int]) -> int:
    """Padded tokens of the batches, and what their passes cost besides."""
    return sum(len(batch) * max(lengths[p] for p in batch) + PASS_COST for batch in batches)


def partitions(items: Sequence[int]) -> Iterator[list[list[int]]]:
    """Every way to divide the items into batches, of any order."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for size in range(len(rest) + 1):
        for others in itertools.combinations(rest, size):
            left = [item for item in rest if item not in others]
            for more in partitions(left):
                yield [[first, *others], *more]


@given(st.lists(st.integers(1, 500), max_size=60), st.integers(1, 3000))
def test_plan(lengths: list[int], budget: int) -> None:
    """Every input once; a batch pads to at most the budget or is a single input; lengths fall."""
    batches = plan(lengths, budget)
    assert sorted(p for batch in batches for p in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[p] for p in batch) <= budget
    order = [lengths[p] for batch in batches for p in batch]
    assert order == sorted(order, reverse=True)


@given(st.lists(st.integers(1, 900), max_size=6), st.integers(1, 3000))
def test_no_plan_is_cheaper(lengths: list[int], budget: int) -> None:
    """Brute force over all partitions within the budget finds none that costs less."""
    allowed = [
        cost(batches, lengths)
        for batches in partitions(range(len(lengths)))
        if all(len(b) == 1 or len(b) * max(lengths[p] for p in b) <= budget for b in batches)
    ]
    assert cost(plan(lengths, budget), lengths) == min(allowed)


def test_plan_by_hand() -> None:
    """The long one goes alone: padding three short ones to it would cost more than a pass."""
    assert plan([100, 1000, 90, 100], 16384) == [[1], [0, 3, 2]]
    assert plan([100, 1000, 90, 100], 200) == [[1], [0, 3], [2]]
    assert plan([], 10) == []
