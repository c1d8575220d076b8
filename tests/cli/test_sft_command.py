"""`prm-eval sft select` as a user runs it: what it says, what it writes, how it fails, how it goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Done, candidate_rows, write_candidates

Shell = Callable[..., Done]
DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
RECORDED = pytest.mark.skipif(not DATA.is_dir(), reason="no recorded data in ../shared/data")
PLUGIN = """
import os, time
from prm_eval.hooks import hookimpl
from prm_eval.testing import FakeRewardModel
from prm_eval.types import Score, Unscored


class Slow(FakeRewardModel):
    def score(self, candidates):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        return super().score(candidates)


class Half(FakeRewardModel):
    "Scores every other index."

    def score(self, candidates):
        return [Score(c.index / 10) if c.index % 2 else Unscored("odd one out: for a test") for c in candidates]


@hookimpl
def prm_eval_reward_models():
    return {"slow": Slow, "half": Half}
"""
POOL = ("sft", "select", "--pool", "c.jsonl", "--plugin", "p.py")
CLEAN = (*POOL, "--no-decontaminate")


@pytest.fixture
def sft(shell: Shell, tmp_path: Path) -> Shell:
    """Run commands in a folder with c.jsonl (24 rows) and p.py."""
    (tmp_path / "p.py").write_text(PLUGIN)
    return shell


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@RECORDED
def test_evaluation_problems_are_all_removed(
    sft: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded responses to MATH-500 are contaminated to the last row, which is said in one line and listed."""
    monkeypatch.setenv("PRM_EVAL_DATA_MATH500", str(DATA / "math500.jsonl"))
    done = sft("sft", "select", "--pool", str(DATA / "math500-candidates.jsonl"), "--decontaminate", "math500",
               "--out", "run")  # fmt: skip
    assert done.status == 2
    said = (
        "prm-eval: error: no row is left of 1,500; removed by decontamination 1,500: see run/removed.jsonl\n"
    )
    assert done.err == said
    lines = read(tmp_path / "run" / "removed.jsonl")
    assert len(lines) == 1500
    for line in lines:
        assert (line["rule"], line["evaluation_set"]) == ("contaminated", "math500")
    assert (
        sum(line["evaluation_id"] == line["problem_id"] for line in lines) >= 1490
    )  # some problems are twins
    problems = {row["problem"] for row in read(DATA / "math500.jsonl") if len(row["problem"]) > 40}
    text = (tmp_path / "run" / "removed.jsonl").read_text()
    assert not any(problem in text for problem in problems)


def test_a_pool_that_is_all_contaminated(sft: Shell, tmp_path: Path) -> None:
    """Nothing is left, which is said with the count; removed.jsonl names every row and the question it holds."""
    held = [{"problem_id": f"h{n}", "problem": f"What is {n} + {n}?", "answer": "1"} for n in range(6)]
    (tmp_path / "held.jsonl").write_text("".join(json.dumps(line) + "\n" for line in held))
    done = sft(*POOL, "--decontaminate", "math500=held.jsonl", "--reward-model", "slow", "--out", "run")
    assert done.status == 2
    assert "prm-eval: error: no row is left of 24; removed by decontamination 24: see" in done.err
    lines = read(tmp_path / "run" / "removed.jsonl")
    assert [line["evaluation_id"] for line in lines] == [f"h{line['problem_id'][1:]}" for line in lines]
    assert len(lines) == 24 and not (tmp_path / "run" / "selected.jsonl").exists()


@RECORDED
def test_recorded_scores_choose_the_highest(sft: Shell, tmp_path: Path) -> None:
    """The fifty highest recorded means, by a plain sort of the scores file; twice the same bytes."""
    arguments = ("sft", "select", "--pool", str(DATA / "math500-candidates.jsonl"), "--no-decontaminate",
                 "--scores", str(DATA / "math500-gemma-scores.jsonl"), "--top", "50")  # fmt: skip
    assert sft(*arguments, "--out", "a").status == 0
    assert sft(*arguments, "--out", "b").status == 0
    recorded = read(DATA / "math500-gemma-scores.jsonl")
    empty = {
        (r["problem_id"], r["index"])
        for r in read(DATA / "math500-candidates.jsonl")
        if not r["response"].strip()
    }
    scores = {(r["problem_id"], r["index"]): r["score"] for r in recorded if r["score"] is not None}
    best = sorted((score for name, score in scores.items() if name not in empty), reverse=True)[:50]
    assert [line["score"] for line in read(tmp_path / "a" / "selection.jsonl")] == best
    for line in read(tmp_path / "a" / "selection.jsonl"):
        assert scores[line["problem_id"], line["index"]] == line["score"]
    for name in ("selected.jsonl", "selection.jsonl", "removed.jsonl", "card.json", "CARD.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_demo_model_in_any_batches(sft: Shell, tmp_path: Path) -> None:
    """The embedded reward model chooses the same rows whatever its batches hold."""
    pytest.importorskip("torch")
    write_candidates(tmp_path / "c.jsonl", candidate_rows(problems=4, n=4))
    for name, option in (("a", ""), ("b", ":batch_tokens=64"), ("c", ":batch_tokens=4096")):
        done = sft("sft", "select", "--pool", "c.jsonl", "--no-decontaminate", "--reward-model", f"demo-prm{option}",
                   "--top", "6", "--out", name)  # fmt: skip
        assert done.status == 0, done.err
    first = (tmp_path / "a" / "selected.jsonl").read_bytes()
    assert (
        first
        == (tmp_path / "b" / "selected.jsonl").read_bytes()
        == (tmp_path / "c" / "selected.jsonl").read_bytes()
    )


def test_unscored_rows_are_counted_and_never_chosen(sft: Shell, tmp_path: Path) -> None:
    """Rows that the model leaves out are listed with its reason, told, and end the run with 1 when too many."""
    done = sft(*CLEAN, "--reward-model", "half", "--out", "run")
    assert done.status == 0
    assert "12 unscored: odd one out" in done.err
    assert [line["index"] % 2 for line in read(tmp_path / "run" / "selection.jsonl")] == [1] * 12
    reasons = {line["reason"] for line in read(tmp_path / "run" / "removed.jsonl")}
    assert reasons == {"odd one out: for a test"}
    assert sft(*CLEAN, "--reward-model", "half", "--out", "again", "--max-unscored", "11").status == 1
    done = sft(*CLEAN, "--reward-model", "half", "--out", "more", "--top", "13")
    assert done.status == 2
    assert "--top 13, but only 12 rows are left of 24; removed by unscored 12" in done.err


def test_scores_file_serves_another_run(sft: Shell, tmp_path: Path) -> None:
    """scores.jsonl of a run, given back with --scores, chooses the same rows without the model."""
    assert sft(*CLEAN, "--reward-model", "slow", "--top", "5", "--out", "a").status == 0
    assert sft(*CLEAN, "--scores", "a/scores.jsonl", "--top", "5", "--out", "b").status == 0
    assert (tmp_path / "a" / "selected.jsonl").read_bytes() == (
        tmp_path / "b" / "selected.jsonl"
    ).read_bytes()


def test_a_shared_store_scores_once(sft: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another selection with the same --store calls no model: one that fails now changes nothing."""
    shared = (*CLEAN, "--reward-model", "slow", "--store", "shared.sqlite")
    assert sft(*shared, "--top", "5", "--out", "a").status == 0
    monkeypatch.setenv("PAUSE", "not a number")  # the model would raise, and its rows be unscored
    assert sft(*shared, "--top", "7", "--out", "b").status == 0
    first, more = (read(tmp_path / name / "selection.jsonl") for name in "ab")
    assert more[:5] == first
    assert sft(*shared[:-2], "--top", "5", "--out", "c").status == 2


def test_retry_unscored(sft: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a broken model left unscored is scored by the same command with --retry-unscored, not without."""
    command = (*CLEAN, "--reward-model", "slow", "--out", "run", "--top", "3")
    monkeypatch.setenv("PAUSE", "not a number")
    assert "unscored 24" in sft(*command).err
    monkeypatch.setenv("PAUSE", "0")
    assert "unscored 24" in sft(*command).err
    assert sft(*command, "--retry-unscored").status == 0


def test_formats(sft: Shell, tmp_path: Path) -> None:
    """The same rows as TRL conversations, ShareGPT, candidates, and as they were."""
    rows = candidate_rows()
    for form in ("messages", "sharegpt", "candidates", "input"):
        assert sft(*CLEAN, "--limit", "2", "--format", form, "--out", form).status == 0
    texts = [(row["problem"], row["response"]) for row in rows[:2]]
    assert read(tmp_path / "messages" / "selected.jsonl") == [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": r}]} for q, r in texts
    ]
    assert read(tmp_path / "sharegpt" / "selected.jsonl") == [
        {"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": r}]} for q, r in texts
    ]
    assert (tmp_path / "input" / "selected.jsonl").read_text().splitlines() == \
        (tmp_path / "c.jsonl").read_text().splitlines()[:2]  # fmt: skip
    written = sft(
        "sft", "select", "--pool", "candidates/selected.jsonl", "--no-decontaminate", "--out", "round"
    )
    assert written.status == 0
    assert [(r["problem"], r["response"]) for r in read(tmp_path / "candidates" / "selected.jsonl")] == texts


def test_parquet_in_and_out(sft: Shell, tmp_path: Path) -> None:
    """A Parquet pool in the input's own format comes out as Parquet with the same columns and types."""
    import pyarrow
    import pyarrow.parquet

    rows = [{"q": f"What is {n}?", "r": f"It is {n}.", "n": n, "tags": ["a", "b"]} for n in range(5)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "p.parquet")
    done = sft("sft", "select", "--pool", "p.parquet", "--no-decontaminate", "--prompt-field", "q", "--response-field",
               "r", "--top", "3", "--format", "input", "--out", "run")  # fmt: skip
    assert done.status == 0, done.err
    table = pyarrow.parquet.read_table(tmp_path / "run" / "selected.parquet")
    assert table.schema == pyarrow.parquet.read_schema(tmp_path / "p.parquet")
    assert table.to_pylist() == rows[:3]


def test_verified_only_grades(sft: Shell, tmp_path: Path) -> None:
    """Rows whose boxed answer is the gold one stay: in these pools, those with an even sum of indices."""
    assert sft(*CLEAN, "--verified", "only", "--out", "run").status == 0
    kept = [(line["problem_id"], line["index"]) for line in read(tmp_path / "run" / "selection.jsonl")]
    assert kept == [(f"p{p}", i) for p in range(6) for i in range(4) if (p + i) % 2 == 0]


def test_json_and_config(sft: Shell, tmp_path: Path) -> None:
    """--json prints the card alone; the manifest repeats the selection to the byte."""
    done = sft(*CLEAN, "--reward-model", "slow", "--top", "5", "--seed", "3", "--out", "a", "--json")
    assert json.loads(done.out) == json.loads((tmp_path / "a" / "card.json").read_text())
    again = sft("sft", "select", "--config", "a/manifest.json", "--out", "b")
    assert again.status == 0, again.err
    assert (tmp_path / "a" / "card.json").read_bytes() == (tmp_path / "b" / "card.json").read_bytes()


def test_decontamination_is_on_by_default(
    sft: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a word all five sets are checked; one that cannot be had is an error that says the ways out."""
    for name in ("MATH500", "GPQA_DIAMOND", "GPQA_MAIN", "AIME24"):
        question = {"problem_id": name, "problem": "What is 1 + 1?", "answer": "A"}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(question) + "\n")
        monkeypatch.setenv(f"PRM_EVAL_DATA_{name}", f"{name}.jsonl")
    monkeypatch.setenv("PRM_EVAL_DATA_AIME25", "missing.jsonl")
    done = sft(*POOL, "--out", "run")
    assert done.status == 2
    assert "decontamination against aime25 is not possible" in done.err
    assert "--decontaminate aime25=FILE" in done.err and "--no-decontaminate" in done.err
    monkeypatch.setenv("PRM_EVAL_DATA_AIME25", "AIME24.jsonl")
    done = sft(*POOL, "--out", "run")
    assert done.status == 0
    assert re.search(r"^decontamination +-4 +20$", done.out, re.MULTILINE)
    assert {line["problem_id"] for line in read(tmp_path / "run" / "removed.jsonl")} == {"p1"}


@pytest.mark.parametrize(("arguments", "message"), [
    (("--pool", "no.jsonl"), "--pool no.jsonl: no such file"),
    (("--preset", "s1"), "'s1' is not one of 'candidates', 'messages'"),
    (("--preset", "limo"), "wants the column 'question'; there are answer, index, problem"),
    (("--source-field", "origin"), "--source-field origin: no such column; there are answer, index"),
    (("--top", "25"), "--top 25, but only 24 rows are left of 24; removed by nothing"),
    (("--by", "best"), "--by best needs --reward-model or --scores"),
    (("--by", "random", "--reward-model", "slow"), "--by random looks at no score"),
    (("--reward-model", "slow", "--scores", "c.jsonl"), "give one of the two"),
    (("--decontaminate", "math500"), "--decontaminate and --no-decontaminate: give one of the two"),
    (("--per-source", "1"), "--per-source needs --source-field"),
    (("--min-distance", "0.1"), "--min-distance needs --embedding-field"),
    (("--embedding-field", "e"), "--embedding-field is for --min-distance and --by facility-location"),
    (("--by", "facility-location", "--embedding-field", "e"), "--by facility-location needs --top"),
    (("--by", "facility-location", "--top", "2"), "--by facility-location needs --embedding-field"),
    (("--by", "facility-location", "--top", "2", "--embedding-field", "e", "--score-weight", "0.5"),
     "--score-weight needs --reward-model or --scores"),
    (("--by", "facility-location", "--top", "2", "--embedding-field", "e", "--reward-model", "slow"),
     "--by facility-location looks at no score: leave --reward-model and --scores out, or give --min-score or"),
    (("--by", "facility-location", "--top", "2", "--embedding-field", "e"),
     "c.jsonl:1: field 'e': expected an embedding, a list of numbers"),
    (("--score-weight", "0.5"), "--score-weight is for --by facility-location: give that"),
    (("--min-length", "5", "--max-length", "4"), "--min-length 5 is above --max-length 4"),
    (("--length-unit", "tokens"), "needs --tokenizer FOLDER"),
    (("--tokenizer", "."), "--tokenizer counts tokens"),
    (("--contamination-threshold", "2"), "write any, or a share such as 0.5"),
    (("--reward-model", "slower"), "did you mean slow?"),
    (("--reward-model", "slow", "--aggregation", "las"), "did you mean last?"),
    (("--scores", "s.jsonl"), "--scores holds m, n: name one of them with --score-model"),
    (("--scores", "s.jsonl", "--score-model", "k"), "the files score with m, n"),
    (("--scores", "t.jsonl"), "t.jsonl:2: 'm' scores problem_id 'p0' index 0 twice"),
    (("--scores", "u.jsonl"), "u.jsonl:1: the score is null: name an --aggregation"),
])  # fmt: skip
def test_mistakes_are_one_line(sft: Shell, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """What cannot be done ends with 2 and one line that says what and how."""
    line = {"problem_id": "p0", "index": 0, "model": "m", "score": 0.5}
    (tmp_path / "s.jsonl").write_text("\n".join(json.dumps({**line, "model": m}) for m in "mn"))
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(line) for _ in range(2)))
    (tmp_path / "u.jsonl").write_text(json.dumps({**line, "score": None, "steps": [0.5]}))
    done = sft(*CLEAN, "--out", "run", *arguments)
    assert done.status == 2
    errors = [text for text in done.err.splitlines() if text.startswith("prm-eval: error")]
    assert len(errors) == 1 and message in errors[0]
    assert "Traceback" not in done.err
    assert not (tmp_path / "run" / "selected.jsonl").exists()


def test_a_row_without_a_response(sft: Shell, tmp_path: Path) -> None:
    """It is an error with file and line; the pool put right is chosen from in the same folder."""
    rows = candidate_rows()
    del rows[7]["response"]
    write_candidates(tmp_path / "c.jsonl", rows)
    done = sft(*CLEAN, "--out", "run")
    assert (done.status, "c.jsonl:8: field 'response' is missing: expected text" in done.err) == (2, True)
    write_candidates(tmp_path / "c.jsonl")
    done = sft(*CLEAN, "--out", "run")
    assert (done.status, "an unfinished selection (other pool) gives way" in done.err) == (0, True)
    assert len(read(tmp_path / "run" / "selected.jsonl")) == 24


def test_kill_in_the_middle_and_go_on(tmp_path: Path) -> None:
    """SIGKILL while a chunk is scored, the same command again: every file as if nothing had happened."""
    (tmp_path / "p.py").write_text(PLUGIN)
    write_candidates(tmp_path / "c.jsonl", candidate_rows(problems=800, n=4))
    command = [
        str(Path(sys.executable).parent / "prm-eval"),
        *CLEAN,
        "--reward-model",
        "slow",
        "--top",
        "50",
        "--out",
    ]
    subprocess.run([*command, "whole"], cwd=tmp_path, check=True, capture_output=True)
    slow = subprocess.Popen(
        [*command, "killed"], cwd=tmp_path, env={**os.environ, "PAUSE": "0.4"}, stderr=subprocess.PIPE
    )
    index, deadline = tmp_path / "killed" / "work" / "index.sqlite", time.monotonic() + 120
    while not (index.exists() and index.stat().st_size > 200_000):  # the first chunk is in
        assert time.monotonic() < deadline and slow.poll() is None
        time.sleep(0.02)
    os.kill(slow.pid, signal.SIGKILL)
    slow.communicate()
    assert not (tmp_path / "killed" / "selected.jsonl").exists()
    subprocess.run([*command, "killed"], cwd=tmp_path, check=True, capture_output=True)
    for name in (
        "selected.jsonl",
        "selection.jsonl",
        "removed.jsonl",
        "scores.jsonl",
        "card.json",
        "CARD.md",
    ):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
