"""ReasonFlux-PRM-1.5B: one number for problem and response as plain text.

Invariant: no template and no special token. Source: ReasonFlux_PRM/utils/rm_utils.py.
"""

import numpy as np

from prm_eval.cards import Card, LoadOptions
from prm_eval.engines import load_card
from prm_eval.readout import Head, ReadoutModel, Rendered, Rows, Tokens, rendered, shortest
from prm_eval.readout.families import EMPTY
from prm_eval.readout.outcomes import response_text
from prm_eval.types import Candidate, Score, Unscored


class WholeText:
    """Problem and response, encoded in one piece and read at the last token."""

    stepwise = False
    default_aggregation = "last"
    identity = "reasonflux-prm-whole/1"
    head = Head(("reward_head",), outputs=1, file="reward_head")

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def render(self, candidate: Candidate) -> Rendered | Unscored:
        """The ids, marked at the last; a blank response is Unscored."""
        text = response_text(candidate)
        if not text.strip():
            return EMPTY
        ids = self._tokens.encode(candidate.problem.prompt + text)
        return rendered(ids, [len(ids) - 1])

    def read(self, rows: Rows) -> Score:
        """Sigmoid in float32."""
        value = rows[-1, 0]
        small = np.exp(-abs(value), dtype=np.float32)
        return Score(shortest(np.float32((1 if value >= 0 else small) / (1 + small))))


def load_whole(options: LoadOptions, card: Card) -> ReadoutModel:
    """The backbone of a causal model, and the head that lies beside it."""
    return load_card(WholeText, options, card)
