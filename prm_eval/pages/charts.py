"""The figures of a page: lines with bands, mirrored histograms, reliability, and their legends.

Invariant: marks differ by shape and dash as well as by colour; nothing is computed but the layout.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from prm_eval.pages.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Axes,
    element,
    padded,
    path,
    scale,
    some,
    svg,
    ticks,
    titled,
)

COLOURS, DASHES = 7, 3
_UNIT = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
_SHAPES = (
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
    "M-3 -3h6v6h-6z",
    "M0 -4.2L4 3H-4z",
    "M0 -4.4L4.4 0L0 4.4L-4.4 0z",
    "M0 4.2L4 -3H-4z",
    "M-1.4 -4h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6z",
    "M-4 -1.4h8v2.8h-8z",
)
_MARKED = 24


@dataclass(frozen=True, slots=True)
class Series:
    """One line: points in the order of x, with the band where it has one; place None is a reference.

    With `bars` the intervals stand at the points, as bars, and not as a band between them.
    """

    name: str
    place: int | None
    xs: Sequence[float]
    ys: Sequence[float]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()
    bars: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin of a histogram: shares of the right above the axis, of the wrong below it."""

    low: float
    high: float
    right: float
    wrong: float


def lines(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    log: bool = False,
    y_range: tuple[float, float] | None = None,
    x_ticks: Sequence[float] | None = None,
    x_words: Callable[[float], str] | None = None,
) -> Markup:
    """Lines over x (on a log scale, if asked), each with its band; ticks of x and their words as given."""
    xs = sorted({x for one in series for x in one.xs})
    low, high = y_range or padded([y for one in series for y in (*one.ys, *one.lows, *one.highs)])
    if x_ticks is None:
        x_ticks = some(xs) if log else ticks(xs[0], xs[-1])
    # bars at the very edge would be taken for the axis
    start, end = (LEFT + 18, RIGHT - 18) if any(one.bars for one in series) else (LEFT, RIGHT)
    x_of, y_of = scale(xs[0], xs[-1], start, end, log=log), scale(low, high, BOTTOM, TOP)
    axes = Axes(x_of, y_of, x_ticks, ticks(low, high), x_label, y_label, x_words=x_words)
    bands = Markup("").join((_bars if one.bars else _band)(one, axes) for one in series)
    return svg(title, axes.drawn() + bands + Markup("").join(_line(one, axes) for one in series))


def mirrored(
    title: str, bars: Sequence[Bar], x_label: str, right: str, wrong: str, y_label: str = "share of its class"
) -> Markup:
    """Two histograms on one axis: the right ones grow up, the wrong ones down; the names are for hovering."""
    most = max([0.01, *(share for bar in bars for share in (bar.right, bar.wrong))])
    low, high = bars[0].low, bars[-1].high
    x_of, y_of = scale(low, high, LEFT, RIGHT), scale(-most, most, BOTTOM, TOP)
    axes = Axes(x_of, y_of, ticks(low, high), ticks(-most, most), x_label, y_label, mirror=True)
    body = axes.drawn()
    for bar in bars:
        body += _bar(bar, bar.right, "right", right, axes)
        body += _bar(bar, bar.wrong, "wrong", wrong, axes)
    return svg(title, body)


def reliability(title: str, points: Sequence[tuple[float, float, int]], x_label: str, y_label: str) -> Markup:
    """(mean probability, share that was right, how many) per bin, beside the line of a perfect one."""
    axes = Axes(scale(0, 1, LEFT, RIGHT), scale(0, 1, BOTTOM, TOP), _UNIT, _UNIT, x_label, y_label)
    body = axes.drawn() + element("line", "ideal", {"x1": LEFT, "y1": BOTTOM, "x2": RIGHT, "y2": TOP})
    places = [(axes.x_of(x), axes.y_of(y)) for x, y, _ in points]
    body += element("polyline", "line s0", {"points": path(places)})
    most = max(number for _, _, number in points)
    for (cx, cy), (x, y, number) in zip(places, points, strict=True):
        told = titled(f"{number:,} at {x:.3f}: {y:.3f} right")
        body += element(
            "circle", "mark s0", {"cx": cx, "cy": cy, "r": 3 + 6 * math.sqrt(number / most)}, told
        )
    return svg(title, body)


def swatch(place: int | None) -> Markup:
    """The mark of a series, for a legend; None is a reference line."""
    body = element("line", f"line {_style(place)}", {"x1": 1, "y1": 7, "x2": 35, "y2": 7})
    body += Markup("") if place is None else _mark(place, 18, 7)
    return element(
        "svg", "swatch", {"viewBox": "0 0 36 14", "width": 36, "height": 14, "aria-hidden": "true"}, body
    )


def block(kind: str) -> Markup:
    """A filled square of a histogram's class, for a legend."""
    body = element("rect", kind, {"width": 14, "height": 14})
    return element(
        "svg", "swatch", {"viewBox": "0 0 14 14", "width": 14, "height": 14, "aria-hidden": "true"}, body
    )


def _bar(bar: Bar, share: float, kind: str, words: str, axes: Axes) -> Markup:
    if not share:
        return Markup("")
    wide = max(axes.x_of(bar.high) - axes.x_of(bar.low) - 1, 0.5)
    tall = axes.y_of(0) - axes.y_of(share)
    top = axes.y_of(share if kind == "right" else 0)
    told = titled(f"{words}: {share:.1%} between {bar.low:.3g} and {bar.high:.3g}")
    return element("rect", kind, {"x": axes.x_of(bar.low), "y": top, "width": wide, "height": tall}, told)


def _band(one: Series, axes: Axes) -> Markup:
    if one.place is None or not one.lows:
        return Markup("")
    edge = [*zip(one.xs, one.highs, strict=True), *reversed([*zip(one.xs, one.lows, strict=True)])]
    points = path([(axes.x_of(x), axes.y_of(y)) for x, y in edge])
    return element("polygon", f"band {_style(one.place)}", {"points": points})


def _bars(one: Series, axes: Axes) -> Markup:
    body = Markup("")
    for x, low, high in zip(one.xs, one.lows, one.highs, strict=False):  # none at all without intervals
        told = {"x1": axes.x_of(x), "x2": axes.x_of(x), "y1": axes.y_of(low), "y2": axes.y_of(high)}
        body += element("line", f"bar {_style(one.place)}", told, titled(f"{low:.3f} to {high:.3f}"))
    return body


def _line(one: Series, axes: Axes) -> Markup:
    points = [(axes.x_of(x), axes.y_of(y)) for x, y in zip(one.xs, one.ys, strict=True)]
    if len(points) == 1 and one.place is None:  # a line of one point would not be seen
        (x, y), told = points[0], titled(one.name)
        return element("circle", "mark ref", {"cx": x, "cy": y, "r": 4}, told)
    body = element("polyline", f"line {_style(one.place)}", {"points": path(points)}, titled(one.name))
    if one.place is not None and len(points) <= _MARKED:
        body += Markup("").join(_mark(one.place, x, y) for x, y in points)
    return body


def _style(place: int | None) -> str:
    """Colour by place; every round of colours has another dash."""
    return "ref" if place is None else f"s{place % COLOURS} d{place // COLOURS % DASHES}"


def _mark(place: int, x: float, y: float) -> Markup:
    told = {"transform": f"translate({x:.1f} {y:.1f})", "d": _SHAPES[place % len(_SHAPES)]}
    return element("path", f"mark {_style(place)}", told)
