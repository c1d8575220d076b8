"""The task files: prompts, sampling, twins, stubs, and finding them without lm-eval."""

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import yaml
from harness_support import problems, write_jsonl
from jinja2 import Template

from prm_eval.errors import UnknownName, UsageError
from prm_eval.harness.tasks import generation_twin, list_tasks, make_stub, task_file, tasks_path

FAMILIES = ["aime24", "aime25", "demo", "gpqa_diamond", "gpqa_main", "math500"]


def config(name: str) -> dict[str, object]:
    """A task as lm-eval reads it, functions resolved."""
    from lm_eval.tasks._yaml_loader import load_yaml

    return load_yaml(task_file(name), resolve_func=True)


def test_every_family_has_both_tasks() -> None:
    """Each family has its selecting task and its generation twin, each with a line of help; the pool has none."""
    tasks = {task.name: task for task in list_tasks() if task.path.parent.name != "pairwise"}
    pool = tasks.pop("demo_pool")
    assert pool.help and not pool.selects
    assert sorted(tasks) == sorted(f"{name}_{kind}" for name in FAMILIES for kind in ("bon", "gen"))
    assert all(task.help for task in tasks.values())
    assert [task.selects for task in tasks.values()] == [name.endswith("_bon") for name in tasks]


def test_pairwise_tasks() -> None:
    """Every pairwise task has a line of help and is made by one class for all; none selects."""
    tasks = [task for task in list_tasks() if task.path.parent.name == "pairwise"]
    names = {task.name for task in tasks}
    assert {
        "rewardbench",
        "judgebench",
        "math500_pairwise",
        "gpqa_diamond_pairwise",
        "demo_pairwise",
    } <= names
    assert all(task.help and not task.selects for task in tasks)


@pytest.mark.parametrize("name", [f"{name}_bon" for name in FAMILIES])
def test_prompts_hold_no_control_characters(name: str) -> None:
    r"""`\boxed` reaches the model with its backslash: no YAML escape became a control character."""
    text = Template(str(config(name)["doc_to_text"])).render(problem="PROBLEM")
    control = [c for c in text if unicodedata.category(c) == "Cc" and c != "\n"]
    assert not control
    assert text.startswith("PROBLEM")
    assert name == "demo_bon" or r"within \boxed{}." in text


def test_quoted_prompt_would_be_broken() -> None:
    r"""The check above is not idle: in a double-quoted YAML string `\b` is a backspace."""
    assert yaml.safe_load(r'"within \boxed{}"') == "within \x08oxed{}"


@pytest.mark.parametrize("name", FAMILIES)
def test_twins_differ_in_the_filter_only(name: str) -> None:
    """A task and its twin ask the same question with the same explicit sampling."""
    select, generate = config(f"{name}_bon"), config(f"{name}_gen")
    for key in ("doc_to_text", "generation_kwargs", "repeats", "custom_dataset", "metadata"):
        assert select[key] == generate[key]
    assert "filter_list" not in generate
    assert "process_results" not in generate
    sampling = select["generation_kwargs"]
    assert isinstance(sampling, dict)
    assert sampling["do_sample"] is True
    assert sampling["temperature"] > 0
    assert {"top_p", "max_gen_toks", "until"} <= set(sampling)
    assert not any(stop.isspace() for stop in sampling["until"])  # "\n\n" would cut the reasoning
    assert "seed" not in sampling
    assert "version" in select["metadata"]  # type: ignore[operator]


@pytest.mark.parametrize("name", [f"{name}_bon" for name in FAMILIES])
def test_filter_n_is_repeats(name: str) -> None:
    """The filter slices to what the task repeats, and reports under the task's name."""
    found = config(name)
    step = found["filter_list"][0]["filter"][0]  # type: ignore[index]
    assert (step["n"], step["task"]) == (found["repeats"], name)


def test_listing_starts_no_lm_eval() -> None:
    """Listing tasks and writing a stub import neither lm_eval nor torch."""
    code = (
        "import sys; from prm_eval.harness import tasks; tasks.list_tasks(); tasks.make_stub('demo', 4, ['x']);"
        "sys.exit(any(name in sys.modules for name in ('lm_eval', 'torch', 'datasets')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_task() -> None:
    """A near name is suggested."""
    with pytest.raises(UnknownName, match="math500_bon"):
        task_file("math500_bom")


def test_twin_resolution(tmp_path: Path) -> None:
    """The bare name, the task and the twin lead to the twin; a foreign task without filter to itself."""
    for name in ("math500", "math500_bon", "math500_gen"):
        assert generation_twin(name).name == "math500_gen"
    (tmp_path / "mine.yaml").write_text("task: mine\nrepeats: 2\n", encoding="utf-8")
    assert generation_twin("mine", [tmp_path]).name == "mine"
    (tmp_path / "stub.yaml").write_text(make_stub("demo", 4, ["x"]), encoding="utf-8")
    with pytest.raises(UsageError, match="no generation twin"):
        generation_twin("demo_bon_4", [tmp_path])


def test_broken_yaml_is_told(tmp_path: Path) -> None:
    """A file that lm-eval would skip in silence is an error that names it."""
    (tmp_path / "broken.yaml").write_text("task: [", encoding="utf-8")
    with pytest.raises(UsageError, match=r"broken\.yaml cannot be read as YAML"):
        list_tasks([tmp_path])


def test_stub_is_a_task(tmp_path: Path) -> None:
    """A stub lies anywhere, keeps prompt and data of its base, and has its own n and models."""
    from lm_eval.tasks import TaskManager

    data = write_jsonl(tmp_path / "data.jsonl", problems(3))
    path = tmp_path / "stub.yaml"
    models = ["a", "b:path=./x,dtype=float32"]
    path.write_text(make_stub("math500_bon", 5, models, ["first"], ["min"], str(data)), encoding="utf-8")
    manager = TaskManager(include_defaults=False, include_path=[])
    task = manager.load([str(path)])["tasks"]["math500_bon_5"]
    assert task.config.repeats == 5
    assert len(task.eval_docs) == 3
    assert task.VERSION == 1.0
    text = path.read_text(encoding="utf-8")
    assert "b:path=./x,dtype=float32" in text
    assert str(tasks_path().resolve() / "math500" / "math500_bon.yaml") in text


def test_stub_keeps_the_tasks_own_n() -> None:
    """Without n the stub repeats as often as its base."""
    assert "repeats: 64" in make_stub("aime24", None, ["x"])


def test_stub_needs_a_selecting_task() -> None:
    """A stub over a generation twin is refused."""
    with pytest.raises(UsageError, match="selects nothing"):
        make_stub(str(task_file("demo_gen")), 4, ["x"])
