"""The family that most outcome reward models share: a chat, and one raw number at its last token.

Invariant: the input is what the checkpoint's own chat template writes, with one BOS at most.
"""

from prm_eval.readout.chat import Message
from prm_eval.readout.chat_ids import ChatIds
from prm_eval.readout.families import EMPTY
from prm_eval.readout.rendering import Head, Rendered, Rows, rendered, shortest
from prm_eval.readout.tokens import Tokens
from prm_eval.steps import join_steps
from prm_eval.types import Candidate, Score, Unscored

# What transformers' sequence classifiers with num_labels=1 have.
SCORE = Head(("score",), outputs=1, bias=False)


class ChatScalar:
    """Problem and response as a chat, `closing` after it when there is one, read at the last token.

    The number is read by position: a padding token that is also the end of a turn changes nothing.
    """

    stepwise = False
    default_aggregation = "last"

    def __init__(
        self,
        tokens: Tokens,
        name: str,
        head: Head = SCORE,
        system: str | None = None,
        closing: int | None = None,
    ) -> None:
        self.identity = f"{name}/1"
        self.head = head
        self._chat = ChatIds(tokens)
        self._system, self._closing = system, closing

    def render(self, candidate: Candidate) -> Rendered | Unscored:
        """The conversation, marked at its last token; a blank response is Unscored."""
        text = response_text(candidate)
        if not text.strip():
            return EMPTY
        ids = self._chat.ids(conversation(candidate.problem.prompt, text, self._system))
        ids += [] if self._closing is None else [self._closing]
        return rendered(ids, [len(ids) - 1])

    def read(self, rows: Rows) -> Score:
        """The number as it is: unbounded, higher is better."""
        return Score(shortest(rows[-1, 0]))


def response_text(candidate: Candidate) -> str:
    """The response as one text; one that is given only in steps is joined."""
    return candidate.text or join_steps(candidate.steps or ())


def conversation(problem: str, response: str, system: str | None) -> list[Message]:
    """The messages: system when there is one, the problem, the response."""
    first = [] if system is None else [{"role": "system", "content": system}]
    return [*first, {"role": "user", "content": problem}, {"role": "assistant", "content": response}]
