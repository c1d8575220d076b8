"""lm-eval's model classes by name: hf, vllm, local-completions and every other back end.

Invariant: whatever a back end raises while it loads becomes one line that names it.
"""

import sys
from collections.abc import Mapping
from typing import Any

from lm_eval.api.model import LM

from prm_eval.errors import PrmEvalError, UnknownName, UsageError
from prm_eval.harness.own_tokenizer import check_tokenizer

# lm-eval's own default is 1, which took seven times as long on a tiny model
BATCH_SIZE = 32
ALL_AT_ONCE = 1 << 20
HF_NAMES = ("hf", "hf-auto", "huggingface")


def load_model(model: str, model_args: str | Mapping[str, Any], batch_size: str | int | None = None) -> LM:
    """The model that lm-eval knows as `model`, built from its own `model_args`.

    Raises UnknownName for a name that lm-eval does not have, UsageError when it does not load,
    CheckpointError when its tokenizer class gives other tokens than its own tokenizer.json.
    """
    from lm_eval.api.registry import get_model

    find_model(model)
    try:
        kind = get_model(model)
        extra = {"batch_size": default_batch_size(model, batch_size), "device": _device(model, model_args)}
        if isinstance(model_args, str):
            lm = kind.create_from_arg_string(model_args, extra)
        else:
            lm = kind.create_from_arg_obj(dict(model_args), extra)
    except PrmEvalError:
        raise
    except Exception as error:  # the back ends raise whatever their libraries raise
        reason = " ".join(str(error).split())
        raise UsageError(
            f"lm-eval cannot load the model {model} ({model_args}): {type(error).__name__}: {reason}"
        ) from error
    check_tokenizer(lm, f"{model} ({model_args})")
    return lm


def find_model(model: str) -> None:
    """Raises UnknownName for a model class that lm-eval does not have."""
    import lm_eval.models  # noqa: F401 - fills the registry
    from lm_eval.api.registry import model_registry

    import prm_eval.harness.replay  # noqa: F401 - registers prm-replay

    if model not in model_registry:
        raise UnknownName("lm-eval model", model, model_registry.keys())


def default_batch_size(model: str, batch_size: str | int | None) -> str | int | None:
    """HF's default of 1 is cured; the other back ends batch by themselves.

    vLLM's "auto" hands over everything and asks for a progress bar, and vLLM 0.32 divides by the
    time of that bar, which is zero where bars are off: a number hands over everything without one.
    """
    if model == "vllm" and (batch_size is None or "auto" in str(batch_size)):
        return ALL_AT_ONCE
    return BATCH_SIZE if batch_size is None and model in HF_NAMES else batch_size


def _device(model: str, model_args: str | Mapping[str, Any]) -> str | None:
    """HF's default of cuda is cured where there is none; a device that was asked for is kept."""
    asked = "device" in model_args if isinstance(model_args, Mapping) else "device=" in model_args
    if asked or model not in HF_NAMES:
        return None
    # the back end has just loaded torch, which this module must not import
    return None if sys.modules["torch"].cuda.is_available() else "cpu"
