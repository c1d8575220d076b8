"""A stranger's package: installed by pip, found by its entry point, used by name, held to the contract."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "tests" / "example-plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the example package installed."""
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(target),
         str(EXAMPLE)],
        check=True, capture_output=True,
    )  # fmt: skip
    return {**os.environ, "PYTHONPATH": str(target)}


def prm_eval(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "prm-eval"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )


def test_at_most_thirty_lines() -> None:
    """A reward model of one's own takes at most thirty lines."""
    text = (EXAMPLE / "src" / "example_reward" / "__init__.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30


def test_listed_with_its_package(installed: dict[str, str]) -> None:
    """`plugins list` shows it with package, version and help beside the first-party ones."""
    done = prm_eval(installed, "plugins", "list")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("short-steps"))
    assert "example-reward 0.3.1" in line
    assert "Likes short steps" in line
    assert "qwen2.5-math-prm-7b" in done.stdout


def test_contract(installed: dict[str, str]) -> None:
    """`plugins check` runs the contract on it, with an option of its own."""
    done = prm_eval(installed, "plugins", "check", "short-steps:length=40")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 6


def test_scores(installed: dict[str, str], tmp_path: Path) -> None:
    """It scores by name, and its results carry the name with its option."""
    data = tmp_path / "c.jsonl"
    data.write_text(
        '{"problem_id": "p", "problem": "?", "answer": "2", "index": 0, "response": "12345678\\n\\n1234"}\n'
    )
    done = prm_eval(installed, "score", "--candidates", str(data), "--reward-model", "short-steps:length=8",
                    "--out", str(tmp_path / "s.jsonl"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"model": "short-steps:length=8"' in (tmp_path / "s.jsonl").read_text()
    assert f'"steps": [0.5, {8 / 12}]' in (tmp_path / "s.jsonl").read_text()


def test_mistyped(installed: dict[str, str], tmp_path: Path) -> None:
    """A mistyped name is one line with a suggestion, exit 2."""
    data = tmp_path / "c.jsonl"
    data.write_text('{"problem_id": "p", "problem": "?", "index": 0, "response": "x"}\n')
    done = prm_eval(installed, "score", "--candidates", str(data), "--reward-model", "short-step")
    assert done.returncode == 2
    assert done.stderr == "prm-eval: error: unknown reward model 'short-step': did you mean short-steps?\n"
