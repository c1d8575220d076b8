"""A batch that does not fit the device's memory is cut in halves, said so, and scored all the same."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from prm_eval.readout.checkpoint import locate
from prm_eval.readout.forward import TorchEngine
from prm_eval.readout.rendering import Head, Rendered, Rows, rendered
from tests.unit.tiny_checkpoint import save_checkpoint

HEAD = Head(("score.0", "score.2"), outputs=2)
INPUTS = [rendered(range(1, 2 + length), [length]) for length in (3, 4, 5, 6, 7, 8)]


class Small(TorchEngine):
    """An engine whose device holds at most this many rows at a time."""

    room = 2

    def _forward(self, batch: Sequence[Rendered]) -> list[Rows]:
        if len(batch) > self.room:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return super()._forward(batch)


def test_halves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The rows are those of an engine with room enough, and the smaller budget is announced."""
    save_checkpoint(tmp_path)
    given = (locate(str(tmp_path), None), HEAD, "float32", "cpu", 4096)
    with caplog.at_level(logging.WARNING, "prm_eval"):
        found = Small(*given).rows(INPUTS)
    for ours, theirs in zip(found, TorchEngine(*given).rows(INPUTS), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert "does not fit the memory, going on with batch_tokens=" in caplog.text


def test_one_too_many(tmp_path: Path) -> None:
    """An input that does not fit by itself is the caller's to make Unscored."""
    save_checkpoint(tmp_path)
    engine = Small(locate(str(tmp_path), None), HEAD, "float32", "cpu", 4096)
    engine.room = 0
    with pytest.raises(torch.cuda.OutOfMemoryError):
        engine.rows(INPUTS[:1])
