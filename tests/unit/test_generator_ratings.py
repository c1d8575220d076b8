"""Ratings of generators from games: by hand, with intervals that hold the truth, and only where sides are named."""

import math
from pathlib import Path

import numpy as np
import pytest

from prm_eval.benchmarks import Game, LabelledPair
from prm_eval.pages.generators import Met, of_pairs, ratings
from prm_eval.pages.runs import Run
from prm_eval.types import Pair, Unscored, Verdict


def values(cell: str) -> list[float]:
    return [
        float(one.replace(",", ""))
        for one in cell.replace("(", "").replace(")", "").replace(" to", "").split()
    ]


def test_two_generators_by_hand() -> None:
    """a has 3 of 4 points: with a drawn game of each, strength s solves 3 - 4 p(2 s) + 1/2 - p(s) = 0."""
    games = [Met(f"{i}", "a", "b", float(i > 0)) for i in range(4)]
    table = ratings("t", {"judge": games}, seed=0)
    assert table is not None

    def p(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    low, high = 0.0, 5.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 3.5 - 4 * p(2 * middle) - p(middle) > 0 else (low, middle)
    expected = 1000 + 400 / math.log(10) * low
    found = {row[0]: values(row[1])[0] for row in table.rows}
    assert found == {"a": round(expected), "b": round(2000 - expected)}
    assert [row[0] for row in table.rows] == ["a", "b"]


def test_intervals_hold_the_truth() -> None:
    """Three generators 200 Elo points apart, 3,000 games: every gap's truth lies near, and intervals are narrow."""
    random = np.random.default_rng(1)
    strength = {"a": 200.0, "b": 0.0, "c": -200.0}
    games = []
    for i in range(3000):
        one, other = random.choice(["a", "b", "c"], 2, replace=False)
        chance = 1 / (1 + 10 ** ((strength[other] - strength[one]) / 400))
        games.append(Met(str(i // 3), str(one), str(other), float(random.random() < chance)))
    table = ratings("t", {"judge": games}, seed=0)
    assert table is not None
    for name, cell in table.rows:
        value, low, high = values(cell)
        assert low < 1000 + strength[name] < high
        assert low < value < high and high - low < 60


@pytest.mark.parametrize(
    "games", [[], [Met("0", "a", "a", 1.0)], [Met("0", str(i), "x", 1.0) for i in range(40)]]
)
def test_nothing_to_rate(games: list[Met]) -> None:
    """No games, one generator alone, or more than a table can hold: no table."""
    assert ratings("t", {"judge": games}, seed=0) is None


def pair(name: str, **meta: str) -> LabelledPair:
    return LabelledPair(Pair(name, "p", "x", "y"), "first", meta=meta)


def test_pairs_that_name_their_generators() -> None:
    """Order is undone, games without a verdict and pairs without names are left out, labels stand beside."""
    pairs = [pair("1", chosen_model="a", rejected_model="b"), pair("2", model_a="a", model_b="b"), pair("3")]
    games = [
        Game("1", "j", "ab", Verdict("second")), Game("1", "j", "ba", Verdict("first")),  # both for b
        Game("2", "j", "ab", Unscored("silent")), Game("3", "j", "ab", Verdict("first")),
    ]  # fmt: skip
    run = Run("r", Path("r"), "judge", {"metrics": []}, {}, pairs=pairs, games=games)
    table = of_pairs(run)
    assert table is not None and list(table.columns) == ["generator", "j", "the labels"]
    found = {row[0]: [values(cell)[0] for cell in row[1:]] for row in table.rows}
    assert found["b"][0] > 1000 > found["a"][0]
    assert found["a"][1] > 1000 > found["b"][1]
    assert of_pairs(Run("r", Path("r"), "judge", {"metrics": []}, {}, pairs=pairs[2:], games=games)) is None
