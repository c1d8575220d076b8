"""ReasonFlux-PRM: steps over thinking and response, the selection score, the head in its own file."""

import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from prm_eval_reasonflux import prm_eval_reward_models
from prm_eval_reasonflux.steps import Selection, Steps, Whole
from prm_eval_reasonflux.whole import WholeText
from safetensors.torch import save_file
from tiny_checkpoint import Reference, byte_tokenizer, save_causal, save_checkpoint, save_tokenizer
from tiny_heads import CHATML, CHATML_CONFIG, WIDTH, chatml_tokenizer, give_head, hidden, random_head, spell

from prm_eval.cards import RECALLED, VERIFIED
from prm_eval.errors import CheckpointError
from prm_eval.plugins import load_registry
from prm_eval.readout import Rendered, Tokens
from prm_eval.scoring import score_candidates
from prm_eval.testing import RewardModelContract
from prm_eval.types import Candidate, PreparedRewardModel, Problem, RewardModel, Score, Step, Unscored, Work

FACTORIES = prm_eval_reward_models()
PROBLEM = Problem("p", "Q: 2+3?")
TEXT = "<think>\nTwo and three.\n\nThat is 5.\n</think>\n\nThe answer is \\boxed{5}."
STEPS = ("Two and three.", "That is 5.", "The answer is \\boxed{5}.")
HEAD = {"weight": (1, WIDTH), "bias": (1,)}


@pytest.fixture(scope="module")
def prm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    """A tiny 7B: the layout of Qwen2.5-Math-PRM, a template that inserts a system message."""
    folder = tmp_path_factory.mktemp("prm")
    return folder, Reference(folder, save_checkpoint(folder, seed=21))


def scored(model: RewardModel, candidate: Candidate) -> Score:
    """The score of one candidate, which must have one."""
    (found,) = model.score([candidate])
    assert isinstance(found, Score), found
    return found


def by_card(reference: Reference, steps: Sequence[str]) -> list[float]:
    """The README's recipe: no system message given, template, softmax at each separator, index 1."""
    ids = reference.ids(PROBLEM.prompt, "<extra_0>".join(steps) + "<extra_0>", system="")
    separator = reference.tokenizer.convert_tokens_to_ids("<extra_0>")
    rows = reference.logits(ids)[torch.tensor(ids) == separator]
    return [float(p) for p in rows.softmax(-1)[:, 1]]


def test_ids_by_hand(tmp_path: Path) -> None:
    """The template's own turns, thinking steps before response steps, one mark after each."""
    tokenizer = chatml_tokenizer("<extra_0>")
    save_tokenizer(tmp_path, CHATML, tokenizer)
    start, end, mark = (tokenizer.token_to_id(t) for t in ("<|im_start|>", "<|im_end|>", "<extra_0>"))

    def turn(text: str) -> list[int]:
        return [start, *spell(tokenizer, text)]

    newline = spell(tokenizer, "\n")
    family = Steps(Tokens(tmp_path))
    item = family.render(Candidate(PROBLEM, 0, "<think>Hm.</think>5."))
    expected = [*turn("user\nQ: 2+3?"), end, *newline, *turn("assistant\nHm."), mark]
    expected += [*spell(tokenizer, "5."), mark, end, *newline]
    assert isinstance(item, Rendered)
    assert item.ids.tolist() == expected
    assert item.marks.tolist() == [29, 32]
    other = family.render(Candidate(PROBLEM, 0, "x", (Step("No"),)))
    expected = [*turn("user\nQ: 2+3?"), end, *newline, *turn("assistant\nNo"), mark, end, *newline]
    assert isinstance(other, Rendered)
    assert other.ids.tolist() == expected
    assert other.marks.tolist() == [28]
    whole = Whole(Tokens(tmp_path)).render(Candidate(PROBLEM, 0, "No.", (Step("N"), Step("o."))))
    expected = [*turn("user\nQ: 2+3?"), end, *newline, *turn("assistant\nNo."), mark, end, *newline]
    assert isinstance(whole, Rendered)
    assert whole.ids.tolist() == expected
    assert whole.marks.tolist() == [29]


def test_step_scores(prm: tuple[Path, Reference]) -> None:
    """P(good) of each step of thinking and response, and their mean."""
    model = FACTORIES["reasonflux-prm-7b"](path=str(prm[0]))
    found = scored(model, Candidate(PROBLEM, 0, TEXT))
    expected = by_card(prm[1], STEPS)
    assert found.steps == pytest.approx(expected, abs=1e-5)
    assert found.value == pytest.approx(sum(expected) / 3, abs=1e-5)
    parts = tuple(Step(text, "thinking" if n < 2 else "response") for n, text in enumerate(STEPS))
    assert scored(model, Candidate(PROBLEM, 0, "", parts)) == found
    assert isinstance(model, PreparedRewardModel)
    assert model.provenance()["proven"] == VERIFIED


@pytest.mark.parametrize("alpha", [1.0, 0.25, 0.0])
def test_selection_score(prm: tuple[Path, Reference], alpha: float) -> None:
    """Mean step plus alpha times P(good) of the whole text as one step; the steps are the step model's."""
    model = FACTORIES["reasonflux-prm-7b"](path=str(prm[0]), score="selection", alpha=alpha)
    found = scored(model, Candidate(PROBLEM, 0, TEXT))
    steps, (whole,) = by_card(prm[1], STEPS), by_card(prm[1], [TEXT])
    assert found.value == pytest.approx(sum(steps) / 3 + alpha * whole, abs=1e-5)
    assert found.steps == pytest.approx(steps, abs=1e-5)
    assert model.provenance()["proven"].startswith(RECALLED)
    assert model.provenance()["alpha"] == alpha


def test_selection_by_reference(prm: tuple[Path, Reference]) -> None:
    """The options are written in a reference, and belong to the fingerprint."""
    registry = load_registry()
    one, two = (
        registry.reward_model(f"reasonflux-prm-7b:path={prm[0]},score=selection,alpha={alpha}").obj
        for alpha in ("1", "0.5")
    )
    assert isinstance(one, Selection)
    assert isinstance(one, PreparedRewardModel)
    assert one.fingerprint != two.fingerprint


def test_selection_counts_and_keys(prm: tuple[Path, Reference]) -> None:
    """Both inputs are counted, equal candidates are computed once, and keys name both texts."""
    model = FACTORIES["reasonflux-prm-7b"](path=str(prm[0]), score="selection")
    assert isinstance(model, Selection)
    one, two = Candidate(PROBLEM, 0, TEXT), Candidate(PROBLEM, 1, "x", (Step("a"),))
    # the same steps out of another text: only the trajectory differs
    three = Candidate(PROBLEM, 2, "y", (Step("a"),))
    works = [work for work in model.prepare([one, two, three, one]) if isinstance(work, Work)]
    assert [works[0].key == work.key for work in works] == [True, False, False, True]
    assert works[1].key != works[2].key
    before = model.cost()["tokens"]
    scoring = score_candidates(model, [one, two, one], name="m", identity="i")
    assert model.cost()["tokens"] - before == works[0].size + works[1].size
    assert scoring.results[0] == scoring.results[2] != scoring.results[1]
    ids = [prm[1].ids(PROBLEM.prompt, text, system="") for text in ("a<extra_0>", "x<extra_0>")]
    assert works[1].size == sum(map(len, ids))


def test_selection_unscored(prm: tuple[Path, Reference]) -> None:
    """Empty and over-long candidates have a reason, and no half of a score."""
    model = FACTORIES["reasonflux-prm-7b"](path=str(prm[0]), score="selection", max_tokens=90)
    long = Candidate(PROBLEM, 0, "so\n\n" * 40)
    # only the trajectory does not fit: the text is longer than its given steps
    half = Candidate(PROBLEM, 1, "7 " * 60, (Step("a"),))
    empty = Candidate(PROBLEM, 2, " \n")
    found = model.score([long, half, empty])
    assert [type(result) for result in found] == [Unscored] * 3
    reasons = [result.reason for result in found if isinstance(result, Unscored)]
    assert "step marks lie past it" in reasons[0]
    assert reasons[1].startswith("too long")
    assert "step marks" not in reasons[1]
    assert reasons[2] == "empty response"


# ---- 1.5B


def save_whole(folder: Path, kind: str = "pt") -> tuple[object, dict[str, torch.Tensor], object]:
    """A tiny causal model and reward_head.pt or .safetensors beside it, as the release has it."""
    tokenizer = chatml_tokenizer()
    model = save_causal(folder, "qwen2", tokenizer, CHATML_CONFIG, seed=8)
    head = random_head(HEAD, 5)
    if kind == "pt":
        torch.save(head, folder / "reward_head.pt")
    else:
        save_file(head, folder / "reward_head.safetensors")
    return model, head, tokenizer


def test_whole_ids_by_hand(tmp_path: Path) -> None:
    """Problem and response without anything between, before or after; the last token is marked."""
    tokenizer = byte_tokenizer(())
    save_causal(tmp_path, "qwen2", tokenizer, {})
    for text, size in (("So 5.", 12), ("No", 9)):
        item = WholeText(Tokens(tmp_path)).render(Candidate(PROBLEM, 0, text))
        assert isinstance(item, Rendered)
        assert item.ids.tolist() == spell(tokenizer, "Q: 2+3?" + text)
        assert item.marks.tolist() == [size - 1]


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_whole_scores(tmp_path: Path, kind: str) -> None:
    """sigmoid(w . h + b) at the last token, from either file, and no head means no model."""
    plain, head, tokenizer = save_whole(tmp_path, kind)
    model = FACTORIES["reasonflux-prm-1.5b"](path=str(tmp_path))
    for text in (TEXT, "No", "\n\nAfter a blank line: é"):
        ids = tokenizer.encode(PROBLEM.prompt + text).ids  # type: ignore[attr-defined]
        value = hidden(plain, ids)[-1] @ head["weight"][0] + head["bias"][0]  # type: ignore[arg-type]
        found = scored(model, Candidate(PROBLEM, 0, text))
        assert found == Score(pytest.approx(float(torch.sigmoid(value)), abs=1e-5))
    (tmp_path / f"reward_head.{kind}").unlink()
    with pytest.raises(CheckpointError, match=r"neither reward_head\.safetensors nor reward_head\.pt"):
        FACTORIES["reasonflux-prm-1.5b"](path=str(tmp_path))


def test_head_is_part_of_the_identity(tmp_path: Path) -> None:
    """Another head beside the same weights is another model: stored scores are not reused."""
    save_whole(tmp_path)
    before = FACTORIES["reasonflux-prm-1.5b"](path=str(tmp_path)).fingerprint
    torch.save(random_head(HEAD, 6), tmp_path / "reward_head.pt")
    assert FACTORIES["reasonflux-prm-1.5b"](path=str(tmp_path)).fingerprint != before


class Bomb:
    """An object whose unpickling would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("the pickle was executed",))


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    """reward_head.pt is read weights-only: an object in it is refused, unexecuted."""
    save_whole(tmp_path)
    torch.save({"weight": torch.ones(1, WIDTH), "bias": Bomb()}, tmp_path / "reward_head.pt")
    with pytest.raises(CheckpointError, match="broken or more than tensors"):
        FACTORIES["reasonflux-prm-1.5b"](path=str(tmp_path))
    (tmp_path / "reward_head.pt").write_bytes(pickle.dumps({"weight": Bomb()}, protocol=2))
    with pytest.raises(CheckpointError, match="broken or more than tensors"):
        FACTORIES["reasonflux-prm-1.5b"](path=str(tmp_path))


def test_whole_refusals(tmp_path: Path, prm: tuple[Path, Reference]) -> None:
    """A head of another shape or other names, and the 7B in the place of the 1.5B, are refused."""
    save_whole(tmp_path)
    torch.save(random_head({"weight": (2, WIDTH), "bias": (2,)}), tmp_path / "reward_head.pt")
    with pytest.raises(CheckpointError, match="this family wants 32 in and 1 out"):
        FACTORIES["reasonflux-prm-1.5b"](path=str(tmp_path))
    torch.save(random_head({"weight": (1, WIDTH)}), tmp_path / "reward_head.pt")
    with pytest.raises(CheckpointError, match=r"this family wants reward_head\.bias"):
        FACTORIES["reasonflux-prm-1.5b"](path=str(tmp_path))
    torch.save([1, 2], tmp_path / "reward_head.pt")
    with pytest.raises(CheckpointError, match="holds no tensors by name"):
        FACTORIES["reasonflux-prm-1.5b"](path=str(tmp_path))
    with pytest.raises(CheckpointError, match=r"has unexpected score\.0\.bias"):
        FACTORIES["reasonflux-prm-1.5b"](path=str(prm[0]))
    with pytest.raises(CheckpointError, match=r"lacks score\.0\.bias"):
        give_head(tmp_path, {}, keep_lm_head=True)
        tokenizer = chatml_tokenizer("<extra_0>")
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        FACTORIES["reasonflux-prm-7b"](path=str(tmp_path))


class TestContract(RewardModelContract):
    """The selection score keeps what every reward model promises."""

    @pytest.fixture(autouse=True)
    def _folder(self, prm: tuple[Path, Reference]) -> None:
        self.folder = prm[0]

    def make(self) -> RewardModel:
        """The model under test."""
        return FACTORIES["reasonflux-prm-7b"](path=str(self.folder), score="selection")
