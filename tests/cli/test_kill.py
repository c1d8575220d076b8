"""A run that is killed in the middle of scoring, and started again, ends with the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .conftest import candidate_rows, write_candidates

PLUGIN = """
import os, time
from prm_eval.hooks import hookimpl
from prm_eval.testing import FakeRewardModel


class Slow(FakeRewardModel):
    def score(self, candidates):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        return super().score(candidates)


@hookimpl
def prm_eval_reward_models():
    return {"slow": Slow}
"""
COMMAND = [
    str(Path(sys.executable).parent / "prm-eval"), "best-of-n", "--candidates", "c.jsonl", "--plugin", "p.py",
    "--reward-model", "slow", "--out",
]  # fmt: skip


def results(folder: Path) -> dict[str, Any]:
    """results.json without the two parts of a cost that may differ."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    for cost in found["cost"].values():
        del cost["seconds"]
        cost.pop("peak_memory_bytes", None)
    return found


def test_sigkill_in_the_middle_of_scoring(tmp_path: Path) -> None:
    """scores.jsonl is byte-identical and results.json equal, times aside, to an undisturbed run's."""
    (tmp_path / "p.py").write_text(PLUGIN)
    write_candidates(tmp_path / "c.jsonl", candidate_rows(problems=300, n=4))
    subprocess.run([*COMMAND, "whole"], cwd=tmp_path, check=True, capture_output=True)
    slow = subprocess.Popen(
        [*COMMAND, "killed"], cwd=tmp_path, env={**os.environ, "PAUSE": "1"}, stderr=subprocess.PIPE
    )
    store, deadline = tmp_path / "killed" / "store.jsonl", time.monotonic() + 120
    while not (store.exists() and store.read_bytes().count(b"\n") >= 2):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(slow.pid, signal.SIGKILL)
    slow.communicate()
    assert not (tmp_path / "killed" / "scores.jsonl").exists()
    with store.open("ab") as file:
        file.write(b'{"cost": {"seconds": 1.0}, "done": [{"key": "torn')  # as if killed while writing
    again = subprocess.run([*COMMAND, "killed"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "torn last line" in again.stderr
    for name in ("scores.jsonl", "grades.jsonl", "selections.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert results(tmp_path / "killed") == results(tmp_path / "whole")


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    """An interrupted run ends with 130 and one line that says how to continue; what was done is kept."""
    (tmp_path / "p.py").write_text(PLUGIN)
    write_candidates(tmp_path / "c.jsonl", candidate_rows(problems=300, n=4))
    slow = subprocess.Popen(
        [*COMMAND, "run"], cwd=tmp_path, env={**os.environ, "PAUSE": "1"}, stderr=subprocess.PIPE, text=True,
        # a job in the background of a script ignores Ctrl-C, and hands that on to what it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    store, deadline = tmp_path / "run" / "store.jsonl", time.monotonic() + 120
    while not (store.exists() and store.read_bytes().endswith(b"\n")):  # it is created empty
        assert time.monotonic() < deadline
        time.sleep(0.02)
    slow.send_signal(signal.SIGINT)
    _, said = slow.communicate(timeout=60)
    assert slow.returncode == 130
    assert "run the same command again and it goes on from here" in said
    assert "Traceback" not in said
    assert store.read_bytes().endswith(b"\n")
