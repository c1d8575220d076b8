"""The bracket of a knockout: who met whom, who went on, and which responses are right.

Invariant: every entrant stands once at the left, and lines lead from a match to the next match of whoever
won it; a match without a verdict is no place where lines meet, since both go on.
"""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from prm_eval.pages.svg import WIDTH, element, svg, text, titled

_ROW, _TOP, _LETTER = 24, 14, 9.6


class Entrant(NamedTuple):
    """How an entrant is called, and whether it is right; None where nobody knows."""

    name: str
    right: bool | None

    @property
    def sign(self) -> str:
        """The name with its label, as a mark and not as a colour alone."""
        return f"{ {True: '✓', False: '✗', None: '?'}[self.right] } {self.name}"

    @property
    def kind(self) -> str:
        """The class of its colour."""
        return {True: "good", False: "bad", None: "unknown"}[self.right]


class _Node(NamedTuple):
    """A player after a match that it won, or before its first; the place in the picture of its line."""

    player: int
    x: float
    y: float


Match = tuple[int, int, float | None]


def bracket(title: str, entrants: Sequence[Entrant], rounds: Sequence[Sequence[Match]]) -> Markup:
    """The whole tournament from left to right; a tie is won by the better seed, which stands first."""
    heights = {player: _TOP + place * _ROW for place, player in enumerate(_order(len(entrants), rounds))}
    named = 8 + _LETTER * max(len(entrant.sign) for entrant in entrants)
    wide = (WIDTH - 2 * named) / max(1, len(rounds))
    at = {player: _Node(player, named, heights[player]) for player in heights}
    body = Markup("")
    for player, node in at.items():
        body += _label(entrants[player], 0, node.y + 4, "start")
    for number, matches in enumerate(rounds, start=1):
        x = named + (number - 0.15) * wide
        for a, b, won in matches:
            if won is None:
                continue
            winner, loser = (a, b) if won >= 0.5 else (b, a)
            middle = (at[a].y + at[b].y) / 2
            told = f"{entrants[a].name} against {entrants[b].name}: {_result(entrants, a, b, won)}"
            body += _joined(at[winner], x, middle, f"way {entrants[winner].kind}", told)
            body += _joined(at[loser], x, middle, "way lost", told)
            at[winner] = _Node(winner, x, middle)
            del at[loser]
            if number < len(rounds):
                name = f"{entrants[winner].name}{' (tie)' if won == 0.5 else ''}"
                body += _label(Entrant(name, entrants[winner].right), x + 4, middle - 4, "start")
    for node in at.values():
        body += element("line", f"way {entrants[node.player].kind}",
                        {"x1": node.x, "x2": WIDTH - named - 4, "y1": node.y, "y2": node.y})  # fmt: skip
        body += _label(entrants[node.player], WIDTH - named, node.y + 4, "start")
    return svg(title, body, height=_TOP * 2 + (len(entrants) - 1) * _ROW)


def _order(count: int, rounds: Sequence[Sequence[Match]]) -> list[int]:
    """The entrants from top to bottom, so that the lines of no two matches cross.

    Each winner takes the group of the loser it has beaten beneath its own.
    """
    groups = {player: [player] for player in range(count)}
    for matches in rounds:
        for a, b, won in matches:
            if won is not None:
                winner, loser = (a, b) if won >= 0.5 else (b, a)
                groups[winner] += groups.pop(loser)
    return [player for group in groups.values() for player in group]


def _joined(start: _Node, x: float, y: float, kind: str, told: str) -> Markup:
    points = f"{start.x:.1f},{start.y:.1f} {x:.1f},{start.y:.1f} {x:.1f},{y:.1f}"
    return element("polyline", kind, {"points": points}, titled(told))


def _result(entrants: Sequence[Entrant], a: int, b: int, won: float) -> str:
    if won == 0.5:
        return "a tie"
    return f"{entrants[a if won > 0.5 else b].name} wins" + (
        "" if won in (0, 1) else f", {max(won, 1 - won):g}"
    )


def _label(entrant: Entrant, x: float, y: float, anchor: str) -> Markup:
    return element("g", f"side {entrant.kind}", {}, text(x, y, entrant.sign, anchor))
