"""Two families that several plugins share: ChatML with a head at each step, or at the last token.

Invariant: step k of the candidate is mark k of the input and row k of the readout. Formats: model
cards of Qwen2.5-Math-PRM-7B and Qwen2.5-Math-RM-72B.
"""

import numpy as np

from prm_eval.aggregate import product
from prm_eval.readout.chat import ChatML
from prm_eval.readout.labels import check_labels
from prm_eval.readout.rendering import Head, Rendered, Rows, rendered, shortest
from prm_eval.readout.tokens import Tokens
from prm_eval.steps import candidate_steps, join_steps
from prm_eval.types import Candidate, Score, Unscored

LAYERS = ("score.0", "score.2")
EMPTY = Unscored("empty response")


class StepHead:
    """A PRM with a two-class head at a separator after each step; class 1 is "good".

    `system` None takes the system message that the checkpoint's own chat template inserts.
    """

    stepwise = True
    default_aggregation = "product"
    head = Head(LAYERS, outputs=2)

    def __init__(self, tokens: Tokens, name: str, system: str | None, separator: str = "<extra_0>") -> None:
        check_labels(tokens.folder, good=1, count=2)
        self.chat = ChatML.of(tokens, system)
        self.identity = f"{name}/1 {separator}"
        self._separator = tokens.marker(separator)

    def render(self, candidate: Candidate) -> Rendered | Unscored:
        """The conversation with a marked separator after each step; no steps are Unscored."""
        steps = candidate_steps(candidate)
        if not steps:
            return EMPTY
        return rendered(*self.chat.write(candidate.problem.prompt, [s.text for s in steps], self._separator))

    def read(self, rows: Rows) -> Score:
        """Softmax over the two classes, in float32: P(good) per step; the value is their product."""
        steps = tuple(shortest(p) for p in softmax(rows)[:, 1])
        return Score(product(steps), steps)


class WholeHead:
    """An outcome reward model: ChatML, one raw scalar at the last token of the conversation."""

    stepwise = False
    default_aggregation = "last"
    head = Head(LAYERS, outputs=1)

    def __init__(self, tokens: Tokens, name: str, system: str | None) -> None:
        self.chat = ChatML.of(tokens, system)
        self.identity = f"{name}/1"

    def render(self, candidate: Candidate) -> Rendered | Unscored:
        """The conversation, marked at its last token; a blank response is Unscored."""
        text = candidate.text or join_steps(candidate.steps or ())
        if not text.strip():
            return EMPTY
        ids, _ = self.chat.write(candidate.problem.prompt, [text], None)
        return rendered(ids, [len(ids) - 1])

    def read(self, rows: Rows) -> Score:
        """The scalar as it is: unbounded, higher is better."""
        return Score(shortest(rows[-1, 0]))


def softmax(rows: Rows) -> Rows:
    """Softmax over the last axis, in float32."""
    shifted = np.exp(rows - rows.max(axis=-1, keepdims=True), dtype=np.float32)
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=np.float32)
