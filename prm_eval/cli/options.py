"""Options that several commands share, written once so that they mean the same everywhere."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from prm_eval.best_of_n import Loader

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Ks(click.ParamType[Any]):
    """`--k 1,2,4` or `--k all`: a tuple of whole numbers, "all", or None when not given."""

    name = "k"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text to numbers; anything else is a usage error that shows the form."""
        if value == "all" or isinstance(value, tuple):
            return value
        pieces = value if isinstance(value, list) else str(value).split(",")
        try:
            numbers = tuple(sorted({int(piece) for piece in pieces}))
        except ValueError:
            self.fail(f"'{value}' is no list of whole numbers: write --k 1,2,4 or --k all", param, ctx)
        if not numbers or numbers[0] < 1:
            self.fail(f"'{value}': k starts at 1", param, ctx)
        return numbers


class Share(click.ParamType[Any]):
    """A share (0 to 1, or a percentage), or a count from 1 on."""

    name = "share|count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | int:
        """`0.1` and `10%` to a float, the share; `25` to an int, the count."""
        text = str(value).strip()
        try:
            if text.endswith("%"):
                number: float | int = float(text[:-1]) / 100
            else:
                number = int(text) if text.isdigit() else float(text)
        except ValueError:
            number = -1
        if number < 0 or (isinstance(number, float) and number > 1):
            self.fail(f"'{value}': write a share such as 0.1 or 10%, or a count such as 25", param, ctx)
        return number


def _load_config(ctx: click.Context, _param: click.Parameter, path: Path | None) -> None:
    """Take the options of an earlier run's manifest as defaults; the command line still wins."""
    if path is None:
        return
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        options = manifest["options"]
    except (ValueError, KeyError, TypeError) as error:
        raise click.UsageError(f"{path}: not a manifest of a run ({error!r})", ctx) from error
    known = {parameter.name for parameter in ctx.command.params}
    ctx.default_map = {name: value for name, value in options.items() if name in known and name != "config"}


config = click.option(
    "--config", type=FILE, is_eager=True, expose_value=False, callback=_load_config,
    help="Repeat an earlier run: its manifest.json. Options given beside it win.",
)  # fmt: skip
plugin_files = click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
    help="A plugin that is one Python file, such as prm_eval_plugin.py; repeatable.",
)  # fmt: skip
as_json = click.option("--json", "as_json", is_flag=True, help="Print the results object and nothing else.")
reward_models = click.option(
    "--reward-model", "reward_models", multiple=True, metavar="NAME[:OPTION=VALUE,...]",
    help="A reward model (see `prm-eval plugins list`); repeatable.",
)  # fmt: skip
dry_run = click.option(
    "--dry-run", is_flag=True,
    help="Check everything that needs no GPU, say what would be done, and write nothing.",
)  # fmt: skip
max_unscored = click.option(
    "--max-unscored", type=Share(), default="50%", show_default=True,
    help="Exit 1 when more candidates than this are unscored, for any reward model.",
)  # fmt: skip
retry_unscored = click.option(
    "--retry-unscored", is_flag=True, help="Try again what an earlier run stored as unscored."
)
workers = [
    click.option("--workers", type=click.IntRange(1), metavar="N",
                 help="Score on N Ray workers, each with its own copy of the reward model."),
    click.option("--ray-address", metavar="ADDRESS",
                 help="The Ray cluster of --workers.  [default: RAY_ADDRESS, else Ray on this machine]"),
]  # fmt: skip
candidate_fields = [
    click.option(
        "--problem-field", default="problem", show_default=True, help="In samples of lm-eval: the question."
    ),
    click.option(
        "--answer-field", default="answer", show_default=True, help="In samples of lm-eval: the gold answer."
    ),
]
selection = [
    click.option("--strategy", "strategies", multiple=True, metavar="NAME",
                 help="A selection strategy; repeatable.  [default: best_of_n, weighted, majority]"),
    click.option("--aggregation", "aggregations", multiple=True, metavar="NAME",
                 help="How step scores become one number; repeatable.  [default: the model's own]"),
    click.option("--k", "ks", type=Ks(), metavar="K,K,...|all",
                 help="Sizes of the pool to report.  [default: powers of two, and N]"),
    click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn."),
    click.option("--bootstrap", type=click.IntRange(100), default=10_000, show_default=True,
                 help="Resamples of the problems behind every interval."),
]  # fmt: skip
grading = [
    click.option("--regrade", is_flag=True, help="Grade anew; leave the labels of the data aside."),
    click.option("--answer-kind", type=click.Choice(["math", "choice"]),
                 help="What the answers are.  [default: as the data say, else math]"),
]  # fmt: skip


def loader(
    ctx: click.Context, workers: int | None, ray_address: str | None, plugins: Sequence[Path]
) -> "Loader":
    """How reward models are loaded: in this process, or with --workers on Ray."""
    if workers is not None:
        from prm_eval.engines.pool import loader as on_workers

        return on_workers(workers, ray_address, plugins)
    if ray_address is not None:
        raise click.UsageError("--ray-address says where the workers of --workers run: give that too", ctx)
    from prm_eval.plugins import Registry

    return Registry.reward_model


def apply(options: list[Callable[[F], F]]) -> Callable[[F], F]:
    """Several options at once, in the order of the list."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
