"""What the tests of the engines share: the tiny checkpoints, and the table of differences at the end."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parent))

from heads import Report

from prm_eval.engines import workers

# One process, one gigabyte of cache, bytecode kept: an engine starts in seconds.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# vLLM imports Ray, which reads these then: the commands set them before anything is loaded.
os.environ.update(workers.SURROUNDINGS)

DIFFERENCES: dict[tuple[str, str], float] = {}


@pytest.fixture
def report() -> Report:
    """Notes the largest difference to the torch engine of one family and engine."""

    def note(family: str, engine: str, difference: float) -> None:
        DIFFERENCES[family, engine] = max(difference, DIFFERENCES.get((family, engine), 0.0))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what `report` was told."""
    if not DIFFERENCES:
        return
    terminalreporter.section("largest difference of a readout to the torch engine, float32")
    for (family, engine), value in sorted(DIFFERENCES.items()):
        terminalreporter.write_line(f"{family:34} {engine:22} {value:.1e}")
