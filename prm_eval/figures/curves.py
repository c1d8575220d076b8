"""A best-of-N run as pictures: accuracy against N for every selector, and against what it cost.

Invariant: draws what `results.json` holds; a cost that was not recorded is not estimated.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prm_eval.figures import style
from prm_eval.report import curves
from prm_eval.spending import UNITS, costed, counts_generation, per_response

Row = Mapping[str, Any]

_REFERENCE = {"mean": ("mean of all responses", ":"), "pass_at_k": ("pass@k (oracle)", "--")}


def save_curves(results: Mapping[str, Any], stem: Path, formats: Sequence[str] = style.FORMATS) -> list[Path]:
    """Accuracy against N with its bands: STEM.svg and so on; returns the paths.

    Raises MissingExtra without matplotlib.
    """
    rows = [row for row in results["metrics"] if row.get("subset") is None]
    found = curves(rows)
    own = [name for name in found if name not in _REFERENCE]
    with style.canvas(2.5 + 0.125 * len(found)) as (figure, axes):
        for name, points in reversed(found.items()):
            ks = sorted(points)
            if name in _REFERENCE:
                words, dashes = _REFERENCE[name]
                axes.plot(ks, _percent(points, ks), color=style.GREY, linestyle=dashes, label=words)
            else:
                _with_band(axes, ks, points, own.index(name), name)
        _ks_axis(axes, sorted({k for points in found.values() for k in points}))
        axes.set_xlabel("responses per problem, k")
        _finish(figure, axes, results, " (bands: 95% intervals)")
        return style.save(figure, stem, formats)


def save_cost(
    results: Mapping[str, Any], unit: str, stem: Path, formats: Sequence[str] = style.FORMATS
) -> list[Path]:
    """Accuracy against the cost of k responses, generated and scored, for every selector.

    `unit` is one of `cost_units(results)`. Where what generation cost is not in the results, the
    picture is of scoring alone, and says so; selectors that ask no reward model then cost nothing.
    """
    rows = [row for row in results["metrics"] if row.get("subset") is None]
    found = curves(rows)
    own = [name for name in found if name not in _REFERENCE]
    each = {name: per_response(results, _model(found[name]), unit) for name in reversed(own)}
    drawn = {name: cost for name, cost in each.items() if cost is not None}
    with style.canvas(2.6 + 0.125 * len(drawn)) as (figure, axes):
        for name, cost in drawn.items():
            points, ks = found[name], costed(found[name])
            look = style.marker(own.index(name), ours=True)
            axes.plot([k * cost for k in ks], _percent(points, ks), label=name, **look)
        _cost_axis(axes)
        whole = counts_generation(results, unit)
        what = "generation and scoring" if whole else "scoring cost"
        beside = "" if whole else "\n(generation is not recorded, and not counted)"
        axes.set_xlabel(f"{what} per problem: {UNITS[unit]}{beside}")
        _finish(figure, axes, results, "")
        return style.save(figure, stem, formats)


def _with_band(axes: Any, ks: Sequence[int], points: Mapping[int, Row], place: int, name: str) -> None:
    look = style.marker(place, ours=True)
    axes.plot(ks, _percent(points, ks), label=name, **look)
    known = [k for k in ks if points[k].get("ci")]
    low, high = ([100 * points[k]["ci"][side] for k in known] for side in (0, 1))
    axes.fill_between(known, low, high, color=look["color"], alpha=0.12, linewidth=0)


def _ks_axis(axes: Any, ks: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(ks if len(ks) <= 8 else [k for k in ks if k & (k - 1) == 0])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()


def _finish(figure: Any, axes: Any, results: Mapping[str, Any], note: str) -> None:
    problems = max(row["n_problems"] for row in results["metrics"])
    axes.set_ylabel("accuracy (%)")
    axes.set_title(f"{results.get('task') or 'best of N'}, {problems:,} problems{note}")
    # below the axes: inside, seven names cover the curves
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")


def _cost_axis(axes: Any) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,)))
    axes.xaxis.set_major_formatter(EngFormatter(sep="\N{THIN SPACE}"))
    axes.minorticks_off()


def _percent(points: Mapping[int, Row], ks: Sequence[int]) -> list[float]:
    return [100 * points[k]["value"] for k in ks]


def _model(points: Mapping[int, Row]) -> str | None:
    return next((row.get("reward_model") for row in points.values()), None)
