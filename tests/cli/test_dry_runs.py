"""`prm-eval best-of-n --dry-run` and `prm-eval judge --dry-run`: what would be done, and no trace of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import COSTLY, Done, write_candidates

Shell = Callable[..., Done]
GENERATE = ("best-of-n", "--task", "demo", "--model", "hf", "--model-args", "pretrained=nowhere", "--plugin", "p.py",
            "--dry-run")  # fmt: skip


@pytest.fixture
def dry(shell: Shell, tmp_path: Path) -> Callable[..., Done]:
    """Run a command, and see that the folder is as it was."""
    (tmp_path / "p.py").write_text(COSTLY)
    pair = {"id": "1", "subset": "s", "prompt": "Q?", "chosen": "right", "rejected": "wrong"}
    (tmp_path / "pairs.jsonl").write_text(
        "".join(json.dumps({**pair, "id": str(n)}) + "\n" for n in range(3))
    )
    write_candidates(tmp_path / "c.jsonl")

    def files() -> set[str]:
        return {str(path) for path in tmp_path.rglob("*") if "__pycache__" not in str(path)}

    def call(*arguments: str) -> Done:
        before = files()
        done = shell(*arguments)
        assert files() == before
        return done

    return call


def test_generation_is_counted_and_no_model_is_loaded(dry: Callable[..., Done]) -> None:
    """Problems, responses and sampling of a run whose policy and reward model cannot be loaded here."""
    done = dry(*GENERATE, "--n", "4", "--limit", "8", "--gen-kwargs", "temperature=0.5", "--reward-model",
               "costly:size=3", "--json")  # fmt: skip
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["task"] == "demo_gen: 8 problems, 4 responses each: 32 to generate"
    assert told["model"] == "hf (pretrained=nowhere), not loaded"
    assert "temperature=0.5" in told["sampling"] and "do_sample=True" in told["sampling"]
    assert told["reward models"] == "costly:size=3"


def test_stored_candidates_are_read(dry: Callable[..., Done]) -> None:
    """Every line is read as the run itself reads it."""
    done = dry("best-of-n", "--candidates", "c.jsonl", "--n", "2", "--dry-run", "--json")
    assert json.loads(done.out)["candidates"] == "12 of 6 problems"


def test_games_are_counted(dry: Callable[..., Done]) -> None:
    """Two games a pair in both orders, one otherwise; the judge is looked up, not built."""
    command = (
        "judge",
        "--pairs",
        "pairs.jsonl",
        "--judge",
        "costly",
        "--plugin",
        "p.py",
        "--dry-run",
        "--json",
    )
    assert "order random: at most 3 games" in json.loads(dry(*command).out)["pairs"]
    both = json.loads(dry(*command, "--both-orders").out)
    assert both["pairs"] == "pairs: 3, order both: at most 6 games a judge"
    assert both["run folder"] == "prm_eval_runs/judge-pairs"


@pytest.mark.parametrize(("arguments", "message"), [
    ((*GENERATE, "--task", "demmo"), "demmo"),
    ((*GENERATE, "--model", "hff"), "did you mean hf?"),
    ((*GENERATE, "--reward-model", "costly:sise=3"), "sise"),
    ((*GENERATE, "--strategy", "best_off_n"), "did you mean best_of_n?"),
    ((*GENERATE, "--gen-kwargs", "seed=3"), "the run's own seed"),
    ((*GENERATE, "--ray-address", "x"), "--ray-address says where"),
    (("judge", "--pairs", "pairs.jsonl", "--judge", "costli", "--plugin", "p.py", "--dry-run"), "costly"),
    (("judge", "--pairs", "p.py", "--judge", "costly", "--plugin", "p.py", "--dry-run"), "p.py:"),
])  # fmt: skip
def test_mistakes(dry: Callable[..., Done], arguments: tuple[str, ...], message: str) -> None:
    """What the run would refuse is refused: one line, status 2."""
    done = dry(*arguments)
    assert done.status == 2
    (line,) = [text for text in done.err.splitlines() if text.startswith("prm-eval: error")]
    assert message in line
