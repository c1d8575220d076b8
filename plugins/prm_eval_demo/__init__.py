"""The embedded models: a tiny trained policy and a tiny trained process reward model.

Invariant: importing this file imports no torch. The models are a benchmark of nothing but
themselves; README.md beside this file says how they were trained and what they are worth.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from prm_eval.cards import Card, described
from prm_eval.hooks import hookimpl
from prm_eval.types import RewardModel

MODELS = Path(__file__).parent / "models"
POLICY = MODELS / "policy"
PRM = MODELS / "prm"
CARD = Card(
    kind="step",
    input="ChatML with the system message of Qwen2.5-Math-PRM; <extra_0> after each step",
    mark="each <extra_0>: softmax over two classes, class 1",
    aggregation="product",
    source="README.md beside the models",
    proven="trained here, in this format",
    context=4096,
)


@hookimpl
def prm_eval_reward_models() -> Mapping[str, Callable[..., RewardModel]]:
    """The embedded reward model."""
    return {"demo-prm": demo_prm}


@described(CARD)
def demo_prm(device: str = "cpu", batch_tokens: int = 16384) -> RewardModel:
    """The embedded PRM in the Qwen2.5-Math-PRM layout: knows sums below 100, and nothing else."""
    from prm_eval_demo.reward_model import load_prm

    return load_prm(PRM, device, batch_tokens)
