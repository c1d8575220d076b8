"""One candidate file, `prm-eval score`, every engine: the same scores.jsonl.

Needs vLLM and Ray in one environment: `make test-engines`.
"""

import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from heads import SIZES, Report, candidates
from serving import serving
from tiny_checkpoint import save_checkpoint

from prm_eval.candidates import candidate_row
from prm_eval.cli import group
from prm_eval.engines.route import route
from prm_eval.readout import Tokens
from prm_eval.readout.checkpoint import Checkpoint
from prm_eval.readout.families import StepHead
from prm_eval.records import write_rows

pytestmark = pytest.mark.skipif(
    find_spec("vllm") is None or find_spec("ray") is None, reason="vLLM and Ray: make test-engines"
)
LIMIT = 400


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen PRM in the layout of its release."""
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(folder, seed=11, architectures=["Qwen2ForProcessRewardModel"], **SIZES)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty candidates, one that is too long, and an empty one."""
    path = tmp_path_factory.mktemp("data") / "candidates.jsonl"
    rows: list[dict[str, Any]] = [candidate_row(one) for one in candidates(40)]
    rows.append({**rows[0], "index": 40, "response": "x + 1\n\n" * 200})
    rows.append({**rows[0], "index": 41, "response": ""})
    write_rows(path, rows)
    return path


def scores(model: Path, data: Path, options: str = "", *more: str) -> list[dict[str, Any]]:
    """The rows of scores.jsonl, without what names the model."""
    out = data.parent / f"scores-{len(list(data.parent.iterdir()))}.jsonl"
    reference = f"qwen-prm:path={model},max_tokens={LIMIT}{options}"
    words = ["score", "--candidates", str(data), "--reward-model", reference, "--out", str(out), *more]
    done = CliRunner().invoke(group, words)
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in ("model", "key")} for row in rows]


def difference(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> float:
    """The largest difference of a number; everything that is no score must be equal."""
    largest = 0.0
    for one, other in zip(ours, theirs, strict=True):
        numbers = [[row["score"], *(row["steps"] or [])] for row in (one, other)]
        kept = [{**row, "score": None, "steps": None} for row in (one, other)]
        assert kept[0] == kept[1]
        assert len(numbers[0]) == len(numbers[1])
        if one["unscored"] is None:
            largest = max(largest, *(abs(a - b) for a, b in zip(*numbers, strict=True)))
    return largest


def test_every_engine_gives_the_same_file(
    model: Path, data: Path, report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """torch, vLLM, a vLLM server and two Ray workers: the same rows and reasons, scores within 1e-4."""
    monkeypatch.setenv("PRM_EVAL_CACHE", str(tmp_path))
    ours = scores(model, data)
    assert [row["unscored"] for row in ours[40:]] == [
        ours[40]["unscored"], "empty response",
    ]  # fmt: skip
    assert ours[40]["unscored"].startswith("too long: ")
    assert len({row["score"] for row in ours[:40]}) > 20
    assert all(math.isfinite(row["score"]) for row in ours[:40])
    assert scores(model, data, "", "--workers", "2") == ours
    one_by_one = difference(ours, scores(model, data, ",batch_tokens=1"))
    in_process = difference(ours, scores(model, data, ",engine=vllm"))
    head = StepHead(Tokens(model), "qwen", "Be exact.").head
    with serving(route(Checkpoint(model, str(model), None), head).command()) as url:
        served = difference(ours, scores(model, data, f",engine=server,url={url}"))
    for engine, largest in (("torch, one by one", one_by_one), ("vllm", in_process), ("server", served)):
        report("prm-eval score, one file", engine, largest)
    assert one_by_one < 1e-6
    assert max(in_process, served) < 1e-4
