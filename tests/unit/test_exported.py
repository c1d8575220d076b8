"""A run as lm-eval's results: the numbers of its own task, and what its readers make of them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness_support import write_jsonl

from prm_eval.cli import run as command
from prm_eval.errors import UsageError
from prm_eval.harness.exported import exported, knows_its_model, model_name
from prm_eval.harness.replay import Replay
from prm_eval.harness.tasks import make_stub, tasks_path
from prm_eval.pages.runs import Run, read_run


def candidates(problems: int, n: int) -> list[dict[str, Any]]:
    """Response i to problem p is right when i < p: every share of right ones occurs; two subsets."""
    return [
        {"problem_id": f"p{p}", "problem": f"What is {p} + {p}?", "answer": str(2 * p), "index": i,
         "response": f"{'a' * (7 * i % 5 + p)} \\boxed{{{2 * p + (i >= p)}}}", "subset": "even" if p % 2 == 0 else "odd"}
        for p in range(problems) for i in range(n)
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("PRM_EVAL_REWARD_MODELS", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "c.jsonl", candidates(6, 4))
    yield tmp_path


def best_of_n() -> Run:
    """The candidates of the folder, measured."""
    assert command(["best-of-n", "--candidates", "c.jsonl", "--reward-model", "length", "--out", "run"]) == 0
    return read_run(Path("run"))


def within_lm_eval(folder: Path) -> dict[str, Any]:
    """The results of lm-eval's own evaluation of the same responses, with its own standard errors."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    rows = [row for row in candidates(6, 4) if row["index"] == 0]
    data = write_jsonl(
        folder / "p.jsonl", [{key: row[key] for key in ("problem_id", "problem", "answer")} for row in rows]
    )
    stub = folder / "sums.yaml"
    strategies = ["best_of_n", "weighted", "majority"]
    stub.write_text(make_stub("math500", 4, ["length"], strategies, (), str(data)), encoding="utf-8")
    manager = TaskManager(include_defaults=False, include_path=[str(tasks_path())])
    model = Replay(str(folder / "c.jsonl"))
    found: dict[str, Any] = lm_eval.evaluate(model, manager.load([str(stub)]), bootstrap_iters=1000)
    return found


def test_same_names_values_and_errors_as_within_lm_eval(folder: Path) -> None:
    """Every number that lm-eval's task reports of these responses is in the export, with its standard error."""
    theirs = within_lm_eval(folder)
    (own,) = theirs["results"].values()
    ours = exported(best_of_n())
    numbers = ours["results"]["c"]
    shared = {name: value for name, value in own.items() if name.endswith(",prm_eval")}
    assert {"mean@1,prm_eval", "pass@4_stderr,prm_eval", "best_of_4[length],prm_eval"} <= set(shared)
    for name, value in shared.items():
        assert numbers[name] == pytest.approx(value, abs=1e-12), name
    assert numbers["sample_len"] == own["sample_len"] == 6
    assert {name for name in numbers if name not in own} == {"auc[length],prm_eval"}
    assert set(theirs) - {"samples", "groups"} <= set(ours)


def test_subsets_are_tasks_of_a_group(folder: Path) -> None:
    """Each subset is a task with its own numbers, which the group's table holds below the whole."""
    from lm_eval.utils import make_table

    ours = exported(best_of_n())
    assert ours["group_subtasks"] == {"c": ["c_even", "c_odd"]}
    # problems 0, 2, 4 of which none, two and four of four are right
    assert ours["results"]["c_even"]["mean@1,prm_eval"] == pytest.approx((0 + 2 + 4) / 12)
    assert ours["n-samples"]["c_even"] == {"original": 3, "effective": 3}
    table = make_table(ours)
    assert re.search(r"\|c +\|N/A +\|prm_eval\|", table) and "| - c_odd" in table
    value, error = (ours["results"]["c"][f"maj@4{part},prm_eval"] for part in ("", "_stderr"))
    assert re.search(rf"maj@4 +\|↑ +\| *{value:.4f}\|± +\| *{error:.4f}\|", table)
    assert "maj@4" in make_table(ours, "groups")


def test_the_tracker_saves_it(folder: Path) -> None:
    """lm-eval's EvaluationTracker writes the export where leaderboards look, and the file gives it back."""
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.utils import get_results_filenames

    ours = exported(best_of_n())
    tracker = EvaluationTracker(output_path=str(folder / "tracked"))
    tracker.general_config_tracker.log_experiment_args(
        ours["config"]["model"], f"pretrained={ours['model_name']}", None, None, False
    )
    tracker.save_results_aggregated(results=json.loads(json.dumps(ours)), samples={})
    (path,) = (folder / "tracked" / ours["model_name_sanitized"]).iterdir()
    assert get_results_filenames([str(path)])
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert saved["results"] == ours["results"] and saved["configs"] == ours["configs"]
    assert saved["model_name"] == ours["model_name"] == "c"


def test_wandb_takes_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval's WandbLogger logs every number of an export, with subsets and without, in offline mode."""
    pytest.importorskip("wandb")
    from lm_eval.loggers import WandbLogger

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    ours = exported(best_of_n())
    logger = WandbLogger({"project": "test", "dir": str(folder)})
    logger.post_init(json.loads(json.dumps(ours)))
    logger.log_eval_result()
    assert logger.wandb_results["c/maj@4,prm_eval"] == ours["results"]["c"]["maj@4,prm_eval"]
    logger.run.finish()


def test_names_are_safe_for_loggers(folder: Path) -> None:
    """No slash in a task's name, no comma but the one before the filter, nothing but numbers as values."""
    row = {"k": 2, "value": 0.5, "stderr": 0.1, "n_problems": 6, "subset": "a/b, c"}
    model = "prm:path=x/y,dtype=float32"
    results = {
        "task": "my/task",
        "metrics": [
            {**row, "metric": "best_of_n", "reward_model": model, "aggregation": "min"},
            {"metric": "auc", "reward_model": model, "value": None, "n_problems": 6, "subset": "a/b, c"},
        ],
        "warnings": [],
        "unscored": [],
    }
    ours = exported(Run("run", Path(), "best_of_n", results, {}))
    assert list(ours["results"]) == ["my_task_a_b_c"]
    numbers = ours["results"]["my_task_a_b_c"]
    assert numbers["best_of_2[prm:path=x/y;dtype=float32:min]_stderr,prm_eval"] == 0.1
    assert numbers["auc[prm:path=x/y;dtype=float32],prm_eval"] is None
    assert all(name.count(",") == 1 for name in numbers if name not in ("name", "alias", "sample_len"))


def test_model_names() -> None:
    """The model that answered, as lm-eval finds it; the judges of a judge's run; a file's name where none is known."""
    from lm_eval.loggers.evaluation_tracker import GeneralConfigTracker
    from lm_eval.utils import sanitize_model_name

    metrics = {
        "metrics": [{"judge": "a", "metric": "accuracy", "value": 1.0}, {"judge": "b"}, {"judge": "a"}]
    }
    for arguments in (
        "dtype=bfloat16,pretrained=Org/M,trust=1",
        "pretrained=x,peft=y",
        "model=gpt,base_url=http://h",
    ):
        run = Run("r", Path(), "best_of_n", {}, {"options": {"model_args": arguments}})
        assert model_name(run) == GeneralConfigTracker._get_model_name(arguments)
        assert knows_its_model(run)
    stored = Run("r", Path(), "best_of_n", {}, {"options": {"candidates_path": "x/mine.jsonl"}})
    assert (model_name(stored), knows_its_model(stored)) == ("mine", False)
    assert model_name(Run("r", Path(), "judge", metrics, {})) == "a, b"
    odd = Run("r", Path(), "best_of_n", {"metrics": [], "warnings": [], "unscored": []},
              {"options": {"model_args": "pretrained=a/b:c[d]"}})  # fmt: skip
    assert exported(odd)["model_name_sanitized"] == sanitize_model_name("a/b:c[d]")


def test_two_rows_of_one_name_are_refused() -> None:
    """What could only be told apart by a field that lm-eval's names do not hold ends the export."""
    rows = [{"metric": "accuracy", "judge": "j", "value": value, "n_pairs": 2} for value in (0.5, 1.0)]
    results = {"task": "t", "metrics": rows, "warnings": [], "unscored": []}
    with pytest.raises(UsageError, match=r"t: two rows .* 'accuracy\[j\]'"):
        exported(Run("r", Path(), "judge", results, {}))
