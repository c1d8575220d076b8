"""The stages of a pool as bars: what each one left, and beside it what it removed."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from prm_eval.pages.svg import WIDTH, element, svg, text

_ROW, _TALL, _END = 38, 14, WIDTH - 4


class Stage(NamedTuple):
    """A stage by name: rows that it removed, and rows that were left after it."""

    name: str
    removed: int
    left: int


def flow(title: str, stages: Sequence[Stage]) -> Markup:
    """One bar for each stage, on one scale: the widest is the whole pool."""
    most = max(1, *(stage.left + stage.removed for stage in stages))
    body = Markup("")
    for place, stage in enumerate(stages):
        top = place * _ROW + 16
        wide, cut = _END * stage.left / most, _END * stage.removed / most
        body += text(0, top, stage.name, "start")
        removed = f"−{stage.removed:,}, " if stage.removed else ""
        body += text(_END, top, f"{removed}{stage.left:,} left", "end")
        bar = {"y": top + 5, "height": _TALL}
        body += element("rect", "left", {"x": 0, "width": wide, **bar})
        body += element("rect", "removed", {"x": wide, "width": cut, **bar})
    return svg(title, body, height=len(stages) * _ROW + 4)
