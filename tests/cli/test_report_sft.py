"""`prm-eval report` on folders of SFT: a selection, a training, the table of trained models."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prm_eval.pages import read_run
from prm_eval.pages.verdict import verdict

from .conftest import Done, candidate_rows, write_candidates
from .test_report_command import read

Shell = Callable[..., Done]


@pytest.fixture
def chosen(shell: Shell) -> Shell:
    """A folder `chosen`: 20 rows of 96, of which those to problem 3 are contaminated."""
    write_candidates(Path("c.jsonl"), [{**row, "problem": f"How much are {row['problem_id']} and the very same number once again?"}
                                       for row in candidate_rows(problems=24)])  # fmt: skip
    question = {
        "problem": "How much are p3 and the very same number once again?",
        "answer": "6",
        "problem_id": "e",
    }
    Path("eval.jsonl").write_text(json.dumps(question) + "\n")
    done = shell("sft", "select", "--pool", "c.jsonl", "--decontaminate", "math500=eval.jsonl", "--plugin", "plugin.py",
                 "--reward-model", "gold", "--top", "20", "--contamination-threshold", "0.9", "--out", "chosen")  # fmt: skip
    assert done.status == 0, done.err
    return shell


def rows_of(words: list[str], first: str, width: int) -> list[str]:
    """The cells of the first table row that begins with this cell."""
    at = words.index(first)
    return [word for word in words[at:] if word][:width]


def test_a_selection_has_its_page(chosen: Shell) -> None:
    """Every stage with its counts, the rule, the histogram, the sets and the hashes of the card stand there."""
    done = chosen("report", "chosen", "--out", "page.html")
    assert done.status == 0, done.err
    words = read("page.html").words
    card = json.loads(Path("chosen/card.json").read_text())
    for stage in card["stages"]:
        told = (
            f"−{stage['removed']:,}, {stage['left']:,} left"
            if stage["removed"]
            else f"{stage['left']:,} left"
        )
        assert told in words
    assert card["stages"][1] == {"stage": "decontamination", "removed": 4, "left": 92}
    assert "gold: scores of the pool and of the chosen rows" in words
    assert "20 chosen rows, up" in words and "92 scored rows of the pool, down" in words
    # the chosen rows all have the highest score, 1; of the pool 48 - 2 right ones do
    assert "chosen: 100.0% between 0.95 and 1" in words and "pool: 50.0% between 0.95 and 1" in words
    assert rows_of(words, "math500", 3) == ["math500", "1", "4"]
    assert card["output"]["sha256"] in words and card["pool"][0]["sha256"] in words
    assert "20 of 96 rows" in words
    assert "no verdict" not in words and verdict(read_run(Path("chosen"))) is None


def test_a_selection_without_decontamination_is_warned_of(shell: Shell) -> None:
    """Nothing decontaminated, rows left unscored: both are warnings; no scores, no histogram."""
    done = shell(
        "sft",
        "select",
        "--pool",
        "c.jsonl",
        "--no-decontaminate",
        "--by",
        "random",
        "--top",
        "5",
        "--out",
        "r",
    )
    assert done.status == 0 and shell("report", "r").status == 0
    words = read("r/report.html").words
    assert any("nothing was decontaminated" in word for word in words)
    assert not any("scores of the pool" in word for word in words)


def training(folder: Path, losses: list[float], **more: Any) -> Path:
    """A training's folder as `sft train` leaves it, as far as a page reads it."""
    folder.mkdir()
    manifest = {
        "schema": "prm-eval/train-manifest/1", "options": {"data": "chosen", "model": "tiny/policy"}, "rows": 1000,
        "recipe": {"learning_rate": 1e-5, "batch_size": 16}, "selection": {"by": "best", "reward_model": "gold"},
        "tokens": {"read": 123456, "trained_on": 100000, "longest_row": 4096}, "loss_mask": "assistant",
        "batch": {"effective": 16}, "steps_per_epoch": 63, "steps": 189, "epochs": 3.0, "final_loss": losses[-1],
        "left_out": {"count": 2, "lines": [3, 9]}, "data": {"sha256": "abc"}, "cost": {"seconds": 12.5}, **more,
    }  # fmt: skip
    (folder / "train_manifest.json").write_text(json.dumps(manifest))
    curve = [{"step": at, "epoch": at / 63, "loss": loss} for at, loss in enumerate(losses, start=1)]
    (folder / "loss.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curve))
    return folder


def test_a_training_has_its_page(shell: Shell) -> None:
    """Rows, tokens, recipe and the loss at every step; rows that were left out are warned of."""
    training(Path("m"), [2.5, 1.5, 0.75])
    assert shell("report", "m").status == 0
    words = read("m/report.html").words
    assert "123,456, of them trained on 100,000" in words
    assert "189 = 63 an epoch × 3 epochs" in words
    assert "2.5000 at step 1, 0.7500 at step 3." in words
    assert "2 rows were left out as too long" in " ".join(words)
    assert rows_of(words, "learning_rate", 2) == ["learning_rate", "1e-05"]


def test_a_training_that_is_not_finished(shell: Shell) -> None:
    """The curve so far is shown, and it is said that the training is not done."""
    training(Path("m"), [2.5, 1.5])
    Path("m/train_manifest.json").unlink()
    assert shell("report", "m").status == 0
    words = read("m/report.html").words
    assert any("the training is not finished" in word for word in words)
    assert "2.5000 at step 1, 1.5000 at step 2." in words


def collected(folder: str, **changes: Any) -> list[dict[str, Any]]:
    """Six trained models of one policy and task, in a folder as `sft collect` writes it."""
    cells = [("prm-7b", "prm-7b", 1000, 0.83), ("prm-7b", "prm-7b", 5000, 0.88), ("big-72b", "big-72b", 1000, 0.80),
             ("mystery", "mystery", 1000, 0.75), ("all", None, 59_000, 0.79), ("s1k", None, 1000, 0.78)]  # fmt: skip
    rows = [
        {"metric": "accuracy", "task": "math500", "policy": "Qwen/tiny", "selector": name, "train_samples": n,
         "value": v, "ci": [v - 0.03, v + 0.03], "seeds": 1, "n_problems": 500, "coverage": 1.0, "exact": True,
         **({"reward_model": model} if model else {}), **changes}
        for name, model, n, v in cells
    ]  # fmt: skip
    Path(folder).mkdir()
    results = {"schema": "prm-eval/results/1", "task": "math500", "metrics": rows, "comparisons": [], "warnings": [],
               "unscored": [], "cost": {}}  # fmt: skip
    Path(folder, "results.json").write_text(json.dumps(results))
    return rows


def test_trained_models_have_both_plots_and_the_table(shell: Shell) -> None:
    """All values stand there with their intervals; a model of unknown size is named as not drawn."""
    rows = collected("t")
    assert shell("report", "t").status == 0
    words = read("t/report.html").words
    for row in rows:
        assert f"{row['value']:.3f}" in words
        assert f"{row['ci'][0]:.3f}–{row['ci'][1]:.3f}" in words
    assert "tiny on math500: accuracy against training rows" in words
    assert "tiny on math500: accuracy against the size of the reward model that selects 1,000 rows" in words
    assert {"1k", "5k", "59k", "7B", "72B"} <= set(words)
    assert {"raw pool, 0.790", "human-selected (s1k), 0.780"} <= set(words)
    assert any(
        word.endswith("Not drawn, since nobody says how large they are (--size): mystery.") for word in words
    )
    found = verdict(read_run(Path("t")))
    assert found is not None and found.kind == "open"
    assert found.words.startswith(
        "prm-7b on 5,000 rows: 0.880 (0.850–0.910), before prm-7b on 1,000 with 0.830"
    )


def test_a_size_that_is_given_draws_the_model(shell: Shell) -> None:
    """--size puts a model of unknown size into the plot, and the words about it go."""
    collected("t")
    assert shell("report", "t", "--size", "mystery=0.5").status == 0
    words = read("t/report.html").words
    assert "0.5B" in words and not any("Not drawn" in word for word in words)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("card.json", "{", "card.json: cannot be read as JSON"),
        ("card.json", '{"schema": "prm-eval/sft-card/0"}', "make it again"),
        ("card.json", '{"schema": "prm-eval/sft-card/1"}', "field 'stages' is missing"),
        ("train_manifest.json", '{"schema": "other"}', "its schema is 'other'"),
        ("train_manifest.json", '{"schema": "prm-eval/train-manifest/1", "rows": true}', "field 'rows'"),
    ],
)
def test_broken_folders(shell: Shell, name: str, text: str, said: str) -> None:
    """A card or a manifest that is torn or of another schema is one line and exit 2."""
    Path("b").mkdir()
    Path("b", name).write_text(text)
    done = shell("report", "b")
    assert done.status == 2 and said in done.err and len(done.err.strip().splitlines()) == 1
    shutil.rmtree("b")


def test_exports_of_sft(chosen: Shell) -> None:
    """The main table goes to standard output: stages, facts of the training, accuracies."""
    training(Path("m"), [2.5, 0.75])
    collected("t")
    rows = {run: chosen("report", run, "--format", "csv").out.splitlines() for run in ("chosen", "m", "t")}
    assert rows["chosen"][:3] == ["stage,removed,left", "read,0,96", "decontamination,4,92"]
    assert 'tokens of an epoch,"123,456, of them trained on 100,000"' in rows["m"]
    assert 'prm-7b,prm-7b,"1,000",0.830,0.800–0.860,1,500' in rows["t"]
    assert len(rows["t"]) == 7
