"""Two families that several plugins share: ChatML with a head at each step, or at the last token.

Invariant: step k of the candidate is mark k of the input and row k of the readout. Formats:
model cards of Qwen2.5-Math-PRM-7B and Qwen2.5-Math-RM-72B.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from prm_eval.readout.chat import ChatML
from prm_eval.readout.rendering import Head, Rendered, Rows, rendered, shortest
from prm_eval.readout.tokens import Tokens
from prm_eval.steps import candidate_steps, join_steps
from prm_eval.types import Candidate, Score, Unscored

EMPTY = Unscored("empty response")


@dataclass(frozen=True)
class StepHead:
    """A PRM with a two-class head at a separator after each step; class 1 is "good".

    `system` None takes the system message that the checkpoint's chat template inserts.
    """

    tokens: Tokens = field(repr=False)
    name: str
    system: str | None
    separator: str = "<extra_0>"
    version: str = "1"
    head: Head = Head(("score.0", "score.2"), outputs=2)
    default_aggregation: str = "product"
    stepwise: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "chat", ChatML.of(self.tokens, self.system))
        object.__setattr__(self, "separator_id", self.tokens.marker(self.separator))
