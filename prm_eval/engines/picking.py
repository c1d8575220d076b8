"""Rows of an engine that pools, picked by position.

Invariant: row k belongs to mark k, or the input is Unscored; a count that does not fit is never
interpreted.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prm_eval.readout.rendering import Rendered, Rows
from prm_eval.types import Unscored


def pick(raw: NDArray[Any], item: Rendered, outputs: int) -> Rows | Unscored:
    """Rows [n_marks, outputs] out of what the engine gave for one input.

    One row per token (vLLM's ALL pooling): those at the marks. One row per mark (STEP pooling, or
    the last token alone): as they are, when the input shows that they can only be the marks'.
    """
    if raw.ndim == 1 and outputs == 1:
        raw = raw[:, None]
    if raw.ndim != 2 or raw.shape[1] != outputs:
        return Unscored(f"engine failure: shape {list(raw.shape)}, the head has {outputs} outputs")
    if len(raw) == len(item.ids):
        return np.asarray(raw[item.marks], np.float32)
    if len(raw) == len(item.marks) and _only_at_marks(item):
        return np.asarray(raw, np.float32)
    return Unscored(
        f"engine failure: {len(raw)} rows for {len(item.ids)} tokens and {len(item.marks)} marks, "
        "neither one per token nor one per mark"
    )


def _only_at_marks(item: Rendered) -> bool:
    """Whether the marks are exactly where one token id stands, or the last token alone."""
    if item.marks.tolist() == [len(item.ids) - 1]:
        return True
    return bool(np.array_equal(np.flatnonzero(item.ids == item.ids[item.marks[0]]), item.marks))
