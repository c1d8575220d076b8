"""Pairs of judge runs for the browser: both sides, and what every judge said of them in each order.

Invariant: a judge is right about a pair when all its games name the better side; a tie, or two games that
disagree, lies between; a game without a verdict leaves the pair unknown unless another one counts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from prm_eval.benchmarks import Game, LabelledPair
from prm_eval.pages.browsed import Source
from prm_eval.pages.runs import Run
from prm_eval.types import Unscored, Verdict

Games = Mapping[tuple[str, str], list[Game]]


def _described(run: Run, kept: int) -> dict[str, Any]:
    games, judges = _games(run), _judges(run)
    problems, rows = [], []
    for place, labelled in enumerate(run.pairs[:kept]):
        own = [games.get((judge, labelled.pair.id), []) for judge in judges]
        values = [_value(labelled, given) for given in own]
        better = {"first": "the first", "second": "the second", "tie": "neither", None: "not told"}
        gold = better[labelled.label]
        problems.append([labelled.pair.id, labelled.subset, _prompt(labelled), gold, values])
        said = [", ".join(dict.fromkeys(_named(game) for game in given)) or "no game" for given in own]
        rows.append([place, None, values, said, [_preference(given) for given in own], []])
    return {"models": judges, "ranges": [[0.0, 1.0]] * len(judges), "selectors": judges,
            "problems": problems, "rows": rows}  # fmt: skip


def _games(run: Run) -> Games:
    """By judge and pair; of reward models the one game that their two scores make."""
    found: dict[tuple[str, str], list[Game]] = {}
    for game in run.games:
        found.setdefault((game.judge, game.id), []).append(game)
    for model, rows in run.scores.items():
        for labelled in run.pairs:
            sides = [rows.get((labelled.pair.id, side)) for side in (0, 1)]
            values = [None if row is None else row.value for row in sides]
            result: Verdict | Unscored = Unscored("unscored: a side has no score")
            if values[0] is not None and values[1] is not None:
                result = _by_score(values[0], values[1])
            found[model, labelled.pair.id] = [Game(labelled.pair.id, model, "ab", result)]
    return found


def _by_score(first: float, second: float) -> Verdict:
    text = f"scores {first:.6g} and {second:.6g}"
    if first == second:
        return Verdict("tie", text=text)
    return Verdict("first" if first > second else "second", text=text)


def _judges(run: Run) -> list[str]:
    return list(dict.fromkeys([*(game.judge for game in run.games), *run.scores]))


def _outcome(labelled: LabelledPair, game: Game) -> float | None:
    """1 right, 0 wrong, 0.5 a tie where a side is better; None without a verdict or a label."""
    if game.winner is None or labelled.label is None:
        return None
    if game.winner == labelled.label:
        return 1
    return 0.5 if game.winner == "tie" else 0


def _value(labelled: LabelledPair, games: list[Game]) -> float | None:
    found = [outcome for game in games if (outcome := _outcome(labelled, game)) is not None]
    if not found:
        return None
    return found[0] if len(set(found)) == 1 else 0.5


def _preference(games: list[Game]) -> float | None:
    """The mean probability that the pair's first side is better, over the games that give one."""
    given = [
        game.result.preference if game.order == "ab" else 1 - game.result.preference
        for game in games
        if isinstance(game.result, Verdict) and game.result.preference is not None
    ]
    return round(sum(given) / len(given), 6) if given else None


def _named(game: Game) -> str:
    return "no verdict" if game.winner is None else game.winner


def _texts(run: Run, kept: int) -> Iterator[list[Any]]:
    """[both sides; of every game its judge's number, outcome, a line of words, and what the judge wrote]"""
    games, judges = _games(run), _judges(run)
    for labelled in run.pairs[:kept]:
        played = [
            [place, _outcome(labelled, game), _words_of(game), _written(game)]
            for place, judge in enumerate(judges)
            for game in games.get((judge, labelled.pair.id), [])
        ]
        yield [[labelled.pair.first, labelled.pair.second], played]


def _words_of(game: Game) -> str:
    """`the second side stood first: named the first; preference 0.2 for what stood first; votes …`."""
    stood = f"the {'first' if game.order == 'ab' else 'second'} side stood first"
    if isinstance(game.result, Unscored):
        return f"{stood}: no verdict, {game.result.reason}"
    words = f"{stood}: " + ("a tie" if game.winner == "tie" else f"named the {game.winner}")
    if game.result.preference is not None:
        words += f"; preference {game.result.preference:.3g} for what stood first"
    if game.result.votes:
        words += f"; votes {', '.join(vote or 'unread' for vote in game.result.votes)}"
    return words


def _written(game: Game) -> str:
    return "" if isinstance(game.result, Unscored) else game.result.text or ""


def _prompt(labelled: LabelledPair) -> str:
    turns = [f"{turn.role}: {turn.text}" for turn in labelled.pair.history]
    return "\n\n".join([*turns, labelled.pair.prompt])


def _words(run: Run) -> Iterator[str]:
    for labelled in run.pairs:
        yield from (labelled.pair.prompt, labelled.pair.first, labelled.pair.second)


PAIRS = Source("pairs", lambda run: len(run.pairs), _described, _texts, _words)
