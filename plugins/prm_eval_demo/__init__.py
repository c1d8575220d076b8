"""The embedded models: a tiny trained policy, two tiny process reward models and a tiny pairwise judge.

Invariant: importing this file imports no torch. The models are a benchmark of nothing but
themselves; README.md beside this file says how they were trained and what they are worth.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from prm_eval.cards import Card, described
from prm_eval.hooks import hookimpl
from prm_eval.types import Judge, RewardModel

MODELS = Path(__file__).parent / "models"
POLICY = MODELS / "policy"
PRM = MODELS / "prm"
PRM_SMALL = MODELS / "prm-small"
JUDGE = MODELS / "judge"
CARD = Card(
    kind="step",
    input="ChatML with the system message of Qwen2.5-Math-PRM; <extra_0> after each step",
    mark="each <extra_0>: softmax over two classes, class 1",
    aggregation="product",
    source="README.md beside the models",
    proven="trained here, in this format",
    context=4096,
)
CARD_JUDGE = Card(
    kind="judge",
    input="ChatML, the problem and the two answers under headings, in one user turn",
    mark="its own check line by line, then \\boxed{Assistant 1} or \\boxed{Assistant 2}",
    aggregation="majority of votes",
    source="README.md beside the models",
    proven="trained here, in this format",
    context=4096,
)


@hookimpl
def prm_eval_reward_models() -> Mapping[str, Callable[..., RewardModel]]:
    """The embedded reward models."""
    return {"demo-prm": demo_prm, "demo-prm-small": demo_prm_small}


@described(CARD)
def demo_prm(device: str = "cpu", batch_tokens: int = 16384) -> RewardModel:
    """The embedded PRM in the Qwen2.5-Math-PRM layout: knows sums below 100, and nothing else."""
    from prm_eval_demo.reward_model import load_prm

    return load_prm(PRM, device, batch_tokens)


@described(CARD)
def demo_prm_small(device: str = "cpu", batch_tokens: int = 16384) -> RewardModel:
    """A twentieth of the embedded PRM in size, taught the same: what a weaker verifier looks like."""
    from prm_eval_demo.reward_model import load_prm

    return load_prm(PRM_SMALL, device, batch_tokens)


@hookimpl
def prm_eval_judges() -> Mapping[str, Callable[..., Judge]]:
    """The embedded judge."""
    return {"demo-judge": demo_judge}


@described(CARD_JUDGE)
def demo_judge(
    device: str = "cpu", batch_size: int = 64, votes: int = 1, temperature: float = 0.0, seed: int = 0
) -> Judge:
    """The embedded judge: does the sum again line by line, then boxes the better of two answers.

    It knows sums below 100, and nothing else. Greedy by default, so that equal pairs get equal verdicts;
    several votes need a temperature.
    """
    from prm_eval_demo.judge import load_demo_judge

    return load_demo_judge(JUDGE, device, batch_size, votes, temperature, seed)
