"""RLHFlow's conversation: the user gives one step per turn, the assistant answers + or -.

Invariant: one forward pass per response. Each "+" is written, and read at the token before it,
where the model would have had to write it: a causal model sees there what it saw turn by turn.
"""

import numpy as np

from prm_eval.aggregate import mean
from prm_eval.errors import CheckpointError
from prm_eval.readout import Head, Rendered, Rows, Tokens, rendered, shortest
from prm_eval.readout.families import EMPTY, softmax
from prm_eval.readout.template import ChatTemplate
from prm_eval.steps import candidate_steps, join_steps
from prm_eval.types import Candidate, Score, Unscored

GOOD, BAD = "+", "-"
TAG = "ки"


class Turns:
    """The PRM, or with `whole` its ORM twin: one turn with the whole answer. Source: RLHFlow math-rm."""

    longest = 8192  # tokens: what it was trained for; Llama 3.1 itself has more positions

    def __init__(self, tokens: Tokens, whole: bool) -> None:
        self._template = ChatTemplate(tokens)
        self._good = _single(tokens, GOOD)
        self.stepwise = not whole
        self.default_aggregation = "last" if whole else "mean"
        self.head = Head(
            ("lm_head",), outputs=2, bias=False, rows=(self._good, _single(tokens, BAD)), stray=()
        )
        self.identity = f"rlhflow-{'orm' if whole else 'prm'}/1"
        self._check_template(tokens)

    def render(self, candidate: Candidate) -> Rendered | Unscored:
        """The conversation with every answer "+", marked before each of them."""
        steps = self._steps(candidate)
        if not steps:
            return EMPTY
        return self._conversation(candidate.problem.prompt, steps)

    def read(self, rows: Rows) -> Score:
        """Softmax over (+, -), in float32: P(+) per turn; the value of a PRM is their mean."""
        steps = tuple(shortest(p) for p in softmax(rows)[:, 0])
        return Score(mean(steps), steps) if self.stepwise else Score(steps[-1])

    def _steps(self, candidate: Candidate) -> list[str]:
        if not self.stepwise:
            text = candidate.text or join_steps(candidate.steps or ())
            return [text] if text.strip() else []
        tagged = candidate.steps is None and f"{TAG}\n" in candidate.text
        steps = [step.text for step in candidate_steps(candidate, f"{TAG}\n" if tagged else "\n\n")]
        return [step.rstrip().removesuffix(TAG) for step in steps] if tagged else steps

    def _conversation(self, problem: str, steps: list[str]) -> Rendered | Unscored:
        messages = []
        for number, step in enumerate(steps):
            messages.append({"role": "user", "content": f"{problem} {step}" if number == 0 else step})
            messages.append({"role": "assistant", "content": GOOD})
        found = self._template.write(messages)
        places = [start for start, _ in found.spans[1::2]]
        if any(found.ids[place] != self._good for place in places):
            return Unscored("answer lost: a + is merged with the text around it")
        return rendered(found.ids, (np.asarray(places) - 1).tolist())

    def _check_template(self, tokens: Tokens) -> None:
        probe = self._conversation("U", ["A", "B"])
        if isinstance(probe, Unscored) or len(set(probe.ids[probe.marks].tolist())) != 1:
            raise CheckpointError(
                f"{tokens.folder}: its chat template does not write each + as one token after the same one: "
                "take the original tokenizer_config.json"
            )


def _single(tokens: Tokens, label: str) -> int:
    ids = tokens.encode(label)
    if len(ids) != 1:
        raise CheckpointError(
            f"{tokens.folder}: {label!r} is {len(ids)} tokens, it must be one: this is no RLHFlow checkpoint"
        )
    return ids[0]
