"""The two formats of Qwen2.5-Math, loaded.

Invariant: the system message is the model cards' own, backslash included. Source: model cards of
Qwen/Qwen2.5-Math-PRM-7B and Qwen/Qwen2.5-Math-RM-72B.
"""

from functools import partial

from prm_eval.readout import DType, ReadoutModel, load
from prm_eval.readout.families import StepHead, WholeHead

SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."


def step_model(
    path: str,
    revision: str | None,
    dtype: DType,
    device: str,
    batch_tokens: int,
    max_tokens: int | None,
    proven: str,
) -> ReadoutModel:
    """The PRM format: `<extra_0>` after each step, two classes there, softmax, product."""
    return load(
        partial(StepHead, name="qwen2.5-math-prm", system=SYSTEM),
        path,
        revision=revision,
        dtype=dtype,
        device=device,
        batch_tokens=batch_tokens,
        max_tokens=max_tokens,
        proven=proven,
    )


def outcome_model(
    path: str,
    revision: str | None,
    dtype: DType,
    device: str,
    batch_tokens: int,
    max_tokens: int | None,
    proven: str,
) -> ReadoutModel:
    """The outcome format: the same conversation without separators, one number at its last token."""
    return load(
        partial(WholeHead, name="qwen2.5-math-rm", system=SYSTEM),
        path,
        revision=revision,
        dtype=dtype,
        device=device,
        batch_tokens=batch_tokens,
        max_tokens=max_tokens,
        proven=proven,
    )
