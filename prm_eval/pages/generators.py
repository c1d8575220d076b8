"""Ratings of those who wrote the responses, from all games of a run between two of them.

Invariant: only where the data name the generator of either side; problems, or the items of pairs, are
what is resampled, since games about one of them go together.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from prm_eval.benchmarks import LabelledPair
from prm_eval.metrics import Floats
from prm_eval.pages.parts import Table
from prm_eval.pages.runs import Run
from prm_eval.ratings import bradley_terry

ELO, START, PRIOR = 400 / math.log(10), 1000.0, 1.0
KEYS = (("first_generator", "second_generator"), ("chosen_model", "rejected_model"), ("model_a", "model_b"))
"""What the two sides of a pair may be called in `meta`; the chosen one is the first."""

_RESAMPLES, _MOST = 300, 30
_POINTS = {"first": 1.0, "tie": 0.5, "second": 0.0}


class Met(NamedTuple):
    """A game between the responses of two generators: the points of the first; `unit` is resampled."""

    unit: str
    first: str
    second: str
    points: float


def ratings(title: str, judges: Mapping[str, Sequence[Met]], seed: int) -> Table | None:
    """Bradley-Terry ratings on the scale of Elo by each judge's games; None of fewer than two."""
    met = {judge: [game for game in games if game.first != game.second] for judge, games in judges.items()}
    names = sorted({name for games in met.values() for game in games for name in (game.first, game.second)})
    if not 2 <= len(names) <= _MOST:
        return None
    columns = {judge: _rated(names, games, seed) for judge, games in met.items() if games}
    first = next(iter(columns.values()))
    order = sorted(names, key=lambda name: -first[name][0])
    rows = [[name, *(_told(columns[judge][name]) for judge in columns)] for name in order]
    note = (
        "Bradley-Terry by maximum likelihood over all games between two generators, on the scale of Elo:"
        " 1,000 is the average, 400 points are odds of ten to one; everybody has one drawn game more. In"
        f" brackets 95 % intervals, {_RESAMPLES} resamples of problems."
    )
    return Table(title, ["generator", *columns], rows, note=note)


def of_tournaments(run: Run) -> Table | None:
    """Of `meta.generator` of the candidates, by every reward model that plays tournaments."""
    wrote = {one.key: str(one.meta["generator"]) for one in run.candidates if one.meta.get("generator")}
    judges: dict[str, list[Met]] = {}
    for row in run.tournaments:
        sides = [{wrote.get((row["problem_id"], index)) for index in own} for own in row["entrants"]]
        # a text, or a team, of several generators is nobody's
        names = [one.pop() if len(one) == 1 else None for one in sides]
        for a, b, won in (match for matches in row["rounds"] for match in matches):
            one, other = names[a], names[b]
            if won is not None and one and other:
                judges.setdefault(row["model"], []).append(Met(row["problem_id"], one, other, won))
    return ratings("Ratings of the generators, by the tournaments", judges, _seed(run))


def of_pairs(run: Run) -> Table | None:
    """Of the generators that the pairs name, by the labels and by every judge."""
    sides = {one.pair.id: (found, one) for one in run.pairs if (found := _sides(one))}
    judges: dict[str, list[Met]] = {}
    for game in run.games:
        if game.id in sides and game.winner is not None:
            (first, second), pair = sides[game.id]
            judges.setdefault(game.judge, []).append(Met(_unit(pair), first, second, _POINTS[game.winner]))
    labels = [
        Met(_unit(pair), *names, _POINTS[pair.label])
        for names, pair in sides.values()
        if pair.label is not None
    ]
    given = {"the labels": labels} if labels else {}
    return ratings("Ratings of the generators", {**judges, **given}, _seed(run)) if judges else None


def _sides(pair: LabelledPair) -> tuple[str, str] | None:
    for one, other in KEYS:
        if pair.meta.get(one) and pair.meta.get(other):
            return str(pair.meta[one]), str(pair.meta[other])
    return None


def _unit(pair: LabelledPair) -> str:
    return f"pair {pair.pair.id}" if pair.item is None else f"item {pair.item}"


def _seed(run: Run) -> int:
    return int(run.results.get("seed") or 0)


def _rated(names: Sequence[str], games: Sequence[Met], seed: int) -> dict[str, tuple[float, float, float]]:
    """(rating, low, high) of every generator."""
    place = {name: number for number, name in enumerate(names)}
    units: dict[str, list[tuple[int, int, float]]] = {}
    for game in games:
        units.setdefault(game.unit, []).append((place[game.first], place[game.second], game.points))
    grouped = list(units.values())
    value = _fit(len(names), grouped)
    random = np.random.default_rng(seed)
    drawn = np.array([
        _fit(len(names), [grouped[at] for at in random.integers(0, len(grouped), len(grouped))])
        for _ in range(_RESAMPLES)
    ])  # fmt: skip
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    return {name: (float(value[at]), float(low[at]), float(high[at])) for name, at in place.items()}


def _fit(count: int, grouped: Iterable[Sequence[tuple[int, int, float]]]) -> Floats:
    games = [game for own in grouped for game in own]
    found: Floats = START + ELO * bradley_terry(count, games, PRIOR)[0]
    return found


def _told(found: tuple[float, float, float]) -> str:
    value, low, high = found
    return f"{value:,.0f} ({low:,.0f} to {high:,.0f})"
