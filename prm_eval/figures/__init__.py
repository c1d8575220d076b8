"""Figures for papers, out of run folders and of published numbers: what `prm-eval figures` draws.

Invariant: ours filled, others' hollow and called published; a figure that cannot be drawn from what
was given is an error when it was asked for by name, and a notice when it was not.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from prm_eval.errors import UnknownName, UsageError
from prm_eval.figures.curves import save_cost, save_curves
from prm_eval.figures.frontier import save_frontier
from prm_eval.figures.rl import save_rl
from prm_eval.figures.runs import Run, read_run, read_runs
from prm_eval.figures.style import FORMATS, check_formats
from prm_eval.figures.training import save_reward_model_size, save_training_samples
from prm_eval.spending import cost_units

__all__ = ["FORMATS", "NAMES", "Asked", "save_all", "save_curves"]

log = logging.getLogger("prm_eval")

NAMES = ("curves", "cost", "training-samples", "reward-model-size", "frontier", "rl")
"""What `only` takes; `curves` and `cost` need a best-of-N run."""


class Asked(NamedTuple):
    """What to draw: figures by name (none: all that can be), formats, and what runs do not say.

    `sizes` are billions of parameters by model; `before` and `after` are run folders of one policy.
    """

    only: Sequence[str] = ()
    formats: Sequence[str] = FORMATS
    sizes: Mapping[str, float] | None = None
    before: Path | None = None
    after: Path | None = None


def save_all(runs: Sequence[Path], out: Path, asked: Asked = Asked()) -> list[Path]:  # noqa: B008
    """Draw into the folder `out`; returns the paths in the order of NAMES.

    Without runs the four figures of published numbers. Raises UsageError for an unknown name or format,
    a folder that is no run, and a figure in `only` that these runs cannot give; MissingExtra without
    matplotlib.
    """
    for name in asked.only:
        if name not in NAMES:
            raise UnknownName("figure", name, NAMES)
    formats = check_formats(asked.formats)
    given = read_runs(runs)
    sides = [read_run(folder) if folder else None for folder in (asked.before, asked.after)]
    out.mkdir(parents=True, exist_ok=True)
    sizes = asked.sizes or {}
    draw: dict[str, Callable[[], list[Path]]] = {
        "curves": lambda: _curves(given, out, formats),
        "cost": lambda: _costs(given, out, formats),
        "training-samples": lambda: save_training_samples(given, out / "training-samples", formats),
        "reward-model-size": lambda: save_reward_model_size(given, sizes, out / "reward-model-size", formats),
        "frontier": lambda: save_frontier(given, sizes, out / "frontier", formats),
        "rl": lambda: save_rl(sides[0], sides[1], out / "rl", formats),
    }
    paths: list[Path] = []
    for name in NAMES:
        if not asked.only or name in asked.only:
            made = draw[name]()
            if not made and asked.only:
                raise UsageError(f"no '{name}' in these runs: {_MISSING[name]}")
            paths += made
    return paths


_MISSING = {
    "curves": "give the folder of a best-of-n run",
    "cost": "give the folder of a best-of-n run that recorded what scoring cost",
    "reward-model-size": "give the table of an `sft collect` over reward models, and --size for their names",
}


def _curves(runs: Sequence[Run], out: Path, formats: Sequence[str]) -> list[Path]:
    found = [run for run in runs if run.kind == "best_of_n"]
    return [
        path for run in found for path in save_curves(run.results, out / _stem("curves", run, found), formats)
    ]


def _costs(runs: Sequence[Run], out: Path, formats: Sequence[str]) -> list[Path]:
    found = [run for run in runs if run.kind == "best_of_n"]
    paths: list[Path] = []
    for run in found:
        units = cost_units(run.results)
        if not units:
            log.warning("%s did not record what scoring cost: it is not drawn against cost", run.name)
        for unit in units:
            paths += save_cost(run.results, unit, out / _stem(f"cost-{unit}", run, found), formats)
    return paths


def _stem(what: str, run: Run, among: Sequence[Run]) -> str:
    """One run needs no name in its file's name."""
    return what if len(among) == 1 else f"{what}-{run.name}"
