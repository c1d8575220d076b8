"""The readout on a GPU: the same scores as on the CPU. Skipped where there is none."""

from pathlib import Path

import pytest
import torch

from prm_eval.readout import load
from prm_eval.readout.families import StepHead
from prm_eval.testing import BAD, GOOD, candidate
from prm_eval.types import Score
from tests.unit.tiny_checkpoint import save_checkpoint

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine"),
]
CANDIDATES = [candidate(text, index) for index, text in enumerate((GOOD, BAD, GOOD + "\n\n" + BAD))]


def scores(folder: Path, device: str, dtype: str) -> list[float]:
    model = load(lambda tokens: StepHead(tokens, "tiny", "Reason."), str(folder), device=device, dtype=dtype)
    results = model.score(CANDIDATES)
    return [step for result in results if isinstance(result, Score) for step in result.steps or ()]


def test_float32_equals_the_cpu(tmp_path: Path) -> None:
    """Float32 on the GPU gives the CPU's step scores to 1e-4."""
    save_checkpoint(tmp_path)
    assert scores(tmp_path, "cuda", "float32") == pytest.approx(scores(tmp_path, "cpu", "float32"), abs=1e-4)


def test_bfloat16_is_near(tmp_path: Path) -> None:
    """Bfloat16 on the GPU stays within 0.05 of float32: the head and the softmax are float32."""
    save_checkpoint(tmp_path)
    assert scores(tmp_path, "cuda", "bfloat16") == pytest.approx(scores(tmp_path, "cpu", "float32"), abs=0.05)
