"""`prm-eval sft select --dry-run`: it tells what would be done, refuses what would fail, and leaves no trace."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import COSTLY, Done, candidate_rows, write_candidates

Shell = Callable[..., Done]
DRY = (
    "sft",
    "select",
    "--pool",
    "c.jsonl",
    "--plugin",
    "p.py",
    "--no-decontaminate",
    "--out",
    "run",
    "--dry-run",
)


@pytest.fixture
def sft(shell: Shell, tmp_path: Path) -> Shell:
    """Run commands in a folder with c.jsonl (24 rows) and a reward model that cannot be loaded."""
    (tmp_path / "p.py").write_text(COSTLY)
    return shell


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_it_tells_the_plan_and_leaves_nothing(sft: Shell, tmp_path: Path) -> None:
    """Rows are counted, columns and rules named, no model is built, and no file appears or changes."""
    (tmp_path / "held.jsonl").write_text(
        json.dumps({"problem_id": "h", "problem": "What?", "answer": "1"}) + "\n"
    )
    before = tree(tmp_path)
    done = sft(*[part for part in DRY if part != "--no-decontaminate"], "--decontaminate", "math500=held.jsonl",
               "--reward-model", "costly:size=3", "--top", "5", "--per-problem", "2", "--verified", "first")  # fmt: skip
    assert done.status == 0, done.err
    told = {line[:16].strip(): line[17:] for line in done.out.splitlines() if line[:16].strip()}
    assert told["pool"] == "c.jsonl: 24 rows"
    assert told["columns"] == "as in candidates.jsonl"
    assert told["decontamination"] == "math500: 1 questions"
    assert told["scores"].startswith("by costly:size=3 (the model's own aggregation)")
    assert told["order"] == "right answers first, then best, seed 0; the first 5"
    assert "--per-problem" in done.out
    assert told["output"] == "run: new"
    assert "GB free" in told["disk"]
    assert tree(tmp_path) == before


def test_it_sees_what_is_in_the_folder(sft: Shell, tmp_path: Path) -> None:
    """A finished selection is told, and stays to the byte."""
    assert sft(*DRY[:-1]).status == 0
    before = tree(tmp_path)
    done = sft(*DRY, "--json")
    told = json.loads(done.out)
    assert told["output"][0].startswith(
        "run: a finished selection of 24 rows; the same one leaves it as it is"
    )
    assert tree(tmp_path) == before


@pytest.mark.parametrize(("arguments", "message"), [
    (("--reward-model", "costlier"), "did you mean costly?"),
    (("--reward-model", "costly:sise=3"), "sise"),
    (("--preset", "limo"), "the preset 'limo' wants the column 'question'"),
    (("--pool", "bad.jsonl"), "bad.jsonl:1: field 'response' is missing: expected text"),
    (("--pool", "blank.jsonl"), "blank.jsonl: no rows in it"),
    (("--out", "c.jsonl/run"), "c.jsonl/run cannot be written"),
    (("--store", "c.jsonl/store", "--reward-model", "costly"), "c.jsonl cannot be written"),
    (("--by", "facility-location", "--top", "2", "--embedding-field", "e"), "c.jsonl:1: field 'e': expected an embedding"),
    (("--scores", "s.jsonl"), "s.jsonl:1: field 'index'"),
    (("--length-unit", "tokens", "--tokenizer", "."), "tokenizer.json is not there"),
])  # fmt: skip
def test_it_refuses_what_would_fail(
    sft: Shell, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """Names, options, first rows, files, folders: one line, status 2, nothing written."""
    rows: list[dict[str, Any]] = candidate_rows()
    del rows[0]["response"]
    write_candidates(tmp_path / "bad.jsonl", rows)
    (tmp_path / "blank.jsonl").write_text("\n\n")
    (tmp_path / "s.jsonl").write_text('{"problem_id": "p0", "model": "m", "score": 1}\n')
    before = tree(tmp_path)
    done = sft(*DRY, *arguments)
    assert done.status == 2
    (line,) = [text for text in done.err.splitlines() if text.startswith("prm-eval: error")]
    assert message in line
    assert tree(tmp_path) == before


def test_a_blank_pool_is_refused_by_the_selection_too(sft: Shell, tmp_path: Path) -> None:
    """A file of empty lines holds no row."""
    (tmp_path / "blank.jsonl").write_text("\n\n")
    done = sft("sft", "select", "--pool", "blank.jsonl", "--no-decontaminate", "--out", "run")
    assert (done.status, "prm-eval: error: blank.jsonl: no rows in it" in done.err) == (2, True)
