"""The two formats of Qwen2.5-Math, loaded.

Invariant: the system message is the model cards' own, backslash included. Source: model cards of
Qwen/Qwen2.5-Math-PRM-7B and Qwen/Qwen2.5-Math-RM-72B.
"""

from functools import partial

from prm_eval.cards import Card, LoadOptions
from prm_eval.engines import load_card
from prm_eval.readout import ReadoutModel
from prm_eval.readout.families import StepHead, WholeHead

SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."


def step_model(options: LoadOptions, card: Card) -> ReadoutModel:
    """The PRM format: `<extra_0>` after each step, two classes there, softmax, product."""
    return load_card(partial(StepHead, name="qwen2.5-math-prm", system=SYSTEM), options, card)


def outcome_model(options: LoadOptions, card: Card) -> ReadoutModel:
    """The outcome format: the same conversation without separators, one number at its last token."""
    return load_card(partial(WholeHead, name="qwen2.5-math-rm", system=SYSTEM), options, card)
