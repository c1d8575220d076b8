"""Golden checks: texts out of a model card, values against a plain reference, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_checkpoint import Reference, save_checkpoint, save_weights

from prm_eval.card_examples import literals
from prm_eval.cli import run
from prm_eval.errors import DataError, UsageError
from prm_eval.golden import check_golden, golden_candidates, read_golden
from prm_eval.plugins import load_registry
from prm_eval.types import Candidate, Score, Unscored

PROBLEM = "A shelf holds 5 books. Two are lent and one comes back. How many stand there?"
STEPS = ["Lent: 5 - 2 = 3.", "One comes back:\n3 + 1 = 5.", "The answer is \\boxed{4}."]
CARD = r"""---
license: apache-2.0
---
# A stand-in

```shell
pip install something  # is no Python
```

```python
import os
os.system("touch EXECUTED")
model = AutoModel.from_pretrained("somewhere")
data = {
    "system": "Say \\boxed{}.",
    "query": "A shelf holds 5 books. Two are lent and one comes back. How many stand there?",
    "response": [
        "Lent: 5 - 2 = 3.",
        "One comes back:\n3 + 1 = 5.",
        "The answer is \\boxed{4}.",
    ],
}
messages = [{"role": "user", "content": data["query"]}]
```

- in a list:

  ```python
  prompt = "What is 2 + 2?"
  right = '2 + 2 ' '= 4'
  tagged = '''Step 1: two. ки
  Step 2: four. ки'''
  conv1 = [{"role": "user", "content": prompt}, {"role": "assistant", "content": right}]
  conv2 = [{"role": "user", "content": prompt}, {"role": "assistant", "content": "5"}]
  ```
"""


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, list[float]]:
    """A tiny checkpoint in the hub's layout with its card, and its step scores by the reference."""
    path = tmp_path / "checkpoint"
    reference = Reference(path, save_checkpoint(path, seed=6))
    (path / "README.md").write_text(CARD, encoding="utf-8")
    return path, reference.steps(PROBLEM, STEPS)


@pytest.fixture
def golden(tmp_path: Path) -> Callable[..., Path]:
    """Writes a golden file of one example in the card."""

    def write(expected: Any, **row: Any) -> Path:
        path = tmp_path / "golden.json"
        example = {"name": "books", "card": "data", "expected": expected, "tolerance": 0.02, **row}
        path.write_text(json.dumps({"source": "plain reference", "examples": [example]}))
        return path

    return write


def test_right_checkpoint(
    folder: tuple[Path, list[float]], golden: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint that scores the card's example as the reference does passes."""
    path, expected = folder
    assert min(abs(value - 0.5) for value in expected) > 0.02
    assert len({value >= 0.5 for value in expected}) == 2
    status = run(["plugins", "check", f"qwen-prm:path={path}", "--golden", str(golden(expected))])
    out = capsys.readouterr().out.splitlines()
    assert (status, len(out)) == (0, 2)
    assert out[0].endswith("against the plain reference")
    assert out[1].startswith("ok     books: ")
    assert not Path("EXECUTED").exists()


def test_swapped_channels(
    folder: tuple[Path, list[float]], golden: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the two classes swapped in the weights, every verdict is the other one: exit 2."""
    path, expected = folder
    weights = save_checkpoint(path, seed=6)
    for name in ("score.2.weight", "score.2.bias"):
        weights[name] = weights[name].flip(0).contiguous()
    save_weights(path, weights)
    status = run(["plugins", "check", f"qwen-prm:path={path}", "--golden", str(golden(expected))])
    out = capsys.readouterr().out
    assert status == 2
    assert out.count("the other verdict at 0.5") == 3
    assert f"step 1 scored {1 - expected[0]:.4g}, its authors print {expected[0]:.4g}" in out


def test_number_off(
    folder: tuple[Path, list[float]], golden: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A value on the right side of 0.5 but out of tolerance fails, unless its own tolerance is wider."""
    path, expected = folder
    far = min(expected, key=lambda value: abs(value - 0.5))
    place = expected.index(far)
    wrong = [*expected[:place], far + (0.1 if far > 0.5 else -0.1), *expected[place + 1 :]]
    command = ["plugins", "check", f"qwen-prm:path={path}", "--golden"]
    assert run([*command, str(golden(wrong))]) == 2
    assert f"step {place + 1} scored {far:.4g}" in (out := capsys.readouterr().out)
    assert "more than 0.02 apart" in out
    wide = [0.3 if number == place else 0.02 for number in range(3)]
    assert run([*command, str(golden(wrong, tolerance=wide))]) == 0


def test_null_is_not_compared(folder: tuple[Path, list[float]], golden: Callable[..., Path]) -> None:
    """Of steps whose value is not printed only the number of steps counts."""
    path, expected = folder
    command = ["plugins", "check", f"qwen-prm:path={path}", "--golden"]
    assert run([*command, str(golden([None, None, expected[2]]))]) == 0
    assert run([*command, str(golden([None, expected[2]]))]) == 2


def test_text_of_the_user(folder: tuple[Path, list[float]], tmp_path: Path) -> None:
    """One example with its own text needs no card."""
    path, expected = folder
    (path / "README.md").unlink()
    file = tmp_path / "mine.json"
    row = {"source": "me", "problem": PROBLEM, "steps": STEPS, "expected": expected, "tolerance": 0.02}
    file.write_text(json.dumps(row))
    assert run(["plugins", "check", f"qwen-prm:path={path}", "--golden", str(file)]) == 0


def test_no_card(
    folder: tuple[Path, list[float]], golden: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a card, or without the example in it, one clear line says what to do."""
    path, expected = folder
    command = ["plugins", "check", f"qwen-prm:path={path}", "--golden", str(golden(expected, card="else"))]
    assert run(command) == 2
    assert (
        "the text of 'books' ('else') is not in its examples: pass --golden FILE" in capsys.readouterr().err
    )
    (path / "README.md").unlink()
    assert run(command) == 2
    error = capsys.readouterr().err
    assert "has no README.md: put its model card there, or pass --golden FILE" in error
    assert len(error.splitlines()) == 1


def test_shipped_with_a_plugin(
    folder: tuple[Path, list[float]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stranger's plugin ships goldens/NAME.json beside its module as ours do; a name without is told."""
    path, expected = folder
    (tmp_path / "mine.py").write_text(
        "from prm_eval.hooks import hookimpl\nfrom prm_eval_qwen import prm\n\n"
        "@hookimpl\ndef prm_eval_reward_models():\n    return {'mine': prm, 'other': prm}\n"
    )
    (tmp_path / "goldens").mkdir()
    row = {"source": "me", "card": "data", "expected": expected, "tolerance": 0.02}
    (tmp_path / "goldens" / "mine.json").write_text(json.dumps(row))
    plugin = ["--plugin", str(tmp_path / "mine.py")]
    assert run(["plugins", "check", f"mine:path={path}", "--golden", *plugin]) == 0
    assert run(["plugins", "check", f"other:path={path}", "--golden", *plugin]) == 2
    assert "no golden values ship for 'other': pass --golden FILE" in capsys.readouterr().err


def test_literals_only() -> None:
    """Literals are read, known names filled in, and what calls or computes is left out."""
    found = literals(CARD)
    assert found["data"]["response"] == STEPS
    assert found["right"] == "2 + 2 = 4"
    assert found["conv1"][0] == {"role": "user", "content": "What is 2 + 2?"}
    assert not {"model", "messages"} & set(found)


def test_places_in_the_card(tmp_path: Path) -> None:
    """A text is found by a name, by its number, or by two names with a separator of steps."""
    (tmp_path / "README.md").write_text(CARD)
    places = ["conv2", 1, 2, {"problem": "prompt", "response": "tagged", "separator": "ки"}]
    rows = [{"card": place, "expected": 0, "tolerance": 1} for place in places]
    file = tmp_path / "golden.json"
    file.write_text(json.dumps({"source": "nobody", "examples": rows}))
    second, first, chat, tagged = golden_candidates(read_golden(file), str(tmp_path))
    assert (second.problem.prompt, second.text, second.steps) == ("What is 2 + 2?", "5", None)
    assert [step.text for step in first.steps or ()] == STEPS
    assert chat.text == "2 + 2 = 4"
    assert [step.text for step in tagged.steps or ()] == ["Step 1: two.", "Step 2: four."]


class Fixed:
    """Gives the responses these numbers."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def score(self, candidates: list[Candidate]) -> list[Score | Unscored]:
        """By place; NaN becomes Unscored in scoring."""
        return [Score(self.values[candidate.index]) for candidate in candidates]


@pytest.mark.parametrize(
    ("values", "complaints"),
    [
        ((23.1, 3.5), [None, None, None]),
        ((3.59375, 23.0), ["more than 0.5 apart", "more than 0.5 apart", "the other way round"]),
        ((float("nan"), 3.5), ["unscored", None, "not compared"]),
    ],
)
def test_single_numbers(tmp_path: Path, values: tuple[float, ...], complaints: list[str | None]) -> None:
    """Single numbers lie within their tolerance and rank the responses as the authors do."""
    rows = [
        {"problem": "p", "response": text, "expected": expected, "tolerance": 0.5}
        for text, expected in (("right", 23.0), ("wrong", 3.59375))
    ]
    file = tmp_path / "golden.json"
    file.write_text(json.dumps({"source": "a card", "examples": rows}))
    golden = read_golden(file)
    found = list(check_golden(Fixed(*values), golden, golden_candidates(golden, None), "fixed"))
    assert len(found) == 3
    for (_, complaint), wanted in zip(found, complaints, strict=True):
        assert (complaint is None) is (wanted is None)
        assert wanted is None or wanted in str(complaint)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "'source' is missing"),
        ("{", "not a golden file"),
        ('{"source": "a", "examples": []}', "no list of objects"),
        ('{"source": "a", "card": 1, "expected": "1", "tolerance": 1}', "not a number or one per step"),
        ('{"source": "a", "card": 1, "expected": [], "tolerance": 1}', "not a number or one per step"),
        ('{"source": "a", "card": 1, "expected": [1, 2], "tolerance": [1]}', "tolerance is"),
        ('{"source": "a", "card": 1, "expected": 1, "tolerance": 0}', "tolerance is"),
        ('{"source": "a", "problem": "p", "expected": 1, "tolerance": 1}', "has no text"),
    ],
)
def test_refused_files(tmp_path: Path, content: str, message: str) -> None:
    """A golden file that does not say what to compare is refused with its path."""
    path = tmp_path / "golden.json"
    path.write_text(content)
    with pytest.raises(DataError, match=f"golden.json: .*{message}"):
        read_golden(path)


def test_no_folder(golden: Callable[..., Path]) -> None:
    """A model without a path has no card to read."""
    with pytest.raises(UsageError, match="no folder with a model card"):
        golden_candidates(read_golden(golden([1.0])), None)


def test_shipped_files() -> None:
    """Every golden file that ships is valid, names its source, and belongs to a model of its plugin."""
    registry = load_registry()
    expected: dict[str, list[tuple[float | None, ...]]] = {}
    for entry in registry.entries("reward model"):
        folder = registry.folder(entry.owner)
        if folder is not None and (file := folder / "goldens" / f"{entry.name}.json").is_file():
            expected[entry.name] = [example.expected for example in read_golden(file).examples]
    plugins = Path(__file__).parents[2] / "plugins"
    assert {path.stem for path in plugins.glob("*/goldens/*.json")} == set(expected)
    # The published values of facts that the families were built from, typed here a second time.
    assert expected == {
        "qwen2.5-math-prm-7b": [(1.0, 0.1904296875, 0.9765625, 1.0)],
        "qwen2.5-math-prm-72b": [(0.9921875, 0.0047607421875, 0.32421875, 0.8203125)],
        "qwen2.5-math-rm-72b": [(3.75,)],
        "math-shepherd-mistral-7b-prm": [(0.9955, 0.9958, 0.9983, 0.9957), (None, None, None, 0.0240)],
        "skywork-reward-v2-llama-3.1-8b": [(23.0,), (3.59375,)],
        "skywork-reward-gemma-2-27b": [(9.1875,), (-17.875,)],
        "internlm2-reward-20b": [(0.7678,), (-2.2227,)],
        "acemath-rm-72b": [(5.4375,)],
        "llama-3.1-nemotron-70b-reward": [(-3.28,)],
    }
