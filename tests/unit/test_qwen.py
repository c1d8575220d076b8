"""The Qwen plugin: names, options, formats; and that finding it costs no torch."""

import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from prm_eval_qwen import PROVEN, prm_eval_reward_models
from prm_eval_qwen.models import SYSTEM
from tiny_checkpoint import Reference, save_checkpoint

from prm_eval.cards import LoadOptions
from prm_eval.plugins import load_registry
from prm_eval.testing import RewardModelContract
from prm_eval.types import Candidate, PreparedRewardModel, Problem, RewardModel, Score, Step

PROBLEM = Problem("p", "Sue lives in a neighborhood with 18 flamingos. How many are white?")
STEPS = ("First day: 18 are pink.", "Then one third is taken away:\n6.", "The answer is \\boxed{12}.")


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    """A tiny PRM of the released layout, and its plain scorer."""
    path = tmp_path_factory.mktemp("prm")
    return path, Reference(path, save_checkpoint(path, seed=11))


NAMES = {
    "qwen2.5-math-prm-7b",
    "qwen2.5-math-prm-72b",
    "qwen2.5-math-7b-prm800k",
    "qwen2.5-math-rm-72b",
    "qwen-prm",
}


def test_names_and_options() -> None:
    """Every factory takes the same options and says in one line what it is."""
    factories = prm_eval_reward_models()
    assert set(factories) == NAMES
    for factory in factories.values():
        assert list(inspect.signature(factory).parameters) == [field.name for field in fields(LoadOptions)]
        assert (factory.__doc__ or "").splitlines()[0].endswith(".")


def test_hook_is_import_light() -> None:
    """Finding the plugin and reading its options imports neither torch nor transformers nor numpy."""
    code = (
        "import sys, inspect, prm_eval_qwen as q\n"
        "[inspect.signature(f) for f in q.prm_eval_reward_models().values()]\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'tokenizers'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "name", ["qwen2.5-math-prm-7b", "qwen2.5-math-prm-72b", "qwen2.5-math-7b-prm800k", "qwen-prm"]
)
def test_step_scores(two_classes: tuple[Path, Reference], name: str) -> None:
    """Each PRM scores as the card's own recipe does, done by hand with the template."""
    folder, reference = two_classes
    model = prm_eval_reward_models()[name](path=str(folder))
    assert isinstance(model, PreparedRewardModel)
    (score,) = model.score([Candidate(PROBLEM, 0, "\n\n".join(STEPS))])
    assert isinstance(score, Score)
    expected = reference.steps(PROBLEM.prompt, STEPS)
    assert score.steps == pytest.approx(expected, abs=1e-5)
    assert score.value == pytest.approx(expected[0] * expected[1] * expected[2], abs=1e-5)
    assert model.default_aggregation == "product"
    assert (model.provenance()["proven"] == PROVEN) is (name != "qwen-prm")


def test_class_one_is_good(two_classes: tuple[Path, Reference]) -> None:
    """Channel 1 is the positive class: the other channel's probability is its complement."""
    folder, reference = two_classes
    (score,) = prm_eval_reward_models()["qwen-prm"](path=str(folder)).score(
        [Candidate(PROBLEM, 0, "x", (Step("a"),))]
    )
    ids = reference.ids(PROBLEM.prompt, "a<extra_0>")
    bad, good = reference.logits(ids)[-3].softmax(-1).tolist()
    assert isinstance(score, Score)
    assert score.steps == pytest.approx((good,), abs=1e-5)
    assert abs(good - bad) > 0.01


def test_outcome_model(tmp_path: Path) -> None:
    """The outcome model reads one raw number at the last token of the same conversation."""
    reference = Reference(tmp_path, save_checkpoint(tmp_path, labels=1, seed=6))
    model = prm_eval_reward_models()["qwen2.5-math-rm-72b"](path=str(tmp_path))
    text = "\n\n".join(STEPS)
    (score,) = model.score([Candidate(PROBLEM, 0, text)])
    assert isinstance(score, Score)
    assert score.steps is None
    expected = float(reference.logits(reference.ids(PROBLEM.prompt, text))[-1, 0])
    assert score.value == pytest.approx(expected, abs=1e-5)


def test_system_message() -> None:
    """The system message has its backslash and no backspace."""
    assert SYSTEM.endswith("within \\boxed{}.")
    assert "\b" not in SYSTEM


def test_by_reference(two_classes: tuple[Path, Reference]) -> None:
    """The installed plugin is found by a reference with options."""
    folder, _ = two_classes
    loaded = load_registry().reward_model(f"qwen_prm:path={folder},batch_tokens=512,dtype=float32")
    assert loaded.obj.provenance()["dtype"] == "float32"


class TestContract(RewardModelContract):
    """The tiny PRM keeps what every reward model promises."""

    @pytest.fixture(autouse=True)
    def _folder(self, two_classes: tuple[Path, Reference]) -> None:
        self.folder = two_classes[0]

    def make(self) -> RewardModel:
        """The model under test."""
        return prm_eval_reward_models()["qwen-prm"](path=str(self.folder))
