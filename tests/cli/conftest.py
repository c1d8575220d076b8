"""Commands run in this process, as a shell would run them, in an empty folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prm_eval.cli import run

PLUGIN = """
from prm_eval.hooks import hookimpl
from prm_eval.testing import FakeRewardModel
from prm_eval.types import Score, Unscored


class Short(FakeRewardModel):
    def score(self, candidates):
        return super().score(candidates)[:-1]


class Raising(FakeRewardModel):
    def score(self, candidates):
        raise RuntimeError("out of order")


class Gold:
    "Knows the right answer."

    def score(self, candidates):
        return [Score(float(f"boxed{{{c.problem.answer}}}" in c.text)) for c in candidates]


@hookimpl
def prm_eval_reward_models():
    return {"fake": FakeRewardModel, "short": Short, "raising": Raising, "gold": Gold}
"""


COSTLY = """
from prm_eval.hooks import hookimpl


class Costly:
    "Cannot be built here."

    def __init__(self, size: int = 7):
        raise RuntimeError("no GPU")


@hookimpl
def prm_eval_reward_models():
    return {"costly": Costly}
"""


class Done(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run `prm-eval` with these arguments in an empty folder that holds plugin.py and c.jsonl."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    write_candidates(tmp_path / "c.jsonl")

    def call(*arguments: str) -> Done:
        status = run(list(arguments))
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return call


def candidate_rows(problems: int = 6, n: int = 4) -> list[dict[str, Any]]:
    """Sums, of which response i to problem p is right when (p + i) is even; all texts differ."""
    rows = []
    for p in range(problems):
        for i in range(n):
            answer = 2 * p + ((p + i) % 2) * (i + 1)
            text = f"{p} + {p} = {answer}, I say for the {i}th time.\n\n\\boxed{{{answer}}}"
            rows.append({"problem_id": f"p{p}", "problem": f"What is {p} + {p}?", "answer": str(2 * p), "index": i,
                         "response": text})  # fmt: skip
    return rows


def write_candidates(path: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    """A candidates file of these rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in (candidate_rows() if rows is None else rows)))
    return path
