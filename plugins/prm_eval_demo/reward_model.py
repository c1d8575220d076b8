"""The embedded PRM, loaded through the same readout as a 7B model of its layout."""

from functools import partial
from pathlib import Path

from prm_eval.readout import ReadoutModel, load
from prm_eval.readout.families import StepHead
from prm_eval_demo import CARD

SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."


def load_prm(folder: Path, device: str, batch_tokens: int) -> ReadoutModel:
    """The checkpoint of `folder` in float32, which is what it was measured in."""
    return load(
        partial(StepHead, name="qwen2.5-math-prm", system=SYSTEM),
        str(folder),
        dtype="float32",
        device=device,
        batch_tokens=batch_tokens,
        proven=CARD.proven,
    )
