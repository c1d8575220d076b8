"""What a family plugin gives to the readout: token ids with marks, a head, and how to read its rows.

Invariant: pure data, no torch. Row k of the readout belongs to mark k, whatever its value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from prm_eval.types import Candidate, Score, Unscored

Ids = NDArray[np.int32]
Rows = NDArray[np.float32]
# Of each token: log p(token), KL(uniform || p) over the vocabulary (both in nats), and 1.
Statistic = Literal["logprob", "uniform_kl", "tokens"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """One input: token `ids` [n_tokens], and `marks` [n_marks], the positions where the head reads.

    For a head with `statistics`, mark k is the last token of span k, and the first span begins at
    `start`, which is at least 1: the first token of a text has no probability.
    """

    ids: Ids
    marks: Ids
    start: int = 0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Head:
    """The small network on the marked hidden states: linear layers with ReLU between them.

    `layers` are the names in the checkpoint (`score.0` means `score.0.weight`, and `score.0.bias`
    when `bias`). `outputs` is the width of a readout row. `rows`, when given, keeps only these
    rows of the last layer: two token ids of `lm_head` make a two-class head. `stray` are
    weights of the checkpoint that the family does without. With `statistics` (and `layers` the
    LM head alone) a row holds their sums over the tokens of one span instead of the outputs.
    Without `layers` a row is the hidden state itself. `file` names a head that lies beside the
    weights, in FILE.safetensors or FILE.pt.
    """

    layers: tuple[str, ...]
    outputs: int
    bias: bool = True
    rows: tuple[int, ...] | None = None
    stray: tuple[str, ...] = ("lm_head.weight",)
    statistics: tuple[Statistic, ...] = ()
    file: str | None = None


class Family(Protocol):
    """How one family of reward models writes its input and reads its output.

    `identity` names every option that changes a score and does not show in the token ids.
    """

    @property
    def identity(self) -> str:
        """Name, version and options."""
        ...

    @property
    def head(self) -> Head:
        """The head that the checkpoint must have."""
        ...

    @property
    def default_aggregation(self) -> str:
        """How `Score.value` comes from `Score.steps`; "last" for a whole-response model."""
        ...

    @property
    def stepwise(self) -> bool:
        """Whether there is one mark per step."""
        ...

    def render(self, candidate: Candidate) -> Rendered | Unscored:
        """Token ids and marks, or why this candidate has none."""
        ...

    def read(self, rows: Rows) -> Score:
        """The score of readout rows [n_marks, head.outputs]."""
        ...


class Engine(Protocol):
    """Whatever runs the backbone: torch here, vLLM or a server elsewhere."""

    @property
    def identity(self) -> str:
        """Names the weights and the arithmetic."""
        ...

    @property
    def max_tokens(self) -> int:
        """The longest input that the backbone was built for."""
        ...

    def rows(self, inputs: Sequence[Rendered]) -> Sequence[Rows | Unscored]:
        """One array [n_marks, outputs] per input, in order; Unscored where the engine failed."""
        ...

    def provenance(self) -> dict[str, str]:
        """What ran, for the results."""
        ...

    def cost(self) -> dict[str, float]:
        """Cumulative tokens, padded_tokens, seconds and flops, and `peak_memory_bytes`, where known."""
        ...


def rendered(ids: Sequence[int], marks: Sequence[int], start: int = 0) -> Rendered:
    """`Rendered` from plain sequences."""
    return Rendered(np.asarray(ids, dtype=np.int32), np.asarray(marks, dtype=np.int32), start)


def shortest(value: np.float32) -> float:
    """The float with the fewest digits that rounds to this float32: short in JSON, and stable."""
    return float(str(np.float32(value)))
