"""What selected training rows are worth: accuracy against how many, and against the size of the selector.

Invariant: published points stand beside ours only when both are of the same policy on the same task,
and the values of the paper's figure never beside those of its table.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prm_eval.figures import style
from prm_eval.figures.labels import Name, name_points
from prm_eval.figures.points import Trained, trained
from prm_eval.figures.runs import Run, short, size_of
from prm_eval.published import Point, published

log = logging.getLogger("prm_eval")

SAMPLES, SIZE = "reasonflux/figure-6/samples", "reasonflux/figure-6/size"
POLICY, TASKS = "Qwen2.5-14B-Instruct", ("math500", "math500_bon", "math500_gen", "MATH-500")
FAMILIES = ("reasonflux", "qwen", "skywork")
_SINGLE = {"Human-selected s1k": "human-selected (s1k)", "Raw pool": "raw pool (59k rows)"}


def save_training_samples(
    runs: Sequence[Run], stem: Path, formats: Sequence[str] = style.FORMATS
) -> list[Path]:
    """Accuracy after SFT against number of training rows, with raw pool and human-selected set as points."""
    ours, known = _ours_and_published(trained(runs), SAMPLES)
    entries = len({point.system for point in known}) + len({row.selector for row in ours})
    with style.canvas(2.55 + 0.125 * entries) as (figure, axes):
        for place, (name, points) in enumerate(_by(known, "system").items()):
            numbers = published().line(points)
            axes.plot([p.samples for p in numbers], [p.value for p in numbers], label=_published(name),
                      linestyle="--", **style.marker(place, ours=False))  # fmt: skip
        for name, rows in _by(ours, "selector").items():
            _draw(axes, rows, [row.samples for row in rows], name, _place(name, ours))
        counts = sorted({p.samples for p in known if p.samples} | {row.samples for row in ours})
        style.log_axis(axes, _apart(counts), style.thousands)
        axes.set_xlim(counts[0] / 1.6, counts[-1] * 1.6)
        axes.set_xlabel("training samples")
        _finish(figure, axes, ours, known, legend=True)
        return style.save(figure, stem, formats)


def save_reward_model_size(
    runs: Sequence[Run], sizes: Mapping[str, float], stem: Path, formats: Sequence[str] = style.FORMATS
) -> list[Path]:
    """Accuracy after SFT on the rows that a reward model selected, against its billions of parameters.

    Nothing is drawn, and [] returned, when there is no such row, or none of a model whose size is known.
    """
    ours, known = _ours_and_published(_of_reward_models(trained(runs)), SIZE)
    placed = [(row, size) for row in ours if (size := size_of(str(row.reward_model), sizes)) is not None]
    billions = [published().sizes[point.system] for point in known]
    if not placed and not known:
        return []
    with style.canvas(2.7) as (figure, axes):
        names = []
        called = short(str(row.reward_model) for row, _ in placed)
        for point, size in zip(known, billions, strict=True):
            place = _family(point.system)
            axes.plot([size], [point.value], linestyle="none", **style.marker(place, ours=False))
            names.append(Name(point.system, size, point.value, style.COLOURS[place]))
        for row, size in placed:
            place = _family(str(row.reward_model))
            name = called[str(row.reward_model)]
            _draw(axes, [row], [size], name, place)
            names.append(Name(name, size, row.value, style.COLOURS[place]))
        ticks = sorted({*billions, *(size for _, size in placed)})
        style.log_axis(axes, _apart(ticks), style.billions)
        axes.set_xlim(ticks[0] / 2.2, ticks[-1] * 2.2)
        axes.set_xlabel("parameters of the reward model that selects")
        _finish(figure, axes, [row for row, _ in placed], known, legend=False)
        bars = [((size, row.interval[0]), (size, row.interval[1])) for row, size in placed if row.interval]
        name_points(figure, axes, names, bars)
        return style.save(figure, stem, formats)


def _ours_and_published(ours: Sequence[Trained], series: str) -> tuple[list[Trained], list[Point]]:
    """Ours of one policy and task, and the published points where they are of the same."""
    known = published().axis(series)[1]
    if not ours:
        return [], known
    setting = (ours[0].policy, ours[0].task)
    kept = [row for row in ours if (row.policy, row.task) == setting]
    if len(kept) < len(ours):
        log.warning(
            "%d SFT results of another policy or task than %s on %s are not drawn: give their runs apart",
            len(ours) - len(kept), *setting,
        )  # fmt: skip
    if setting[0] == POLICY and setting[1] in TASKS:
        return kept, known
    log.warning(
        "the published points are of %s on MATH-500, and these runs are of %s on %s: drawn without them",
        POLICY, *setting,
    )  # fmt: skip
    return kept, []


def _of_reward_models(rows: Sequence[Trained]) -> list[Trained]:
    """Rows that a reward model selected, as many from each: the smallest number that there is."""
    selected = [row for row in rows if row.reward_model is not None]
    fewest = min((row.samples for row in selected), default=0)
    return [row for row in selected if row.samples == fewest]


def _draw(axes: Any, rows: Sequence[Trained], xs: Sequence[float], name: str, place: int) -> None:
    spread = None
    if all(row.interval is not None for row in rows):
        edges = [row.interval or (row.value, row.value) for row in rows]
        spread = [[row.value - low for row, (low, _) in zip(rows, edges, strict=True)],
                  [high - row.value for row, (_, high) in zip(rows, edges, strict=True)]]  # fmt: skip
    look = style.marker(place, ours=True)
    axes.errorbar(xs, [row.value for row in rows], yerr=spread, elinewidth=0.8, label=name, **look)


def _finish(figure: Any, axes: Any, ours: Sequence[Trained], known: Sequence[Point], *, legend: bool) -> None:
    policy, task = (ours[0].policy, ours[0].task) if ours else (POLICY, "MATH-500")
    axes.set_ylabel(f"accuracy on {'MATH-500' if known else task} (%)")
    edges = [edge for row in ours for edge in row.interval or ()]
    style.roomy(axes, [point.value for point in known] + [row.value for row in ours] + edges)
    if legend:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", title=f"SFT of {policy}")
    else:
        axes.set_title(f"SFT of {policy}")
    lines = []
    if known:
        exact = f"read off the figure, ±{known[0].tolerance:g}"
        lines.append(f"Hollow: published (arXiv 2506.18896, Figure 6), {exact}.")
    if ours:
        lines.append("Filled: measured here." + (" Bars: 95% intervals." if edges else ""))
    style.footnote(figure, "\n".join(lines))


def _published(name: str) -> str:
    return f"{_SINGLE.get(name, f'selected by {name}')}, published"


def _family(name: str) -> int:
    """The look of a reward model: its family's, or the next one."""
    return next((i for i, family in enumerate(FAMILIES) if name.lower().startswith(family)), len(FAMILIES))


def _place(name: str, rows: Sequence[Trained]) -> int:
    """The look of a selector: that of the published point of its kind, else one that none of them has."""
    if name.lower().startswith("reasonflux-prm-7b"):
        return 0
    kinds = {"s1k": 1, "human-selected": 1, "all": 2, "raw-pool": 2}
    others = [row for row in dict.fromkeys(row.selector for row in rows) if row not in kinds]
    return kinds[name] if name in kinds else 3 + others.index(name)


def _by(points: Sequence[Any], field: str) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for point in sorted(points, key=lambda point: int(point.samples)):
        groups.setdefault(getattr(point, field), []).append(point)
    return groups


def _apart(ticks: Sequence[float]) -> list[float]:
    """The ticks that a log axis can hold with their words: none within a factor of 1.5 of the one before."""
    kept: list[float] = []
    for tick in ticks:
        if not kept or tick / kept[-1] >= 1.5:
            kept.append(tick)
    return kept
