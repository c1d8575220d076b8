"""What is checked of every model before its first score.

Invariant: a model that passes has a tokenizer that fits its embedding, finite outputs, and scores
that depend on the input.
"""

import numpy as np

from prm_eval.errors import CheckpointError
from prm_eval.readout.rendering import Engine, Family, Rendered, Rows
from prm_eval.types import Candidate, Problem, Step, Unscored

_PROBLEM = Problem("probe", "What is 2 + 3 times 4?")
_PROBES = (
    ("First 3 times 4 is 12.", "Then 2 + 12 = 14, so the answer is \\boxed{14}."),
    ("First 2 + 3 is 5.", "Bananas are yellow, so the answer is \\boxed{-7}."),
)


def check_model(name: str, family: Family, engine: Engine, vocabulary: int) -> None:
    """Score two different answers to one question.

    Raises CheckpointError when an id has no embedding, an output is not finite, or both answers
    get the same rows (lost positions or weights do that, with no other sign).
    """
    inputs = [_render(family, steps) for steps in _PROBES]
    largest = max(int(item.ids.max()) for item in inputs)
    if largest >= vocabulary:
        raise CheckpointError(
            f"{name}: token id {largest} is outside the embedding of {vocabulary} rows: "
            "tokenizer.json belongs to another model"
        )
    first, second = (_found(name, rows) for rows in engine.rows(inputs))
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise CheckpointError(
            f"{name}: outputs are not finite: load it with dtype=float32, or download it again"
        )
    if np.allclose(first, second, rtol=0, atol=1e-6):
        raise CheckpointError(
            f"{name}: two different answers score the same, so weights or positions are lost: "
            "download it again"
        )


def _found(name: str, rows: Rows | Unscored) -> Rows:
    if isinstance(rows, Unscored):
        raise CheckpointError(f"{name}: the engine cannot score a plain two-step answer: {rows.reason}")
    return rows


def _render(family: Family, texts: tuple[str, ...]) -> Rendered:
    steps = tuple(Step(text) for text in texts)
    item = family.render(Candidate(_PROBLEM, 0, "\n\n".join(texts), steps))
    if not isinstance(item, Rendered):
        raise CheckpointError(f"the family cannot render a plain two-step answer: {item.reason}")
    return item
