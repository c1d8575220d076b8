"""The recipe of a sweep: selectors x sizes x seeds, one training and one evaluation for all.

Invariant: a key that is not documented here is an error; the options of a selector are those of
`prm-eval sft select` and are checked there, before anything runs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prm_eval.errors import BadOption, UsageError
from prm_eval.settings import build, read_settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
# what the sweep itself gives to `sft select`
_OWN = ("top", "out", "store", "config", "json")


@dataclass(frozen=True, slots=True)
class Train:
    """What `prm-eval sft train` is given: model, recipe (a name or a file) and changes to it.

    With `processes` above 1 every training is started by accelerate with the shipped `settings`.
    """

    model: str
    recipe: str
    revision: str | None = None
    set: dict[str, Any] = field(default_factory=dict)
    processes: int = 1
    settings: Literal["fsdp", "deepspeed-zero3"] = "fsdp"


@dataclass(frozen=True, slots=True)
class Evaluate:
    """What `prm-eval best-of-n` is given for every trained model; `pretrained=` is added to `model_args`."""

    tasks: list[str]
    model: str = "hf"
    model_args: str = ""
    n: int = 1
    gen_kwargs: str | None = None
    batch_size: int | str | None = None
    limit: int | None = None
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SweepRecipe:
    """The whole grid. `select` holds options that all selectors share, `selectors` each one's own.

    A selector may have `sizes` of its own; `sizes: [all]` is everything that passes. `parameters` are
    billions of parameters of a reward model, for the second plot, where its name does not say them.
    """

    selectors: dict[str, dict[str, Any]]
    train: Train
    evaluate: Evaluate
    select: dict[str, Any] = field(default_factory=dict)
    sizes: list[int | str] = field(default_factory=lambda: ["all"])
    seeds: list[int] = field(default_factory=lambda: [0])
    parameters: dict[str, float] = field(default_factory=dict)

    def options_of(self, selector: str) -> dict[str, Any]:
        """The options of `prm-eval sft select` for this selector, without size and seed."""
        return {key: value for key, value in {**self.select, **self.selectors[selector]}.items()
                if key != "sizes"}  # fmt: skip

    def sizes_of(self, selector: str) -> list[int | None]:
        """How many rows to choose, smallest first; None is all that pass."""
        given = self.selectors[selector].get("sizes", self.sizes)
        sizes = [None if size == "all" else size for size in given]
        return sorted(sizes, key=lambda size: float("inf") if size is None else size)


def load_sweep(path: Path) -> SweepRecipe:
    """Read a recipe. Raises UnknownName, BadOption or UsageError, each with the key."""
    recipe: SweepRecipe = build(SweepRecipe, read_settings(path, "sweep"), "sweep key")
    _check(recipe)
    return recipe


def _check(recipe: SweepRecipe) -> None:
    if not recipe.selectors:
        raise UsageError("the sweep names no selectors: write `selectors: {random: {by: random}}`")
    for name, own in recipe.selectors.items():
        if not _NAME.fullmatch(name):
            raise BadOption(f"sweep key selectors.{name}: a name of letters, digits and ._+- is wanted")
        _check_sizes(f"selectors.{name}.sizes", own.get("sizes", recipe.sizes))
        _check_options({**recipe.select, **own}, name)
    if not recipe.seeds or len(set(recipe.seeds)) < len(recipe.seeds):
        raise BadOption(f"sweep key seeds: {recipe.seeds} are not different seeds, at least one")
    if not recipe.evaluate.tasks:
        raise BadOption("sweep key evaluate.tasks: name at least one task")
    if "seed" in recipe.train.set:
        raise BadOption("sweep key train.set.seed: the sweep gives every training its seed; use seeds")
    for name, value in {"train.processes": recipe.train.processes, "evaluate.n": recipe.evaluate.n}.items():
        if value < 1:
            raise BadOption(f"sweep key {name}: {value} is below 1")
    unknown = sorted(set(recipe.evaluate.data) - set(recipe.evaluate.tasks))
    if unknown:
        raise BadOption(f"sweep key evaluate.data.{unknown[0]}: evaluate.tasks has no such task")


def _check_sizes(name: str, sizes: Any) -> None:
    if not isinstance(sizes, list) or not sizes:
        raise BadOption(f"sweep key {name}: {sizes!r} is not a list such as [1000, 5000] or [all]")
    for size in sizes:
        if size != "all" and (type(size) is not int or size < 1):
            raise BadOption(f"sweep key {name}: {size!r} is neither `all` nor a count from 1 on")
    if len(set(sizes)) < len(sizes):
        raise BadOption(f"sweep key {name}: {sizes} names a size twice")


def _check_options(options: Mapping[str, Any], selector: str) -> None:
    for key in options:
        if key in _OWN:
            advice = "use sizes" if key == "top" else "the sweep gives it"
            raise BadOption(f"sweep key selectors.{selector}.{key} is not for a recipe: {advice}")
    if "seed" in options and options.get("by") == "random":
        raise BadOption(f"sweep key selectors.{selector}.seed: random rows are drawn once for each of seeds")
