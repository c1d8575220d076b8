"""The value-head format of Skywork-o1-Open-PRM, and its classifiers, loaded.

Invariant: one score per step, although the model reads lines. Source of the PRM's format:
SkyworkAI/skywork-o1-prm-inference.
"""

import re
from functools import partial

import numpy as np

from prm_eval.aggregate import mean
from prm_eval.cards import Card, LoadOptions
from prm_eval.engines import load_card
from prm_eval.errors import CheckpointError
from prm_eval.readout import Head, ReadoutModel, Rendered, Rows, Tokens, rendered, shortest
from prm_eval.readout.families import EMPTY
from prm_eval.readout.outcomes import ChatScalar
from prm_eval.steps import candidate_steps
from prm_eval.types import Candidate, Score, Unscored

_LINES = re.compile(r"\s*[\r\n]+\s*")


class ValueHead:
    """BOS + problem + newline, then each step's ids and the newline id, where the value is read.

    A text without given steps is split into its lines, as its authors do. A newline inside a
    given step becomes a blank: the model would take it for the end of a step.
    """

    stepwise = True
    default_aggregation = "mean"
    identity = "skywork-o1-prm/1"
    head = Head(("v_head.summary",), outputs=1)

    def __init__(self, tokens: Tokens) -> None:
        bos = tokens.named("bos_token")
        if bos is None:
            raise CheckpointError(
                f"{tokens.folder}: tokenizer_config.json names no bos_token, with which every input of this "
                "family begins: copy that file from the original checkpoint"
            )
        self._tokens = tokens
        self._bos, self._newline = tokens.marker(bos), tokens.marker("\n")

    def render(self, candidate: Candidate) -> Rendered | Unscored:
        """Ids and the marked newlines; no steps are Unscored."""
        steps = candidate_steps(candidate, separator="\n")
        if not steps:
            return EMPTY
        ids = [self._bos, *self._tokens.encode(candidate.problem.prompt + "\n")]
        marks = []
        for step in steps:
            ids += self._tokens.encode(_LINES.sub(" ", step.text))
            marks.append(len(ids))
            ids.append(self._newline)
        return rendered(ids, marks)

    def read(self, rows: Rows) -> Score:
        """Sigmoid of the value, in float32: one per step; the value is their mean."""
        steps = tuple(shortest(value) for value in sigmoid(rows[:, 0]))
        return Score(mean(steps), steps)


def sigmoid(values: Rows) -> Rows:
    """1 / (1 + exp(-x)) in float32, without overflow."""
    small = np.exp(-np.abs(values), dtype=np.float32)
    return np.asarray(np.where(values >= 0, 1 / (1 + small), small / (1 + small)), dtype=np.float32)


def load_prm(options: LoadOptions, card: Card) -> ReadoutModel:
    """A Skywork-o1-Open-PRM."""
    return load_card(ValueHead, options, card)


def load_reward(options: LoadOptions, card: Card) -> ReadoutModel:
    """A Skywork-Reward model: a sequence classifier with one label."""
    return load_card(partial(ChatScalar, name="skywork-reward"), options, card)
