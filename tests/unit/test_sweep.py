"""The sweep: its recipe, the command lines that it lays out, and the order in which they run."""

import itertools
import json
import os
import shlex
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from prm_eval.errors import PrmEvalError, UsageError
from prm_eval.sweep.cells import Grid, Stage, arguments, grid, in_yaml
from prm_eval.sweep.recipe import SweepRecipe, load_sweep
from prm_eval.sweep.runners import LocalRunner
from prm_eval.sweep.schedule import Outcome, Schedule
from prm_eval.training.recipe import load_recipe

RECIPE: dict[str, Any] = {
    "select": {"pool": ["a.jsonl", "b.jsonl"], "no_decontaminate": True},
    "sizes": [500, 100],
    "seeds": [0, 3],
    "selectors": {
        "rm-7b": {"reward_model": "rm:path=x", "aggregation": "min"},
        "random": {"by": "random", "sizes": [100]},
        "everything": {"pool": "c.jsonl", "by": "all", "sizes": ["all"]},
    },
    "train": {"model": "./policy", "recipe": "demo", "set": {"learning_rate": 1e-4}},
    "evaluate": {
        "tasks": ["math500", "aime24"],
        "model_args": "dtype=float32",
        "data": {"aime24": "aime.jsonl"},
    },
}


def write(path: Path, recipe: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def laid(tmp_path: Path, **changes: Any) -> Grid:
    return grid(load_sweep(write(tmp_path / "r.yaml", {**RECIPE, **changes})), Path("out"))


def test_grid_by_hand(tmp_path: Path) -> None:
    """Selections once for all seeds but the random ones, smallest size first; every word of the commands."""
    found = laid(tmp_path)
    assert [name for name in found.stages if name.startswith("select/")] == [
        "select/rm-7b-100", "select/rm-7b-500",
        "select/random-100-seed0", "select/random-100-seed3", "select/everything-all",
    ]  # fmt: skip
    assert [cell.name for cell in found.cells] == [
        "rm-7b-100-seed0", "rm-7b-100-seed3", "rm-7b-500-seed0", "rm-7b-500-seed3",
        "random-100-seed0", "random-100-seed3", "everything-all-seed0", "everything-all-seed3",
    ]  # fmt: skip
    assert len(found.stages) == 5 + 8 + 16
    lines = {name: stage.line for name, stage in found.stages.items()}
    shared = "prm-eval sft select --pool a.jsonl --pool b.jsonl --no-decontaminate"
    assert lines["select/rm-7b-500"] == (
        f"{shared} --reward-model rm:path=x --aggregation min --top 500 --out out/select/rm-7b-500"
        " --store out/scores/rm-7b.sqlite"
    )
    assert lines["select/random-100-seed3"] == (
        f"{shared} --by random --top 100 --out out/select/random-100-seed3 --seed 3"
    )
    assert lines["select/everything-all"] == (
        "prm-eval sft select --pool c.jsonl --no-decontaminate --by all --out out/select/everything-all"
    )
    assert lines["train/rm-7b-500-seed3"] == (
        "prm-eval sft train --data out/select/rm-7b-500 --model ./policy --recipe demo"
        " --set learning_rate=0.0001 --set seed=3 --out out/train/rm-7b-500-seed3"
    )
    assert lines["evaluate/random-100-seed0-aime24"] == (
        "prm-eval best-of-n --task aime24 --data aime.jsonl --model hf --model-args"
        " pretrained=out/train/random-100-seed0,dtype=float32 --n 1 --strategy first"
        " --out out/evaluate/random-100-seed0-aime24"
    )


def test_needs_stand_before(tmp_path: Path) -> None:
    """A stage stands behind what it needs; the sizes of one reward model share their scores one by one."""
    stages = laid(tmp_path).stages
    seen: set[str] = set()
    for name, stage in stages.items():
        assert set(stage.needs) <= seen
        seen.add(name)
    assert stages["select/rm-7b-500"].needs == ("select/rm-7b-100",)
    assert stages["select/random-100-seed3"].needs == ()
    assert stages["train/random-100-seed3"].needs == ("select/random-100-seed3",)
    assert stages["evaluate/rm-7b-500-seed0-math500"].needs == ("train/rm-7b-500-seed0",)


def test_several_processes(tmp_path: Path) -> None:
    """With processes every training is started by accelerate, with the same words."""
    train = {**RECIPE["train"], "processes": 8, "settings": "deepspeed-zero3"}
    words = laid(tmp_path, train=train).stages["train/random-100-seed0"].command
    assert words[:2] == ("accelerate", "launch") and words[words.index("--num_processes") + 1] == "8"
    assert words[words.index("--config_file") + 1].endswith("deepspeed-zero3.yaml")
    rest = words[words.index("-m") + 1 :]
    assert rest[:5] == ("prm_eval.cli", "sft", "train", "--data", "out/select/random-100-seed0")


@pytest.mark.parametrize(
    "value",
    [1e-5, 100, True, None, "leave_out", "yes", "1e-5 x", [0.9, 0.95], {"rank": 8, "targets": ["q_proj"]}],
)
def test_values_come_back(value: Any) -> None:
    """A changed setting is read by --set as what the recipe said."""
    text = in_yaml(value)
    assert "\n" not in text and yaml.safe_load(text) == value


def test_numbers_reach_the_recipe() -> None:
    """Numbers and settings within settings arrive with their types."""
    changed = load_recipe("demo", [f"learning_rate={in_yaml(1e-5)}", f"lora={in_yaml({'rank': 4})}"])
    assert changed.learning_rate == 1e-5 and changed.lora is not None and changed.lora.rank == 4


def test_arguments() -> None:
    """Flags, lists and what is left out."""
    given = {"top": 5, "keep_duplicates": True, "near": None, "no_decontaminate": False, "pool": ["a b", "c"]}
    assert arguments(given) == ["--top", "5", "--keep-duplicates", "--pool", "a b", "--pool", "c"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"selector": {}}, r"unknown sweep key 'selector'.*did you mean selectors"),
        ({"selectors": {}}, "names no selectors"),
        ({"selectors": {"a/b": {}}}, r"selectors.a/b: a name of letters"),
        ({"selectors": {"a": {"sizes": [0]}}}, r"selectors.a.sizes: 0 is neither"),
        ({"selectors": {"a": {"sizes": 5}}}, r"selectors.a.sizes: 5 is not a list"),
        ({"sizes": [5, 5]}, "names a size twice"),
        ({"selectors": {"a": {"top": 5}}}, r"selectors.a.top is not for a recipe: use sizes"),
        ({"selectors": {"a": {"out": "x"}}}, r"selectors.a.out is not for a recipe"),
        ({"selectors": {"a": {"by": "random", "seed": 1}}}, r"selectors.a.seed: random rows are drawn once"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [1, 1]}, "are not different seeds"),
        ({"train": {"recipe": "demo"}}, r"sweep key train.model is missing"),
        ({"train": {"model": "x", "recipe": "demo", "set": {"seed": 1}}}, r"train.set.seed.*use seeds"),
        ({"train": {"model": "x", "recipe": "demo", "processes": 0}}, r"train.processes: 0 is below 1"),
        ({"evaluate": {"tasks": []}}, "name at least one task"),
        (
            {"evaluate": {"tasks": ["a"], "data": {"b": "x"}}},
            r"evaluate.data.b: evaluate.tasks has no such task",
        ),
        ({"parameters": {"a": "big"}}, r"parameters.a: 'big' is not a number"),
    ],
)
def test_wrong_recipes(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    """Each names the key and what is wanted."""
    with pytest.raises(PrmEvalError, match=told):
        load_sweep(write(tmp_path / "r.yaml", {**RECIPE, **changes}))


def test_no_yaml(tmp_path: Path) -> None:
    """A file that does not parse."""
    (tmp_path / "r.yaml").write_text("a: [")
    with pytest.raises(UsageError, match="is no sweep"):
        load_sweep(tmp_path / "r.yaml")


class Recorded:
    """A runner that does nothing but keep what it was given; some stages end badly."""

    def __init__(self, *bad: str, seconds: float = 0.0) -> None:
        self.bad, self.seconds = bad, seconds
        self.ran: list[str] = []
        self.at_once: list[int] = []
        self.slots: set[int] = set()
        self.stopped = False
        self._running = itertools.count()
        self._now = 0
        self._lock = threading.Lock()

    def run(self, stage: Stage, log: Path, slot: int) -> int:
        with self._lock:
            self._now += 1
            self.ran.append(stage.name)
            self.at_once.append(self._now)
            self.slots.add(slot)
        time.sleep(self.seconds)
        with self._lock:
            self._now -= 1
        return 2 if stage.name in self.bad else 0

    def stop(self) -> None:
        self.stopped = True


def quiet(_outcome: Outcome, _name: str) -> None:
    """Nobody listens."""


def chain() -> dict[str, Stage]:
    """a -> b -> c, and d alone."""
    needs = {"a": (), "b": ("a",), "c": ("b",), "d": ()}
    return {name: Stage(name, ("prm-eval", name), need) for name, need in needs.items()}


def test_failure_stops_what_needs_it(tmp_path: Path) -> None:
    """The others run; a rerun does what is left and nothing twice."""
    schedule, runner = Schedule(chain(), tmp_path, {}), Recorded("b")
    outcome = schedule.run(runner, 1, quiet)
    assert runner.ran == ["a", "b", "d"]
    assert outcome.failed == {"b": 2} and outcome.blocked == {"c": "b"} and outcome.finished == {"a", "d"}
    again = Recorded()
    outcome = schedule.run(again, 1, quiet)
    assert again.ran == ["b", "c"] and outcome.before == ["a", "d"] and outcome.finished == set("abcd")
    assert Schedule(chain(), tmp_path, {}).run(Recorded(), 1, quiet).done == {}


def test_another_sweep_is_refused(tmp_path: Path) -> None:
    """Another command, or other inputs, of a stage that is done: nothing is run."""
    Schedule(chain(), tmp_path, {"a": {"size": 1}}).run(Recorded(), 1, quiet)
    with pytest.raises(UsageError, match=r"a was done with other inputs.*choose another --out"):
        Schedule(chain(), tmp_path, {"a": {"size": 2}}).run(Recorded(), 1, quiet)
    other = {**chain(), "d": Stage("d", ("prm-eval", "other"))}
    with pytest.raises(UsageError, match=r"d was done with other command \(prm-eval d; now prm-eval other\)"):
        Schedule(other, tmp_path, {"a": {"size": 1}}).finished()


def test_jobs_at_once(tmp_path: Path) -> None:
    """Never more than asked for, each in a slot of its own."""
    stages = {str(n): Stage(str(n), ("prm-eval", str(n))) for n in range(12)}
    runner = Recorded(seconds=0.02)
    outcome = Schedule(stages, tmp_path, {}).run(runner, 3, quiet)
    assert len(outcome.done) == 12 and max(runner.at_once) == 3 and runner.slots == {0, 1, 2}


def test_interrupt(tmp_path: Path) -> None:
    """What is running is ended, and nothing is marked that did not end well."""

    class Interrupted(Recorded):
        def run(self, stage: Stage, log: Path, slot: int) -> int:
            raise KeyboardInterrupt

    runner = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        Schedule(chain(), tmp_path, {}).run(runner, 1, quiet)
    assert runner.stopped and Schedule(chain(), tmp_path, {}).finished() == []


def test_local_processes(tmp_path: Path) -> None:
    """The command's own status and words, its output in the log."""
    runner = LocalRunner(1)
    assert runner.run(Stage("x", ("prm-eval", "tasks", "path")), tmp_path / "x.log", 0) == 0
    said = (tmp_path / "x.log").read_text().splitlines()
    assert said[0] == "$ prm-eval tasks path" and said[1].endswith("tasks")
    assert runner.run(Stage("y", ("prm-eval", "selct")), tmp_path / "y.log", 0) == 2
    assert "did you mean select" in (tmp_path / "y.log").read_text()


def test_local_processes_are_ended(tmp_path: Path) -> None:
    """A command that waits for ever (a pipe that nobody writes to) ends when the sweep is interrupted."""
    os.mkfifo(tmp_path / "pipe")
    words = ("prm-eval", "select", "--candidates", str(tmp_path / "pipe"), "--scores", str(tmp_path / "pipe"))
    runner, status = LocalRunner(1), []
    thread = threading.Thread(
        target=lambda: status.append(runner.run(Stage("x", words), tmp_path / "x.log", 0))
    )
    thread.start()
    while not runner.running:
        time.sleep(0.05)
    runner.stop()
    thread.join(60)
    assert status and status[0] != 0 and not runner.running


@pytest.mark.parametrize(
    ("visible", "slot", "seen"), [(None, 1, "2,3"), ("4,5,6,7", 0, "4,5"), ("4,5,6,7", 1, "6,7")]
)
def test_gpus_of_a_slot(monkeypatch: pytest.MonkeyPatch, visible: str | None, slot: int, seen: str) -> None:
    """Slots see disjoint devices, of those that are visible."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert LocalRunner(2, gpus=2).surroundings(slot)["CUDA_VISIBLE_DEVICES"] == seen
    assert "CUDA_VISIBLE_DEVICES" not in LocalRunner(2).surroundings(slot)


def test_cell_commands_can_be_typed(tmp_path: Path) -> None:
    """A line splits into the very words that run."""
    for stage in laid(tmp_path).stages.values():
        assert tuple(shlex.split(stage.line)) == stage.command


def test_mark_says_what_was_done(tmp_path: Path) -> None:
    """Command and inputs stand in it."""
    schedule = Schedule(chain(), tmp_path, {"a": {"size": 1}})
    schedule.run(Recorded(), 1, quiet)
    mark = json.loads(schedule.mark("a").read_text())
    assert mark["command"] == ["prm-eval", "a"] and mark["inputs"] == {"size": 1}


def test_sizes_smallest_first(tmp_path: Path) -> None:
    """`all` comes last, whatever the order of the recipe."""
    recipe: SweepRecipe = load_sweep(write(tmp_path / "r.yaml", {**RECIPE, "sizes": ["all", 500, 100]}))
    assert recipe.sizes_of("rm-7b") == [100, 500, None]
