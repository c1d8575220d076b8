"""Aggregations against hand-computed values, and what cannot be aggregated."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prm_eval import aggregate
from prm_eval.types import Score, Unscored

STEPS = (0.5, 0.25, 1.0, 0.8)
ALL = [
    aggregate.last,
    aggregate.minimum,
    aggregate.maximum,
    aggregate.product,
    aggregate.mean,
    aggregate.sum_log,
]


def test_values_by_hand():
    """Each aggregation is what its name says, on four steps worked out by hand."""
    assert aggregate.last(STEPS) == 0.8
    assert aggregate.minimum(STEPS) == 0.25
    assert aggregate.maximum(STEPS) == 1.0
    assert aggregate.product(STEPS) == pytest.approx(0.1)
    assert aggregate.mean(STEPS) == pytest.approx(0.6375)
    assert aggregate.sum_log(STEPS) == pytest.approx(-2.302585092994046)


@pytest.mark.parametrize("how", ALL)
def test_no_steps_is_refused(how):
    """An empty chain has no score under any aggregation: an error, not a zero or a one."""
    with pytest.raises(ValueError, match="no step scores"):
        how(())
    assert aggregate.aggregate(Score(0.5, ()), how) == Unscored("not aggregated: there are no step scores")


@settings(deadline=None)
@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=30), st.lists(st.floats(1e-6, 1.0), min_size=1))
def test_sum_of_logs_orders_like_the_product(one, other):
    """The sum of logs ranks two chains as their products do, wherever these differ."""
    a, b = math.prod(one), math.prod(other)
    if not math.isclose(a, b, rel_tol=1e-9):
        assert (a > b) == (aggregate.sum_log(one) > aggregate.sum_log(other))


def test_sum_of_logs_survives_where_the_product_underflows():
    """Ten thousand steps of 0.5 keep a finite score and their order."""
    assert aggregate.product([0.5] * 10_000) == 0.0
    assert aggregate.sum_log([0.5] * 10_000) == pytest.approx(10_000 * math.log(0.5))


@pytest.mark.parametrize("step", [0.0, -0.3])
def test_a_step_without_logarithm_is_unscored(step):
    """A zero or negative step is Unscored with its place, never minus infinity or a floor."""
    found = aggregate.aggregate(Score(0.1, (0.9, step, 0.8)), aggregate.sum_log)
    assert isinstance(found, Unscored)
    assert found.kind == "not aggregated"
    assert "step 2 of 3" in found.reason


def test_a_zero_step_is_a_step():
    """Underflowed probabilities are values like any other: nothing is picked by being non-zero."""
    score = Score(0.0, (0.9, 0.0, 0.7))
    assert aggregate.aggregate(score, aggregate.minimum) == 0.0
    assert aggregate.aggregate(score, aggregate.last) == 0.7
    assert aggregate.aggregate(score, aggregate.mean) == pytest.approx(1.6 / 3)


def test_the_configured_aggregation_is_used():
    """Asked for min, last and mean, the same score gives three numbers, none of them its own."""
    score = Score(0.123, STEPS)
    found = [aggregate.aggregate(score, how) for how in (aggregate.minimum, aggregate.last, aggregate.mean)]
    assert found == [0.25, 0.8, pytest.approx(0.6375)]
    assert aggregate.aggregate(score, None) == 0.123


def test_an_outcome_score_stands_under_every_aggregation():
    """Without steps the value is one step, whatever is asked for; even a negative one."""
    assert [aggregate.aggregate(Score(-3.5), how) for how in (*ALL, None)] == [-3.5] * 7


def test_unscored_stays_unscored():
    """The reason passes through untouched."""
    reason = Unscored("cut: 3 of 7 step marks lie past 4,096 tokens")
    assert aggregate.aggregate(reason, aggregate.last) is reason


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_unscored(value):
    """NaN and infinities never reach a ranking."""
    found = [
        aggregate.aggregate(Score(value), None),
        aggregate.aggregate(Score(0.5, (value,)), aggregate.last),
    ]
    assert all(isinstance(one, Unscored) and one.kind == "not finite" for one in found)
