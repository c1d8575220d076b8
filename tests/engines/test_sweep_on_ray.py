"""The stages of a sweep as tasks of Ray: their status, their log, and the order."""

from pathlib import Path

import pytest

from prm_eval.sweep.cells import Stage
from prm_eval.sweep.schedule import Outcome, Schedule

pytest.importorskip("ray", reason="Ray is not installed: pip install 'prm-eval[ray]'")


def test_stages_on_two_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in the sweep's folder; one that fails says why and stops what needs it; the rest is done."""
    from prm_eval.sweep.runners import RayRunner

    monkeypatch.chdir(tmp_path)
    stages = {
        "a/one": Stage("a/one", ("prm-eval", "tasks", "path")),
        "a/two": Stage("a/two", ("prm-eval", "selct")),
        "b/one": Stage(
            "b/one", ("prm-eval", "tasks", "make", "demo", "--n", "4", "--out", "made.yaml"), ("a/one",)
        ),
        "b/two": Stage("b/two", ("prm-eval", "tasks", "path"), ("a/two",)),
    }
    ended: list[str] = []

    def told(_outcome: Outcome, name: str) -> None:
        ended.append(name)

    schedule = Schedule(stages, tmp_path / "sweep", {})
    outcome = schedule.run(RayRunner(2, None), 2, told)
    assert set(outcome.done) == {"a/one", "b/one"} and outcome.failed == {"a/two": 2}
    assert outcome.blocked == {"b/two": "a/two"} and sorted(ended) == sorted(stages)
    assert (tmp_path / "made.yaml").exists(), "it ran in the folder of the sweep"
    assert "did you mean select" in schedule.log("a/two").read_text()
    assert schedule.log("a/one").read_text().splitlines()[0] == "$ prm-eval tasks path"
