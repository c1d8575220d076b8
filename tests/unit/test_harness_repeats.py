"""PRM_EVAL_N: how many responses per problem the shipped tasks ask for."""

import subprocess
import sys

import pytest

from prm_eval.errors import UsageError
from prm_eval.harness import repeats


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable the task's own number holds; with it, that one."""
    monkeypatch.delenv(repeats.VARIABLE, raising=False)
    assert repeats.read(16) == 16
    monkeypatch.setenv(repeats.VARIABLE, "3")
    assert repeats.read(16) == 3


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_junk_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Anything but a whole number from 1 is refused in one line."""
    monkeypatch.setenv(repeats.VARIABLE, text)
    with pytest.raises(UsageError, match="expected a whole number from 1"):
        repeats.read(16)


def test_tasks_follow_it() -> None:
    """lm-eval reads a shipped task with that many repeats, in the task and in its filter."""
    code = (
        "from lm_eval.tasks import TaskManager\nfrom prm_eval.harness.tasks import tasks_path\n"
        "manager = TaskManager(include_defaults=False, include_path=str(tasks_path()))\n"
        "config = manager.load(['demo_bon'])['tasks']['demo_bon'].config\n"
        "print('FOUND', config.repeats, config.filter_list[0]['filter'][0]['n'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PRM_EVAL_N": "5", "PATH": ""}
    )
    assert done.stdout.splitlines()[-1:] == ["FOUND 5 5"], done.stderr[-2000:]
