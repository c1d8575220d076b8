"""ReasonEval: validity and redundancy of each step, three classes at its end.

Invariant: positions are those of the authors' own script, which joins the steps by the pad token
and takes it out again. Source: codes/examples.py of GAIR-NLP/ReasonEval.
"""

from functools import partial
from typing import Literal

import numpy as np

from prm_eval.aggregate import maximum, minimum
from prm_eval.cards import Card, LoadOptions
from prm_eval.engines import load_card
from prm_eval.errors import CheckpointError
from prm_eval.readout import Head, ReadoutModel, Rendered, Rows, Tokens, rendered, shortest
from prm_eval.readout.checkpoint import read_json
from prm_eval.readout.families import EMPTY, softmax
from prm_eval.steps import candidate_steps
from prm_eval.types import Candidate, Score, Unscored

BEFORE, AFTER = "Question:\n", "\nAnswer:\nLet's think step by step.\n"
Kind = Literal["validity", "redundancy"]


class ReasonEval:
    """Classes negative, neutral, positive; validity is neutral + positive, redundancy neutral.

    `back` is how far before the last token of a step the script reads: 0 for the 34B. In the 7B
    the pad token is BOS itself; the script takes it out at the front too and puts it back, and
    its positions are then one token early, so 1.
    """

    stepwise = True

    def __init__(self, tokens: Tokens, back: int, bias_key: str, kind: Kind) -> None:
        config = read_json(tokens.folder / "config.json")
        self.identity = f"reasoneval/1 {kind}"
        self.head = Head(("score_head",), outputs=3, bias=bool(config.get(bias_key, False)))
        self.default_aggregation = "min" if kind == "validity" else "max"
        self._tokens, self._back, self._kind = tokens, back, kind
        begin = tokens.named("bos_token")
        if begin is None:
            raise CheckpointError(
                f"{tokens.folder}: tokenizer_config.json names no bos_token, with which every input of this "
                "family begins: copy that file from the original checkpoint"
            )
        self._bos = tokens.marker(begin)

    def render(self, candidate: Candidate) -> Rendered | Unscored:
        """BOS, the question, the steps without anything between them; no steps are Unscored."""
        steps = candidate_steps(candidate)
        if not steps:
            return EMPTY
        ids = [self._bos, *self._tokens.encode(f"{BEFORE}{candidate.problem.prompt}{AFTER}")]
        marks = []
        for step in steps:
            ids += self._tokens.encode(step.text)
            marks.append(len(ids) - 1 - self._back)
        return rendered(ids, marks)

    def read(self, rows: Rows) -> Score:
        """One score per step; the value is the lowest validity, or the highest redundancy."""
        classes = softmax(rows)
        chosen = classes[:, 1] + classes[:, 2] if self._kind == "validity" else classes[:, 1]
        steps = tuple(shortest(np.float32(p)) for p in chosen)
        return Score((minimum if self._kind == "validity" else maximum)(steps), steps)


def load_7b(options: LoadOptions, card: Card, kind: Kind) -> ReadoutModel:
    """ReasonEval-7B, on Mistral."""
    return load_card(partial(ReasonEval, back=1, bias_key="use_bias", kind=kind), options, card)


def load_34b(options: LoadOptions, card: Card, kind: Kind) -> ReadoutModel:
    """ReasonEval-34B, on Llama."""
    return load_card(partial(ReasonEval, back=0, bias_key="bias", kind=kind), options, card)
