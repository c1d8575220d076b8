"""A LoRA adapter in the PEFT layout, added to its base's weights while they are loaded.

Invariant: every tensor of the adapter is used, W + scale * B @ A in float32, or the adapter is
refused: kinds of layers that cannot be added this way never go missing silently.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prm_eval.errors import CheckpointError
from prm_eval.readout.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_json

if TYPE_CHECKING:
    from torch import Tensor

_NAME = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.weight")
# What changes the formula, and the values with which it is the plain one.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "use_dora": (False, None),
    "fan_in_fan_out": (False, None),
    "bias": ("none", None),
    "lora_bias": (False, None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
}


@dataclass(frozen=True, slots=True)
class Adapter:
    """`scale` and, by the name of the base's weight, the pair (A [r, in], B [out, r]) in float32."""

    folder: Path
    scale: float
    pairs: "dict[str, tuple[Tensor, Tensor]]"

    def add(self, key: str, weight: "Tensor", rows: Sequence[int] | None = None) -> "Tensor":
        """The base's weight `key` (or some rows of it) with its change added, in float32.

        A weight that the adapter does not touch is returned as it is.
        """
        if key not in self.pairs:
            return weight
        a, b = self.pairs[key]
        return weight.float() + self.scale * ((b if rows is None else b[list(rows)]) @ a)


def load_adapter(folder: Path) -> Adapter:
    """Read adapter_config.json and adapter_model.safetensors.

    scale is lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora (Hu et al. 2021; Kalajdzievski
    2023). Raises CheckpointError for other kinds of adapters or layers, one that lacks half of a
    pair or its weights, and one that changes nothing.
    """
    config = read_json(folder / ADAPTER_CONFIG)
    _check_plain(folder, config)
    rank = int(config["r"])
    scale = float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)
    sides = _read_sides(folder)
    if sides["A"].keys() != sides["B"].keys():
        lone = sorted(sides["A"].keys() ^ sides["B"].keys())[0]
        raise CheckpointError(f"{folder}: the adapter has half of the pair for {lone}: download it again")
    pairs = {f"{layer}.weight": (a, sides["B"][layer]) for layer, a in sides["A"].items()}
    for key, (a, b) in pairs.items():
        if len(a) != rank or b.shape[1] != rank:
            raise CheckpointError(f"{folder}: the pair for {key} is not of rank {rank}: download it again")
    if not any(bool(b.any()) for _, b in pairs.values()):
        raise CheckpointError(
            f"{folder}: the adapter changes nothing (every B is zero): it was never trained"
        )
    return Adapter(folder, scale, pairs)


def _check_plain(folder: Path, config: dict[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{folder}: an adapter of type {config.get('peft_type')!r} is not read, only LORA: "
            "merge it into its base and pass path=MERGED"
        )
    for name, plain in _PLAIN.items():
        if config.get(name) not in plain:
            raise CheckpointError(
                f"{folder}: adapter_config.json has {name}={config[name]!r}, which is not read: "
                "merge the adapter into its base and pass path=MERGED"
            )


def _read_sides(folder: Path) -> "dict[str, dict[str, Tensor]]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no {ADAPTER_WEIGHTS}, so the adapter's weights are missing: download it again, or "
            "convert the pickle, which is not read"
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): download it again") from error
    sides: dict[str, dict[str, Tensor]] = {"A": {}, "B": {}}
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise CheckpointError(
                f"{folder}: the adapter's {name} is no linear LoRA layer: merge the adapter into its base "
                "and pass path=MERGED"
            )
        sides[match["side"]][match["layer"]] = tensor.float()
    return sides
