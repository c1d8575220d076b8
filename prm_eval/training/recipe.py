"""The recipe: every setting of a training, from a YAML file and changes on the command line.

Invariant: a key that is not documented here, or a value of another type, is one clear error; nothing
is defaulted but what a recipe leaves out, and the manifest holds every value that was used.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from prm_eval.errors import BadOption, UnknownName, UsageError
from prm_eval.settings import build, read_settings

FOLDER = Path(__file__).resolve().parents[1] / "recipes"


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adaptation (peft); `targets` names modules, or is `all-linear`."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: str | list[str] = "all-linear"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a training; exactly one of `epochs` and `max_steps` is given.

    `batch_size` is the effective one: rows (with `packing`, packs) per optimiser step over all devices.
    `warmup` is a share of the steps below 1, a number of steps from 1 on. `max_length` is in tokens.
    """

    epochs: float | None = None
    max_steps: int | None = None
    learning_rate: float = 1e-5
    scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup: float = 0.05
    weight_decay: float = 0.0
    adam_betas: list[float] | None = None
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    batch_size: int = 16
    per_device_batch_size: int = 1
    max_length: int = 4096
    over_length: Literal["refuse", "leave_out"] = "refuse"
    packing: bool = False
    loss_on: Literal["assistant", "all"] = "assistant"
    chat_template: str | None = None
    lora: Lora | None = None
    precision: Literal["auto", "bf16", "float32"] = "auto"
    attention: Literal["eager", "sdpa", "flash_attention_2"] = "sdpa"
    gradient_checkpointing: bool = False
    seed: int = 0
    save_steps: int = 100
    keep_checkpoints: int = 1

    @property
    def betas(self) -> tuple[float, float]:
        """Adam's two decay rates, (0.9, 0.999) unless given."""
        return (0.9, 0.999) if self.adam_betas is None else (self.adam_betas[0], self.adam_betas[1])

    def as_dict(self) -> dict[str, Any]:
        """Every setting with its value, as the manifest holds it."""
        return {**asdict(self), "adam_betas": list(self.betas)}


def load_recipe(reference: str, changes: Sequence[str] = ()) -> Recipe:
    """A recipe from a YAML file or the name of a shipped one, with `key=value` changes on top.

    Raises UnknownName for a key or a shipped name, BadOption for a value, UsageError for what is no
    recipe file or a contradiction.
    """
    path = _found(reference)
    given = read_settings(path, "recipe")
    for change in changes:
        _change(given, change)
    recipe: Recipe = build(Recipe, given, "recipe key")
    _check(recipe)
    return recipe


def shipped() -> list[str]:
    """Names of the recipes that ship."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def _found(reference: str) -> Path:
    path = Path(reference)
    if path.suffix in (".yaml", ".yml") or path.exists():
        if not path.is_file():
            raise UsageError(f"--recipe {reference}: no such file")
        return path
    if reference not in shipped():
        raise UnknownName("recipe", reference, shipped(), "(or name a .yaml file)")
    return FOLDER / f"{reference}.yaml"


def _change(given: dict[str, Any], change: str) -> None:
    """Put `key=value`, or `lora.rank=8`, into the settings."""
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise BadOption(f"--set {change}: write --set key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadOption(f"--set {change}: {text} is no YAML value") from error
    outer, dot, inner = key.strip().partition(".")
    if not dot:
        given[outer] = value
    else:
        nested = given.get(outer)
        given[outer] = {**(nested if isinstance(nested, dict) else {}), inner: value}


def _check(recipe: Recipe) -> None:
    if (recipe.epochs is None) == (recipe.max_steps is None):
        raise UsageError("the recipe must give exactly one of epochs and max_steps")
    if recipe.adam_betas is not None and len(recipe.adam_betas) != 2:
        raise BadOption(f"recipe key adam_betas: {recipe.adam_betas} are not two numbers")
    lora = recipe.lora or Lora()
    lowest = {
        "epochs": recipe.epochs, "max_steps": recipe.max_steps, "learning_rate": recipe.learning_rate,
        "batch_size": recipe.batch_size, "per_device_batch_size": recipe.per_device_batch_size,
        "max_length": recipe.max_length, "adam_epsilon": recipe.adam_epsilon, "lora.rank": lora.rank,
        "max_grad_norm": recipe.max_grad_norm, "keep_checkpoints": recipe.keep_checkpoints,
    }  # fmt: skip
    for name, value in lowest.items():
        if value is not None and not 0 < value < float("inf"):
            raise BadOption(f"recipe key {name}: {value} is not above 0")
    for name, value in {
        "warmup": recipe.warmup, "weight_decay": recipe.weight_decay, "save_steps": recipe.save_steps,
    }.items():  # fmt: skip
        if not 0 <= value < float("inf"):
            raise BadOption(f"recipe key {name}: {value} is below 0")
    for name, share in {"adam_betas": max(recipe.betas), "lora.dropout": lora.dropout}.items():
        if not 0 <= share < 1:
            raise BadOption(f"recipe key {name}: {share} is not in [0, 1)")
    if recipe.packing and recipe.attention == "eager":
        raise UsageError(
            "packing: true needs attention: sdpa or flash_attention_2, which keep packed rows apart"
        )
