"""Token classifiers that read a separator after each step: TRL's PRMs and PURE.

Invariant: each piece is encoded on its own, as in training: in a whole text, the separator melts
into the end of a step. Sources: PRMTrainer.tokenize_row of huggingface/trl; CJReinforce/PURE.
"""

from collections.abc import Sequence
from functools import partial

from prm_eval.aggregate import minimum, product
from prm_eval.cards import Card, LoadOptions
from prm_eval.engines import load_card
from prm_eval.readout import Head, ReadoutModel, Rendered, Rows, Tokens, rendered, shortest
from prm_eval.readout.families import EMPTY, softmax
from prm_eval.readout.labels import check_labels
from prm_eval.steps import candidate_steps
from prm_eval.types import Candidate, Score, Unscored

BLANK_LINE = "\n\n"


class SeparatedSteps:
    """Problem, then step and separator in turn; two classes at each separator, class 1 is good."""

    stepwise = True
    default_aggregation = "product"
    head = Head(("score",), outputs=2)

    def __init__(self, tokens: Tokens, name: str, separator: str, bos: bool) -> None:
        check_labels(tokens.folder, good=1, count=2)
        self.identity = f"{name}/1"
        self._tokens, self._separator = tokens, tokens.marker(separator)
        begin = tokens.named("bos_token") if bos else None
        self._begin = [] if begin is None else [tokens.marker(begin)]

    def render(self, candidate: Candidate) -> Rendered | Unscored:
        """Ids and the marked separators; no steps are Unscored."""
        steps = candidate_steps(candidate)
        if not steps:
            return EMPTY
        ids = [*self._begin, *self._tokens.encode(candidate.problem.prompt)]
        marks = []
        for step in steps:
            ids += self._tokens.encode(step.text)
            marks.append(len(ids))
            ids.append(self._separator)
        return rendered(ids, marks)

    def read(self, rows: Rows) -> Score:
        """P(good) per step; the value is their product."""
        steps = tuple(shortest(p) for p in softmax(rows)[:, 1])
        return Score(product(steps), steps)


class Pure(SeparatedSteps):
    """The same, read as P(good) - P(bad); trained so that the worst step counts."""

    default_aggregation = "min"

    def read(self, rows: Rows) -> Score:
        """P(good) - P(bad) per step; the value is the lowest."""
        both = softmax(rows)
        steps: Sequence[float] = tuple(shortest(p) for p in both[:, 1] - both[:, 0])
        return Score(minimum(steps), tuple(steps))


def load_trl(options: LoadOptions, card: Card, separator: str) -> ReadoutModel:
    """A PRM trained by TRL; the input begins with BOS where the tokenizer has one."""
    return load_card(partial(SeparatedSteps, name="trl-prm", separator=separator, bos=True), options, card)


def load_pure(options: LoadOptions, card: Card) -> ReadoutModel:
    """PURE-PRM-7B."""
    return load_card(partial(Pure, name="pure-prm", separator=BLANK_LINE, bos=False), options, card)
