"""Tournaments of responses: how well the judge told right from wrong, brackets, ratings with intervals.

Invariant: a response is rated by games of its own problem alone; what is said of all problems is how often
a right response beat a wrong one. Which problems are shown is said.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from prm_eval.candidates import ScoreRow
from prm_eval.intervals import bootstrap_statistics
from prm_eval.judging.measures import ratio
from prm_eval.pages.brackets import Entrant, Match, bracket
from prm_eval.pages.generators import ELO, PRIOR, START, of_tournaments
from prm_eval.pages.parts import Figure, Legend, Row, Section, Table, count
from prm_eval.pages.runs import Key, Run
from prm_eval.pages.svg import element
from prm_eval.ratings import bradley_terry

SHOWN = 2
"""So many problems of either kind, won by a right and won by a wrong response, have their bracket."""

MOST = 64


class Played(NamedTuple):
    """One problem's tournament: entrants with their labels and matches; `winner` None where two are level."""

    problem: str
    kind: str
    entrants: list[Entrant]
    rounds: list[list[Match]]
    winner: int | None

    @property
    def games(self) -> list[tuple[int, int, float]]:
        """The matches with a verdict."""
        return [(a, b, won) for matches in self.rounds for a, b, won in matches if won is not None]

    @property
    def contested(self) -> bool:
        """Right and wrong responses played."""
        return {True, False} <= {entrant.right for entrant in self.entrants}


def tournament_section(run: Run, anchor: str) -> Section | None:
    """Every tournament of a run; None where it has none."""
    parts: list[Table | Figure] = []
    words = []
    for model in dict.fromkeys(row["model"] for row in run.tournaments):
        played = [_played(run, row) for row in run.tournaments if row["model"] == model]
        parts.append(_right_against_wrong(model, played, int(run.results.get("seed") or 0)))
        shown = chosen(played)
        words.append(_which(model, shown, played))
        for one in shown:
            if one.kind == "knockout":
                parts.append(_bracket(model, one))
            parts.append(_ratings(model, one))
    parts[:0] = [table for table in (of_tournaments(run),) if table]
    return Section(anchor, f"Tournaments: {run.name}", words, parts) if parts else None


def chosen(played: Sequence[Played]) -> list[Played]:
    """The first problems that a wrong response won although a right one played, then that a right one won."""
    sides: dict[bool, list[Played]] = {False: [], True: []}
    for one in played:
        if one.contested and one.winner is not None and len(one.entrants) <= MOST:
            right = one.entrants[one.winner].right
            if right is not None:
                sides[right].append(one)
    return sides[False][:SHOWN] + sides[True][:SHOWN]


def _which(model: str, shown: Sequence[Played], played: Sequence[Played]) -> str:
    if not shown:
        return (
            f"{model}: no problem has both right and wrong responses and one winner, so no bracket is shown."
        )
    return (
        f"{model}: of {count(len(played), 'tournament')} {len(shown)} are shown, the first {SHOWN} that a"
        f" wrong response won although a right one played and the first {SHOWN} that a right one won, of at"
        f" most {MOST} different responses."
    )


def _played(run: Run, row: Row) -> Played:
    problem = row["problem_id"]
    entrants = [Entrant(_name(indices), _label(run, problem, indices)) for indices in row["entrants"]]
    scores = run.scores.get(row["model"], {})
    values = [_value(scores, problem, indices) for indices in row["entrants"]]
    known = [value for value in values if value is not None]
    best = [place for place, value in enumerate(values) if known and value == max(known)]
    rounds = [[(a, b, won) for a, b, won in matches] for matches in row["rounds"]]
    return Played(problem, row["tournament"], entrants, rounds, best[0] if len(best) == 1 else None)


def _name(indices: Sequence[int]) -> str:
    """`#3`, `#0, #5`, `#0, #5, +2`."""
    more = f", +{len(indices) - 2}" if len(indices) > 2 else ""
    return ", ".join(f"#{index}" for index in indices[:2]) + more


def _label(run: Run, problem: str, indices: Sequence[int]) -> bool | None:
    """The label of those that play together, None where they are not of one."""
    labels = {run.correct((problem, index)) for index in indices}
    return labels.pop() if len(labels) == 1 else None


def _value(scores: Mapping[Key, ScoreRow], problem: str, indices: Sequence[int]) -> float | None:
    row = scores.get((problem, indices[0])) if indices else None
    return None if row is None else row.value


def _right_against_wrong(model: str, played: Sequence[Played], seed: int) -> Table:
    """Games of a right against a wrong response, over all problems; problems are what is resampled."""
    sums = np.array([list(_mixed(one)) for one in played], dtype=np.float64).reshape(len(played), -1)
    right, games = (float(sums[:, column].sum()) for column in (0, 1))
    interval = bootstrap_statistics(sums, [ratio], seed=seed)[0] if games else None
    share = right / games if games else None
    contested = [one for one in played if one.contested and one.winner is not None]
    won = sum(bool(one.entrants[one.winner].right) for one in contested if one.winner is not None)
    every = sum(len(matches) for one in played for matches in one.rounds)
    silent = every - sum(len(one.games) for one in played)
    rows = [
        ["matches", f"{every:,}", ""],
        ["without a verdict", f"{silent:,}", ""],
        ["of a right against a wrong response", f"{games:,.0f}", ""],
        ["points of the right one", _share(share), "–".join(map(_share, interval or ()))],
        ["the same as a lead in Elo points", _lead(share), " to ".join(map(_lead, interval or ()))],
        ["problems with both and one winner", f"{len(contested):,}", ""],
        ["of these won by a right response", f"{won:,}", ""],
    ]
    note = "Intervals of 95 %, resampling problems. An Elo lead of 400 points is odds of ten to one."
    return Table(
        f"{model}: right against wrong responses", ["what", "value", "95 % interval"], rows, note=note
    )


def _mixed(one: Played) -> Iterator[float]:
    """(points of the right ones, games) of the games of a right against a wrong response."""
    points = [
        won if one.entrants[a].right else 1 - won
        for a, b, won in one.games
        if {one.entrants[a].right, one.entrants[b].right} == {True, False}
    ]
    yield float(sum(points))
    yield float(len(points))


def _bracket(model: str, one: Played) -> Figure:
    title = f"{model}: knockout of problem {one.problem}"
    legend = [
        Legend(_line(kind), words)
        for kind, words in (("good", "✓ right, goes on"), ("bad", "✗ wrong, goes on"), ("lost", "is out"))
    ]
    note = "Numbers are of the responses; equal texts, or answers with teams, play as one."
    silent = sum(won is None for matches in one.rounds for *_, won in matches)
    note += f" {count(silent, 'match')} without a verdict not drawn: both went on." if silent else ""
    return Figure(title, bracket(title, one.entrants, one.rounds), legend, note)


def _ratings(model: str, one: Played) -> Table:
    """Bradley-Terry strengths of one problem's responses on the scale of Elo, with 95 % intervals."""
    strengths, errors = bradley_terry(len(one.entrants), one.games, PRIOR)
    rows = []
    for place in sorted(range(len(one.entrants)), key=lambda place: -float(strengths[place])):
        entrant = one.entrants[place]
        own = [won if a == place else 1 - won for a, b, won in one.games if place in (a, b)]
        rating, half = START + ELO * float(strengths[place]), 1.96 * ELO * float(errors[place])
        rows.append([
            entrant.name, {True: "right", False: "wrong", None: "not known"}[entrant.right], f"{len(own)}",
            f"{sum(own):g}", f"{rating:,.0f}", f"{rating - half:,.0f} to {rating + half:,.0f}",
        ])  # fmt: skip
    note = (
        "Bradley-Terry by maximum likelihood on the scale of Elo: 1,000 is the average, 400 points are odds"
        " of ten to one. Everybody has one drawn game against the average more, so that the undefeated stay"
        " finite. Intervals are 1.96 standard errors: few games, wide intervals."
    )
    columns = ["response", "label", "games", "points", "rating", "95 % interval"]
    return Table(f"{model}: ratings in problem {one.problem}", columns, rows, names=2, note=note)


def _share(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def _lead(share: float | None) -> str:
    """Elo's difference for an expected score; a share of 0 or 1 has no finite one."""
    if share is None:
        return "not defined"
    if share in (0.0, 1.0):
        return "+∞" if share else "−∞"
    return f"{400 * math.log10(share / (1 - share)):+,.0f}"


def _line(kind: str) -> Markup:
    body = element("line", f"way {kind}", {"x1": 1, "y1": 7, "x2": 35, "y2": 7})
    box: dict[str, str | float] = {"viewBox": "0 0 36 14", "width": 36, "height": 14, "aria-hidden": "true"}
    return element("svg", "swatch", box, body)
