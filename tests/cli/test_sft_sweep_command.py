"""`prm-eval sft sweep` and `sft demo` as a user runs them: the plan, the grid, what is there already, mistakes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from prm_eval_demo import POLICY

from prm_eval.cli.sft_sweep_run import _inputs
from prm_eval.sweep.cells import grid
from prm_eval.sweep.recipe import load_sweep

from .conftest import Done
from .test_sft_train_command import Shell, rows, write

pytest.importorskip("trl", reason="trl is not installed: pip install 'prm-eval[sft]'")
pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'prm-eval[figures]'")

RECIPE: dict[str, Any] = {
    "select": {"pool": "pool.jsonl", "no_decontaminate": True},
    "sizes": [16],
    "selectors": {"brief": {"by": "longest"}, "random": {"by": "random"}},
    "train": {"model": str(POLICY), "recipe": "demo", "set": {"max_steps": 1, "batch_size": 4}},
    "evaluate": {"tasks": ["demo"], "model_args": "dtype=float32", "limit": 4, "batch_size": 4},
}


def recipe(folder: Path, **changes: Any) -> Path:
    write(folder / "pool.jsonl", rows(40))
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **changes}, sort_keys=False))
    return path


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_dry_run(shell: Shell, tmp_path: Path) -> None:
    """Every command, in an order in which they can be typed, and nothing is written."""
    recipe(tmp_path)
    before = set(tmp_path.iterdir())
    done = shell("sft", "sweep", "grid.yaml", "--dry-run", "--out", "grid")
    lines = done.out.splitlines()
    assert done.status == 0 and len(lines) == 6 and set(tmp_path.iterdir()) == before
    assert lines[0].startswith("prm-eval sft select --pool pool.jsonl") and lines[-1].startswith(
        "prm-eval best-of-n"
    )
    assert "2 cells: 2 select, 2 train, 2 evaluate; 0 of 6 stages are done" in done.err
    plan = json.loads(shell("sft", "sweep", "grid.yaml", "--dry-run", "--json").out)
    assert (
        plan["cells"] == 2
        and [stage["command"] for stage in plan["stages"]] != []
        and not plan["stages"][0]["done"]
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"selectors": {"a": {"bey": "random"}}}, r"select/a-16: No such option"),
        ({"selectors": {"a": {"by": "best"}}}, "select/a-16: --by best needs --reward-model"),
        ({"selectors": {"a": {"reward_model": "demo-pmr"}}}, "select/a-16: unknown reward model 'demo-pmr'"),
        ({"selectors": {"a": {"preset": "s2k"}}}, "select/a-16: Invalid value for '--preset'"),
        ({"evaluate": {"tasks": ["maths500"]}}, "unknown task 'maths500'"),
        (
            {"train": {"model": "./nowhere", "recipe": "demo"}},
            "sweep key train.model: nowhere: no such folder",
        ),
        ({"train": {"model": str(POLICY), "recipe": "dmeo"}}, "unknown recipe 'dmeo'"),
        ({"train": {"model": str(POLICY), "recipe": "demo", "set": {"lr": 1}}}, "unknown recipe key 'lr'"),
    ],
)
def test_mistakes_end_before_anything_runs(
    shell: Shell, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    """One line that names the selector or key, status 2, and no folder."""
    recipe(tmp_path, **changes)
    done = shell("sft", "sweep", "grid.yaml", "--out", "grid")
    assert done.status == 2 and told in done.err and not (tmp_path / "grid").exists()


def test_other_problems_are_another_sweep(tmp_path: Path) -> None:
    """A file of problems that has changed is another input of the evaluations, and of nothing else."""
    problems = write(tmp_path / "problems.jsonl", [{"problem_id": "a"}])
    evaluate = {**RECIPE["evaluate"], "data": {"demo": str(problems)}}
    given = load_sweep(recipe(tmp_path, evaluate=evaluate))
    before = _inputs(given, grid(given, tmp_path))
    write(problems, [{"problem_id": "b"}])
    after = _inputs(given, grid(given, tmp_path))
    assert {name for name in after if before[name] != after[name]} == {
        "evaluate/brief-16-seed0-demo", "evaluate/random-16-seed0-demo",
    }  # fmt: skip


def failures(done: Done) -> list[str]:
    return [line for line in done.err.splitlines() if "failed with" in line]


@pytest.mark.slow
def test_a_stage_that_fails_is_mended(shell: Shell, tmp_path: Path) -> None:
    """Its reason is said, the other cells are measured; the same command then does what was left."""
    recipe(tmp_path, sizes=[16, 100])
    done = shell("sft", "sweep", "grid.yaml", "--out", "grid", "--jobs", "2", "--json")
    assert done.status == 1 and len(failures(done)) == 2
    assert (
        "select/brief-100: failed with 2:" in done.err and "--top 100, but only 40 rows are left" in done.err
    )
    assert "train/random-100-seed0: not run, select/random-100-seed0 failed" in done.err
    told = json.loads(done.out)
    assert told["missing"] == ["brief-100-seed0", "random-100-seed0"]
    assert {row["selector"] for row in told["tables"]["demo"]["metrics"]} == {"brief", "random"}
    marks = {path: path.stat().st_mtime_ns for path in (tmp_path / "grid" / "stages").rglob("*.json")}
    assert len(marks) == 6
    recipe(tmp_path, sizes=[16])
    write(tmp_path / "pool.jsonl", rows(41))
    assert "was done with other inputs" in shell("sft", "sweep", "grid.yaml", "--out", "grid").err
    cell = read(tmp_path / "grid" / "cells" / "brief-16-seed0.json")
    assert cell["selected"]["rows"] == 16 and cell["recipe"]["max_steps"] == 1
    assert [line.split()[:3] for line in cell["commands"]] == [
        ["prm-eval", "sft", "select"], ["prm-eval", "sft", "train"], ["prm-eval", "best-of-n", "--task"],
    ]  # fmt: skip


@pytest.mark.slow
def test_miniature_small(shell: Shell, tmp_path: Path) -> None:
    """The miniature on a few rows: pool, two reward models, four cells, both plots; a rerun runs nothing."""
    words = ("sft", "demo", "--problems", "60", "--sizes", "32,64", "--seeds", "1", "--steps", "2", "--json")
    done = shell(*words)
    assert done.status == 0, done.err
    rows = {
        (row["selector"], row["train_samples"]): row
        for row in json.loads(done.out)["tables"]["demo"]["metrics"]
    }
    pool = [json.loads(line) for line in (tmp_path / "sft-demo" / "pool.jsonl").read_text().splitlines()]
    assert len(pool) == 240 and {row["subset"] for row in pool} == {"temperature-1", "temperature-1.3"}
    assert len({(row["problem_id"], row["index"]) for row in pool}) == 240
    different = len({(row["problem"], row["response"].strip()) for row in pool if row["response"].strip()})
    assert {key for key in rows if key[0] != "raw-pool"} == {
        ("demo-prm", 32), ("demo-prm", 64), ("demo-prm-small", 32), ("random", 32),
    }  # fmt: skip
    (raw,) = (samples for name, samples in rows if name == "raw-pool")
    assert 64 < raw <= different
    assert all(row["n_problems"] == 250 and row["ci"] for row in rows.values())
    plots = {path.name for path in (tmp_path / "sft-demo" / "sweep" / "plots" / "demo").iterdir()}
    assert plots == {f"{name}.{form}" for name in ("training-samples", "reward-model-size") for form in ("svg", "pdf", "png")}  # fmt: skip
    before = {path: path.read_bytes() for path in (tmp_path / "sft-demo").rglob("*") if path.is_file()}
    again = shell(*words)
    assert again.status == 0 and again.out == done.out
    changed = [path for path, old in before.items() if path.read_bytes() != old]
    assert changed == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--sizes", "all"), "--sizes all: the whole pool is one of the cells already"),
        (("--sizes", "16,32"), "--sizes 16: a training takes 32 rows a step"),
        (("--problems", "10", "--sizes", "50"), "--sizes 50: the pool has 40 rows"),
    ],
)
def test_miniature_mistakes(shell: Shell, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    """Refused before the pool is written."""
    done = shell("sft", "demo", *words)
    assert done.status == 2 and told in done.err and not (tmp_path / "sft-demo").exists()
