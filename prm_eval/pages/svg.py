"""Elements, scales and axes of the figures, as inline SVG.

Invariant: no style and no colour stands in them, only classes of the page's own sheet, and every text is
escaped.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 520, 320
LEFT, RIGHT, TOP, BOTTOM = 60, 508, 12, 276
"""The figure, and the edges of what is drawn inside its axes, in units of the viewBox."""

Scale = Callable[[float], float]
_TAG = Markup("<{0}{1}>{2}</{0}>")
_ATTRIBUTE = Markup(' {}="{}"')


@dataclass(frozen=True, slots=True)
class Axes:
    """The two scales of a figure, and where their ticks and labels stand."""

    x_of: Scale
    y_of: Scale
    xs: Sequence[float]
    ys: Sequence[float]
    x_label: str
    y_label: str
    mirror: bool = False
    x_words: Callable[[float], str] | None = None

    def drawn(self) -> Markup:
        """Grid, axis, ticks and labels; a mirrored axis lies at zero and counts up both ways."""
        body = Markup("")
        for y in self.ys:
            body += element("line", "grid", {"x1": LEFT, "x2": RIGHT, "y1": self.y_of(y), "y2": self.y_of(y)})
            body += text(LEFT - 6, self.y_of(y) + 4, _number(abs(y) if self.mirror else y), "end")
        for x in self.xs:
            words = (self.x_words or _number)(x)
            # not beyond the edge, also where a narrow screen makes the letters larger
            body += text(min(self.x_of(x), WIDTH - 5 * len(words)), BOTTOM + 18, words, "middle")
        bottom = self.y_of(0) if self.mirror else BOTTOM
        body += element("line", "axis", {"x1": LEFT, "x2": RIGHT, "y1": bottom, "y2": bottom})
        body += text((LEFT + RIGHT) / 2, HEIGHT - 8, self.x_label, "middle")
        turned = f"translate(12 {(TOP + BOTTOM) / 2:.0f}) rotate(-90)"
        return body + element("text", "label", {"text-anchor": "middle", "transform": turned}, self.y_label)


def svg(title: str, body: Markup, height: float = HEIGHT, width: float = WIDTH) -> Markup:
    """The whole figure, with its title for those who do not see it."""
    told = {"viewBox": f"0 0 {width:.0f} {height:.0f}", "role": "img", "aria-label": title}
    return element("svg", "chart", told, body)


def element(tag: str, kind: str, attributes: Mapping[str, str | float], inside: str = "") -> Markup:
    """One element with its classes; `inside` is escaped unless it is Markup."""
    given = {"class": kind, **attributes}
    told = Markup("").join(_ATTRIBUTE.format(name, _plain(value)) for name, value in given.items())
    return _TAG.format(tag, told, inside)


def titled(words: str) -> Markup:
    """What shows when one points at a mark."""
    return Markup("<title>{}</title>").format(words)


def text(x: float, y: float, words: str, anchor: str) -> Markup:
    """A label at a place; anchor is start, middle or end."""
    return element("text", "label", {"x": x, "y": y, "text-anchor": anchor}, words)


def path(points: Sequence[tuple[float, float]]) -> str:
    """Points of a polyline."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def scale(low: float, high: float, start: float, end: float, *, log: bool = False) -> Scale:
    """low to start, high to end; the middle for a range of one value."""
    if log:
        inner = scale(math.log2(low), math.log2(high), start, end)
        return lambda x: inner(math.log2(x))
    if high == low:
        return lambda _: (start + end) / 2
    return lambda x: start + (x - low) / (high - low) * (end - start)


def padded(ys: Sequence[float]) -> tuple[float, float]:
    """The range of the values and a little more."""
    low, high = min(ys), max(ys)
    gap = (high - low) * 0.06 or 0.05
    return low - gap, high + gap


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between low and high, three to ten of them."""
    span = high - low
    if span <= 0:
        return [low]
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 9)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def some(xs: Sequence[float]) -> list[float]:
    """At most eight, evenly chosen, the first and the last among them."""
    if len(xs) <= 8:
        return list(xs)
    return sorted({xs[round(place * (len(xs) - 1) / 7)] for place in range(8)})


def apart(xs: Sequence[float]) -> list[float]:
    """Those that a log axis can name without overlap: each at least 1.5 times the one before."""
    kept: list[float] = []
    for x in sorted(set(xs)):
        if not kept or x / kept[-1] >= 1.5:
            kept.append(x)
    return kept


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between low and high; over many decades the powers alone."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 300 else (1,)
    found = [factor * 10.0**power for power in decades for factor in factors]
    return [x for x in found if low * 0.999 <= x <= high * 1.001] or [low]


def engineering(x: float) -> str:
    """`2 k`, `50 M`, `1.5 T`: a number with the prefix of its power of 1000; small ones as they are."""
    power = min(max(0, math.floor(math.log10(x) / 3 + 1e-9)), 5) if x > 0 else 0
    return f"{x / 1000.0**power:.3g}" + (f" {' kMGTP'[power]}" if power else "")


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}"


def _number(x: float) -> str:
    return f"{x:.10g}" if abs(x) >= 1 or x == 0 else f"{x:.3g}"
