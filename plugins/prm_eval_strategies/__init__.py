"""The built-in selection strategies and aggregations, registered like a stranger's.

Invariant: importing this module imports no numpy; a factory imports what it needs.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from prm_eval import aggregate
from prm_eval.hooks import hookimpl

if TYPE_CHECKING:
    from prm_eval.types import Strategy


def first() -> "Strategy":
    """The candidate of lowest index: what one greedy reader would take."""
    from prm_eval_strategies import picks

    return picks.First()


def random() -> "Strategy":
    """Any candidate: the mean accuracy at every k."""
    from prm_eval_strategies import picks

    return picks.Random()


def oracle() -> "Strategy":
    """A right candidate wherever there is one: pass@k."""
    from prm_eval_strategies import picks

    return picks.Oracle()


def best_of_n() -> "Strategy":
    """The candidate with the highest score."""
    from prm_eval_strategies import picks

    return picks.BestOfN()


def majority() -> "Strategy":
    """The answer with the most votes."""
    from prm_eval_strategies import ballots

    return ballots.Majority()


def weighted(weight: str = "raw") -> "Strategy":
    """The answer with the largest sum of scores; weight = raw, sigmoid or exp of the score."""
    from prm_eval_strategies import ballots

    return ballots.Weighted(weight)


def majority_then_best() -> "Strategy":
    """The answer with the most votes; among equals the one with the best score."""
    from prm_eval_strategies import ballots

    return ballots.MajorityThenBest()


def last() -> aggregate.Aggregation:
    """The score of the last step."""
    return aggregate.last


def minimum() -> aggregate.Aggregation:
    """The lowest step score."""
    return aggregate.minimum


def maximum() -> aggregate.Aggregation:
    """The highest step score."""
    return aggregate.maximum


def mean() -> aggregate.Aggregation:
    """The average step score."""
    return aggregate.mean


def product() -> aggregate.Aggregation:
    """The product of the step scores."""
    return aggregate.product


def sum_log() -> aggregate.Aggregation:
    """The sum of the logarithms of the step scores; unscored where a step is not positive."""
    return aggregate.sum_log


@hookimpl
def prm_eval_strategies() -> "Mapping[str, Callable[..., Strategy]]":
    """The strategies by name."""
    return {
        "first": first,
        "random": random,
        "best_of_n": best_of_n,
        "majority": majority,
        "weighted": weighted,
        "majority_then_best": majority_then_best,
        "oracle": oracle,
    }


@hookimpl
def prm_eval_aggregations() -> Mapping[str, Callable[..., aggregate.Aggregation]]:
    """The aggregations by name."""
    return {
        "last": last,
        "min": minimum,
        "max": maximum,
        "mean": mean,
        "product": product,
        "sum_log": sum_log,
    }
