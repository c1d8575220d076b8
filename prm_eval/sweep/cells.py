"""The grid as command lines: which stages there are, and which must come before which.

Invariant: a stage is one command of prm-eval that can be typed; its name is the folder that it writes.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prm_eval.sweep.recipe import SweepRecipe
from prm_eval.training.launch import launch_line

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """One command: its name, its words, and the names of the stages that must be done before it."""

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The command as it is typed."""
        return shlex.join(self.command)


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of the grid: a selector, how many rows (None: all), a seed, and its stages by name."""

    selector: str
    size: int | None
    seed: int
    select: str
    train: str
    evaluate: Mapping[str, str]

    @property
    def name(self) -> str:
        """`reasonflux-1000-seed0`."""
        return self.train.rpartition("/")[2]

    @property
    def stages(self) -> list[str]:
        """The names of its stages, in their order."""
        return [self.select, self.train, *self.evaluate.values()]


@dataclass(frozen=True, slots=True)
class Grid:
    """All stages by name, in an order in which they can be run, and the cells that they serve."""

    stages: Mapping[str, Stage]
    cells: list[Cell]


def grid(recipe: SweepRecipe, out: Path, plugins: list[str] | None = None) -> Grid:
    """Lay out a recipe under the folder `out`; `plugins` are plugin files that every command gets."""
    shared = [word for plugin in plugins or [] for word in ("--plugin", plugin)]
    selects: dict[str, Stage] = {}
    trains: dict[str, Stage] = {}
    evaluates: dict[str, Stage] = {}
    cells = []
    for selector in recipe.selectors:
        for size in recipe.sizes_of(selector):
            for seed in recipe.seeds:
                select = _select(recipe, out, selector, size, seed, selects, shared)
                train = _train(recipe, out, select, f"{selector}-{_words(size)}-seed{seed}", seed)
                tests = {task: _evaluate(recipe, out, train, task, shared) for task in recipe.evaluate.tasks}
                trains[train.name] = train
                evaluates |= {stage.name: stage for stage in tests.values()}
                names = {task: stage.name for task, stage in tests.items()}
                cells.append(Cell(selector, size, seed, select.name, train.name, names))
    return Grid({**selects, **trains, **evaluates}, cells)


def arguments(options: Options) -> list[str]:
    """Options by name as words of a command line: `{top: 5, no_decontaminate: true}` as `--top 5 …`."""
    words: list[str] = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, list | tuple):
            words += [word for item in value for word in (flag, str(item))]
        elif value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return words


def _select(
    recipe: SweepRecipe, out: Path, selector: str, size: int | None, seed: int,
    known: dict[str, Stage], shared: list[str],
) -> Stage:  # fmt: skip
    """The selection of a cell: one for all seeds, but for rows that are drawn at random."""
    options = recipe.options_of(selector)
    drawn = options.get("by") == "random"
    name = f"select/{selector}-{_words(size)}" + (f"-seed{seed}" if drawn else "")
    if name in known:
        return known[name]
    own: dict[str, Any] = {"top": size, "out": out / name}
    if drawn:
        own["seed"] = seed
    needs: tuple[str, ...] = ()
    if options.get("reward_model"):
        # the first size scores, the others find the scores there
        own["store"] = out / "scores" / f"{selector}.sqlite"
        needs = tuple(one for one in known if one.startswith(f"select/{selector}-"))[-1:]
    command = ("prm-eval", "sft", "select", *arguments({**options, **own}), *shared)
    known[name] = Stage(name, command, needs)
    return known[name]


def _train(recipe: SweepRecipe, out: Path, select: Stage, cell: str, seed: int) -> Stage:
    train, name = recipe.train, f"train/{cell}"
    changes = [f"{key}={in_yaml(value)}" for key, value in {**train.set, "seed": seed}.items()]
    words = arguments({
        "data": out / select.name, "model": train.model, "revision": train.revision, "recipe": train.recipe,
        "set": changes, "out": out / name,
    })  # fmt: skip
    if train.processes > 1:
        return Stage(
            name, tuple(shlex.split(launch_line(words, train.processes, train.settings))), (select.name,)
        )
    return Stage(name, ("prm-eval", "sft", "train", *words), (select.name,))


def _evaluate(recipe: SweepRecipe, out: Path, train: Stage, task: str, shared: list[str]) -> Stage:
    given, name = recipe.evaluate, f"evaluate/{train.name.rpartition('/')[2]}-{task}"
    model_args = f"pretrained={out / train.name}" + (f",{given.model_args}" if given.model_args else "")
    words = arguments({
        "task": task, "data": given.data.get(task), "model": given.model, "model_args": model_args,
        "n": given.n, "gen_kwargs": given.gen_kwargs, "batch_size": given.batch_size, "limit": given.limit,
        "strategy": "first", "out": out / name,
    })  # fmt: skip
    return Stage(name, ("prm-eval", "best-of-n", *words, *shared), (train.name,))


def _words(size: int | None) -> str:
    return "all" if size is None else str(size)


def in_yaml(value: Any) -> str:
    """A value as `--set` reads it back: YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.removesuffix("\n...\n").strip()
