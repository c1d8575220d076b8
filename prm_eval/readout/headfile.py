"""A head that lies in a file of its own beside the weights, as `reward_head.pt` does.

Invariant: tensors only. A .pt file is read weights-only, which refuses every other object in it.
"""

import hashlib
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

from prm_eval.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor


def head_file(folder: Path, name: str) -> Path:
    """`name`.safetensors of the folder, else `name`.pt. Raises CheckpointError without either."""
    for path in (folder / f"{name}.safetensors", folder / f"{name}.pt"):
        if path.is_file():
            return path
    raise CheckpointError(
        f"{folder} has neither {name}.safetensors nor {name}.pt, so the head is missing: download it again"
    )


def head_digest(path: Path) -> str:
    """sha256 of the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_head_file(path: Path, layer: str) -> "dict[str, Tensor]":
    """The tensors by name; `weight` and `bias` alone become `layer`.weight and `layer`.bias.

    Raises CheckpointError for a file that is broken or holds anything but tensors by name.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{path} is not read, it is broken or more than tensors ({reason})") from error
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise CheckpointError(f"{path} holds no tensors by name: save the head's state_dict()")
    return {key if "." in key else f"{layer}.{key}": value for key, value in found.items()}
