"""The curve of a run as a picture: accuracy against N for every selector, with its band.

Invariant: draws what `results.json` holds; one style, colour-blind safe (Okabe and Ito's palette).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prm_eval.errors import MissingExtra
from prm_eval.report import curves

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_REFERENCE = {"mean": "mean of all responses", "pass_at_k": "pass@k (oracle)"}


def save_curves(results: Mapping[str, Any], stem: Path) -> list[Path]:
    """Write STEM.svg and STEM.png; returns the paths. Raises MissingExtra without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "figures") from None
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    _draw(figure.add_subplot(), results)
    paths = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    for path in paths:
        # no date in the file: the same results give the same bytes
        figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def _draw(axes: Any, results: Mapping[str, Any]) -> None:
    rows = [row for row in results["metrics"] if row.get("subset") is None]
    found = curves(rows)
    own = [name for name in found if name not in _REFERENCE]
    for name, points in reversed(found.items()):
        ks = sorted(points)
        values = [points[k]["value"] for k in ks]
        if name in _REFERENCE:
            axes.plot(
                ks, values, color="0.45", linestyle=":" if name == "mean" else "--", label=_REFERENCE[name]
            )
            continue
        place = own.index(name)
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(ks, values, color=colour, marker=MARKERS[place % len(MARKERS)], markersize=4, label=name)
        low, high = zip(*(points[k]["ci"] for k in ks), strict=True)
        axes.fill_between(ks, low, high, color=colour, alpha=0.12, linewidth=0)
    all_ks = sorted({k for points in found.values() for k in points})
    axes.set_xscale("log", base=2)
    axes.set_xticks(all_ks if len(all_ks) <= 8 else all_ks[:: len(all_ks) // 8 + 1])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.set_xlabel("responses per problem, k")
    axes.set_ylabel("accuracy")
    problems = max(row["n_problems"] for row in rows)
    axes.set_title(
        f"{results.get('task') or 'best of N'}, {problems:,} problems (bands: 95% intervals)", fontsize=10
    )
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, frameon=False)
