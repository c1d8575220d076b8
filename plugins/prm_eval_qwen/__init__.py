"""Qwen2.5-Math reward models: three PRMs, the outcome model, and any checkpoint of the PRMs' layout.

Invariant: importing this file imports no torch.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from prm_eval.hooks import hookimpl
from prm_eval.types import RewardModel

DType = Literal["auto", "float32", "bfloat16", "float16"]
PROVEN = "format verified on the model card"


@hookimpl
def prm_eval_reward_models() -> Mapping[str, Callable[..., RewardModel]]:
    """The names of this family."""
    return {
        "qwen2.5-math-prm-7b": prm_7b,
        "qwen2.5-math-prm-72b": prm_72b,
        "qwen2.5-math-7b-prm800k": prm800k_7b,
        "qwen2.5-math-rm-72b": rm_72b,
        "qwen-prm": prm,
    }


def prm_7b(
    path: str = "Qwen/Qwen2.5-Math-PRM-7B",
    revision: str | None = None,
    dtype: DType = "auto",
    device: str = "auto",
    batch_tokens: int = 16384,
    max_tokens: int | None = None,
) -> RewardModel:
    """Qwen2.5-Math-PRM-7B: P(step is good) at each step, product by default.

    `path` is a folder or hub id of that checkpoint; it reads 4096 tokens.
    """
    return _step_model(path, revision, dtype, device, batch_tokens, max_tokens, PROVEN)


def prm_72b(
    path: str = "Qwen/Qwen2.5-Math-PRM-72B",
    revision: str | None = None,
    dtype: DType = "auto",
    device: str = "auto",
    batch_tokens: int = 16384,
    max_tokens: int | None = None,
) -> RewardModel:
    """Qwen2.5-Math-PRM-72B: the 7B's format; 145 GB in bfloat16, on one device."""
    return _step_model(path, revision, dtype, device, batch_tokens, max_tokens, PROVEN)


def prm800k_7b(
    path: str = "Qwen/Qwen2.5-Math-7B-PRM800K",
    revision: str | None = None,
    dtype: DType = "auto",
    device: str = "auto",
    batch_tokens: int = 16384,
    max_tokens: int | None = None,
) -> RewardModel:
    """Qwen2.5-Math-7B-PRM800K: the same format, trained on PRM800K as a baseline."""
    return _step_model(path, revision, dtype, device, batch_tokens, max_tokens, PROVEN)


def prm(
    path: str,
    revision: str | None = None,
    dtype: DType = "auto",
    device: str = "auto",
    batch_tokens: int = 16384,
    max_tokens: int | None = None,
) -> RewardModel:
    """Any checkpoint with the layout and the format of Qwen2.5-Math-PRM, by `path`."""
    proven = "format of Qwen2.5-Math-PRM, taken on the user's word"
    return _step_model(path, revision, dtype, device, batch_tokens, max_tokens, proven)


def rm_72b(
    path: str = "Qwen/Qwen2.5-Math-RM-72B",
    revision: str | None = None,
    dtype: DType = "auto",
    device: str = "auto",
    batch_tokens: int = 16384,
    max_tokens: int | None = None,
) -> RewardModel:
    """Qwen2.5-Math-RM-72B: one unbounded number per response, read at its last token."""
    from prm_eval_qwen.models import outcome_model

    return outcome_model(path, revision, dtype, device, batch_tokens, max_tokens, PROVEN)


def _step_model(
    path: str,
    revision: str | None,
    dtype: DType,
    device: str,
    batch_tokens: int,
    max_tokens: int | None,
    proven: str,
) -> RewardModel:
    from prm_eval_qwen.models import step_model

    return step_model(path, revision, dtype, device, batch_tokens, max_tokens, proven)
