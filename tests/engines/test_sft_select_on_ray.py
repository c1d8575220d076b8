"""`prm-eval sft select --workers`: the same selection without Ray, with one worker and with two."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_pool import _ray, files, small_batches  # noqa: F401 (fixtures)

from prm_eval.cli import group

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: make test-engines")


def test_workers_choose_the_same_rows(tmp_path: Path, small_batches: None) -> None:  # noqa: F811
    """Every file of the selection is the same to the byte, whoever scored."""
    model, data = files(tmp_path)
    outputs = ("selected.jsonl", "selection.jsonl", "removed.jsonl", "scores.jsonl", "card.json", "CARD.md")
    found = []
    for name, options in (("alone", []), ("one", ["--workers", "1"]), ("two", ["--workers", "2"])):
        arguments = ["sft", "select", "--pool", str(data), "--no-decontaminate", "--top", "9", *options,
                     "--reward-model", f"qwen-prm:path={model}", "--out", str(tmp_path / name)]  # fmt: skip
        result = CliRunner().invoke(group, arguments)
        assert result.exit_code == 0, result.output
        found.append([(tmp_path / name / file).read_bytes() for file in outputs])
    assert found[0] == found[1] == found[2]
    scores = [
        json.loads(line)["score"] for line in (tmp_path / "two" / "scores.jsonl").read_text().splitlines()
    ]
    ranked = [
        json.loads(line)["score"] for line in (tmp_path / "two" / "selection.jsonl").read_text().splitlines()
    ]
    best = sorted((score for score in scores if score is not None), reverse=True)[:9]
    assert ranked == pytest.approx(best, rel=1e-5) and len(set(ranked)) > 1
