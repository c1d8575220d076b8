"""One style for every figure: sized for a column, colour-blind safe, legible in black and white.

Invariant: the same content gives the same bytes (fixed hash salt, no dates), with the font that
comes with matplotlib; markers differ wherever colours do.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prm_eval.errors import MissingExtra, UsageError

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette (Color Universal Design, 2008), without its yellow, which is faint on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "0.40"

COLUMN = 3.4
"""Width in inches of one column of a two-column page."""
SMALL, TEXT = 6.5, 7.5
FORMATS = ("svg", "pdf", "png")

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": SMALL + 0.5,
    "ytick.labelsize": SMALL + 0.5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.90",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    # text stays text: it can be searched and edited; the hash salt would be random otherwise
    "svg.fonttype": "none",
    "svg.hashsalt": "prm-eval",
    "pdf.fonttype": 42,
}
_NO_DATE: Mapping[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


@contextmanager
def canvas(height: float = 2.5, width: float = COLUMN) -> Iterator[tuple[Any, Any]]:
    """A figure of one column and its axes, in the style; inches. Raises MissingExtra without matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "figures") from None
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.add_subplot()


def save(figure: Any, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write STEM.svg, STEM.pdf, STEM.png, as asked; returns the paths. Call it inside `canvas`."""
    paths = []
    for kind in check_formats(formats):
        path = stem.parent / f"{stem.name}.{kind}"
        figure.savefig(path, metadata=_NO_DATE[kind])
        paths.append(path)
    return paths


def check_formats(formats: Sequence[str]) -> list[str]:
    """The formats without repetition. Raises UsageError for one that is not written."""
    for kind in formats:
        if kind not in FORMATS:
            raise UsageError(f"no figures of format '{kind}': choose among {', '.join(FORMATS)}")
    return list(dict.fromkeys(formats))


def marker(place: int, ours: bool) -> dict[str, Any]:
    """Colour and marker of the place-th system: ours filled, others' hollow."""
    colour = COLOURS[place % len(COLOURS)]
    return {
        "color": colour,
        # after a full round of colours the markers are shifted, so that no two looks are the same
        "marker": MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
        "markerfacecolor": colour if ours else "white",
        "markeredgecolor": colour,
        "markeredgewidth": 1.0,
    }


def footnote(figure: Any, text: str) -> None:
    """Small print below the axes, left, within the width of the figure."""
    figure.supxlabel(text, fontsize=SMALL - 0.5, color=GREY, x=0.01, ha="left", linespacing=1.25)


def billions(value: float, _place: object = None) -> str:
    """`1.5B`, `70B`, `1.2M`, `51k`: a size in billions of parameters."""
    if value >= 0.1:
        return f"{value:g}B"
    return f"{1e3 * value:.2g}M" if value >= 0.001 else f"{1e6 * value:.2g}k"


def thousands(value: float, _place: object = None) -> str:
    """`500`, `1k`, `59k`: a count of rows, to three figures."""
    return f"{value / 1000:.3g}k" if value >= 1000 else f"{value:g}"


def log_axis(axes: Any, ticks: Sequence[float], words: Callable[[float, object], str]) -> None:
    """The x axis logarithmic, with exactly these ticks, in these words."""
    axes.set_xscale("log")
    axes.set_xticks(list(ticks))
    axes.xaxis.set_major_formatter(words)
    axes.minorticks_off()


def roomy(axes: Any, values: Sequence[float], step: float = 5.0) -> None:
    """The y axis over these values, from a multiple of the step to one, with air at both ends."""
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10], integer=True))
    axes.set_ylim(step * math.floor(min(values) / step - 0.4), step * math.ceil(max(values) / step + 0.4))
