"""`prm-replay`: stored responses through lm-eval."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness_support import evaluate, problems, write_jsonl

from prm_eval.errors import UsageError
from prm_eval.harness.replay import Replay
from prm_eval.harness.tasks import task_file

N = 16


def stored(count: int, n: int = N) -> list[dict[str, Any]]:
    """Candidates lines, the indices backwards, so that the order of the file is no help."""
    return [
        {**doc, "index": k, "response": f"{doc['problem_id']} response {k}"}
        for doc in problems(count)
        for k in reversed(range(n))
    ]


def run(tmp_path: Path, rows: list[dict[str, Any]], count: int = 4, **options: Any) -> dict[str, list[str]]:
    """What lm-eval got for every problem."""
    data = write_jsonl(tmp_path / "data.jsonl", problems(count))
    model = Replay(str(write_jsonl(tmp_path / "candidates.jsonl", rows)))
    results = evaluate(model, "math500_gen", predict_only=True, metadata={"data": str(data)}, **options)
    return {s["doc"]["problem_id"]: s["resps"][0] for s in results["samples"]["math500_gen"]}


def test_kth_response_for_kth_repeat(tmp_path: Path) -> None:
    """Every repeat gets the response of its index."""
    found = run(tmp_path, stored(4))
    assert found == {f"sum/{i}": [f"sum/{i} response {k}" for k in range(N)] for i in range(4)}


def test_prompt_is_no_matter(tmp_path: Path) -> None:
    """A chat template and a system text change the prompt and not what is replayed."""
    plain = run(tmp_path, stored(4))
    assert run(tmp_path, stored(4), apply_chat_template=True, system_instruction="Be brief.") == plain


def test_unsorted_samples(tmp_path: Path) -> None:
    """With unsorted --samples, which swaps doc_id, responses still belong to their problem."""
    found = run(tmp_path, stored(4), samples={"math500_gen": [3, 1]})
    assert found == {f"sum/{i}": [f"sum/{i} response {k}" for k in range(N)] for i in (1, 3)}


def test_missing_problem(tmp_path: Path) -> None:
    """A problem that is not stored stops the run and is shown."""
    with pytest.raises(UsageError, match=r"begins 'sum/3' has no responses|What is 3 \+ 4\? has no"):
        run(tmp_path, stored(3))


def test_too_few_responses(tmp_path: Path) -> None:
    """Fewer stored responses than repeats is an error that says what to do."""
    with pytest.raises(UsageError, match=r"has 3 responses in .* repeats 16 times: set PRM_EVAL_N=3, or"):
        run(tmp_path, stored(4, n=3))


def test_one_text_under_two_ids(tmp_path: Path) -> None:
    """Two problems of one text are told apart by the document's id."""
    rows = stored(4) + [{**row, "problem_id": "other", "response": "wrong"} for row in stored(1)]
    assert run(tmp_path, rows)["sum/0"] == [f"sum/0 response {k}" for k in range(N)]


def test_no_file() -> None:
    """A pattern that fits no file is refused at once."""
    with pytest.raises(UsageError, match="no file fits"):
        Replay("nowhere-*.jsonl")


def test_built_in_models_stay_known() -> None:
    """Registering ours first does not hide lm-eval's own models."""
    code = (
        "import prm_eval.harness.replay; from lm_eval.api.registry import get_model;"
        "assert get_model('prm-replay').__name__ == 'Replay'; assert get_model('dummy')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_plain_lm_eval_command(tmp_path: Path) -> None:
    """`lm_eval run --model prm-replay --tasks FILE` works on the released version, by the task's path."""
    data = write_jsonl(tmp_path / "data.jsonl", problems(2))
    candidates = write_jsonl(tmp_path / "candidates.jsonl", stored(2))
    command = [
        sys.executable, "-m", "lm_eval", "run", "--model", "prm-replay",
        "--model_args", f"candidates={candidates}", "--tasks", str(task_file("math500_bon")),
        "--metadata", f"data={data}", "--output_path", str(tmp_path / "out"), "--log_samples",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "mean@1" in done.stdout
    assert "maj@16" in done.stdout
    assert len(list((tmp_path / "prm_eval_runs" / "math500_bon").glob("*/candidates.jsonl"))) == 1
