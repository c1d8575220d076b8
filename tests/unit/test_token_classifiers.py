"""TRL's PRMs, PURE and ReasonEval: golden ids and marks, the published formulas, refusals."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from prm_eval_token_classifiers import prm_eval_reward_models
from prm_eval_token_classifiers.reasoneval import ReasonEval
from prm_eval_token_classifiers.separated import SeparatedSteps
from tiny_checkpoint import QWEN_PATTERN, SPECIAL, byte_tokenizer, save_causal, sentencepiece_tokenizer
from tiny_heads import PLAIN, WIDTH, chatml_tokenizer, give_head, hidden, random_head, spell
from tokenizers import Tokenizer
from transformers import AutoModelForTokenClassification, AutoTokenizer, PreTrainedModel

from prm_eval.errors import CheckpointError
from prm_eval.plugins import load_registry
from prm_eval.readout import Rendered, Tokens
from prm_eval.testing import RewardModelContract
from prm_eval.types import Candidate, Problem, RewardModel, Score, Step, Unscored

FACTORIES = prm_eval_reward_models()
PROBLEM = Problem("p", "Q: 2+3?")
STEPS = ("Got 2 and 3.", "x = 5\nso \\boxed{5}.", "Done")
TWO = {"score.weight": (2, WIDTH), "score.bias": (2,)}
THREE = {"score_head.weight": (3, WIDTH), "score_head.bias": (3,)}
NEUTRAL = {"0": "LABEL_0", "1": "LABEL_1"}


def given(*steps: str) -> Candidate:
    """A candidate with given steps."""
    return Candidate(PROBLEM, 0, "\n\n".join(steps), tuple(map(Step, steps)))


def scored(model: RewardModel, candidate: Candidate) -> Score:
    """The score of one candidate, which must have one."""
    (found,) = model.score([candidate])
    assert isinstance(found, Score), found
    return found


def save_trl(folder: Path, bos: str | None = None, labels: dict[str, str] | None = None) -> Tokenizer:
    """A tiny Qwen2ForTokenClassification as TRL's trainer saves it."""
    tokenizer = byte_tokenizer(SPECIAL, QWEN_PATTERN)
    save_causal(folder, "qwen2", tokenizer, PLAIN | {"bos_token": bos, "pad_token": "<|endoftext|>"}, seed=2)
    give_head(
        folder,
        random_head(TWO, 2),
        architectures=["Qwen2ForTokenClassification"],
        id2label=labels or NEUTRAL,
        label2id={label: int(key) for key, label in (labels or NEUTRAL).items()},
    )
    return tokenizer


def by_trainer(folder: Path, steps: Sequence[str], separator: str = "\n\n") -> torch.Tensor:
    """TRL's own pieces (prompt, then step and separator ids) through transformers' own class."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = AutoModelForTokenClassification.from_pretrained(folder).eval()
    assert type(plain).__name__ == "Qwen2ForTokenClassification"
    closing = tokenizer.encode(separator, add_special_tokens=False)
    ids = tokenizer(PROBLEM.prompt, add_special_tokens=False)["input_ids"]
    ids = ids if tokenizer.bos_token_id is None else [tokenizer.bos_token_id, *ids]
    places = []
    for step in steps:
        ids = ids + tokenizer(step, add_special_tokens=False)["input_ids"] + closing
        places.append(len(ids) - 1)
    with torch.no_grad():
        logits: torch.Tensor = plain(input_ids=torch.tensor([ids])).logits[0]
    return logits[places].softmax(-1)


# ---- TRL and PURE


def test_trl_ids_by_hand(tmp_path: Path) -> None:
    """Problem, steps letter by letter, a blank line of one id after each, which is the mark."""
    tokenizer = save_trl(tmp_path)
    blank = tokenizer.token_to_id("ĊĊ")
    family = SeparatedSteps(Tokens(tmp_path), "test", "\n\n", bos=True)
    item = family.render(given("So 5.", "Yes."))
    assert isinstance(item, Rendered)
    assert item.ids.tolist() == [*spell(tokenizer, "Q: 2+3?So 5."), blank, *spell(tokenizer, "Yes."), blank]
    assert item.marks.tolist() == [12, 17]
    other = family.render(given("No"))
    assert isinstance(other, Rendered)
    assert other.ids.tolist() == [*spell(tokenizer, "Q: 2+3?No"), blank]
    assert other.marks.tolist() == [9]


@pytest.mark.parametrize(
    "name", ["trl-prm", "qwen2.5-math-1.5b-instruct-prm-0.2", "qwen2.5-math-7b-instruct-prm-0.2"]
)
def test_trl_scores(tmp_path: Path, name: str) -> None:
    """P(LABEL_1) at each separator by transformers' own class on the trainer's own ids; their product."""
    save_trl(tmp_path)
    model = FACTORIES[name](path=str(tmp_path))
    for steps in (STEPS, ("No",)):
        found = scored(model, given(*steps))
        expected = by_trainer(tmp_path, steps)[:, 1]
        assert found.steps == pytest.approx(expected.tolist(), abs=1e-5)
        assert found.value == pytest.approx(float(expected.prod()), abs=1e-5)
    assert model.score([Candidate(PROBLEM, 0, "\n\n")]) == [Unscored("empty response")]


def test_trl_options(tmp_path: Path) -> None:
    """The trainer's default separator, and a BOS where the tokenizer has one."""
    save_trl(tmp_path, bos="<|endoftext|>")
    model = load_registry().reward_model(f"trl-prm:path={tmp_path},separator=newline").obj
    expected = by_trainer(tmp_path, STEPS, "\n")[:, 1]
    assert scored(model, given(*STEPS)).steps == pytest.approx(expected.tolist(), abs=1e-5)


def test_the_separator_melts_in_a_whole_text(tmp_path: Path) -> None:
    """The trap is real: encoded in one piece, a blank line after a full stop is no separator any more."""
    save_trl(tmp_path)
    melting = byte_tokenizer(SPECIAL, QWEN_PATTERN, more=[(".", "ĊĊ")])
    blank = melting.token_to_id("ĊĊ")
    assert blank not in melting.encode("So 5.\n\n").ids
    melting.save(str(tmp_path / "tokenizer.json"))
    item = SeparatedSteps(Tokens(tmp_path), "test", "\n\n", bos=True).render(given("So 5."))
    assert isinstance(item, Rendered)
    assert item.ids.tolist()[-1] == blank


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"0": "correct", "1": "incorrect"}, "calls class 0 'correct'"),
        ({"0": "LABEL_0", "1": "Bad"}, "calls class 1 'bad'"),
        ({"0": "-", "1": "0", "2": "+"}, "names 3 classes, this family reads 2"),
    ],
)
def test_swapped_classes_are_refused(tmp_path: Path, labels: dict[str, str], said: str) -> None:
    """Where config.json names the classes, they must stand as they are read."""
    save_trl(tmp_path, labels=labels)
    with pytest.raises(CheckpointError, match=said):
        FACTORIES["trl-prm"](path=str(tmp_path))


def test_named_classes_pass(tmp_path: Path) -> None:
    """Classes that are named as they are read are no obstacle."""
    save_trl(tmp_path, labels={"0": "incorrect", "1": "correct"})
    assert scored(FACTORIES["trl-prm"](path=str(tmp_path)), given("a")).steps is not None


def test_separated_refusals(tmp_path: Path) -> None:
    """A separator of several tokens, a causal model, a classifier of whole texts."""
    save_causal(tmp_path / "mistral", "mistral", sentencepiece_tokenizer([]), PLAIN)
    give_head(tmp_path / "mistral", random_head(TWO))
    with pytest.raises(CheckpointError, match=r"'\\n\\n' is 3 tokens"):
        FACTORIES["trl-prm"](path=str(tmp_path / "mistral"))
    save_causal(tmp_path / "causal", "qwen2", chatml_tokenizer(), PLAIN)
    with pytest.raises(CheckpointError, match=r"lacks score\.bias, score\.weight"):
        FACTORIES["pure-prm-7b"](path=str(tmp_path / "causal"))
    give_head(tmp_path / "causal", random_head({"score.weight": (2, WIDTH)}))
    with pytest.raises(CheckpointError, match=r"lacks score\.bias"):
        FACTORIES["pure-prm-7b"](path=str(tmp_path / "causal"))


def test_pure(tmp_path: Path) -> None:
    """P(good) - P(bad) at each separator, and the lowest of them; no BOS even where there is one."""
    save_trl(tmp_path)
    expected = by_trainer(tmp_path, STEPS)
    save_trl(tmp_path, bos="<|endoftext|>")
    found = scored(FACTORIES["pure-prm-7b"](path=str(tmp_path)), given(*STEPS))
    net = (expected[:, 1] - expected[:, 0]).tolist()
    assert found.steps == pytest.approx(net, abs=1e-5)
    assert found.value == pytest.approx(min(net), abs=1e-5)


# ---- ReasonEval


def save_reasoneval(folder: Path, size: str, bias: bool) -> tuple[PreTrainedModel, dict[str, torch.Tensor]]:
    """A tiny Mistral whose pad token is BOS (7B), or a Llama with a pad token of its own (34B)."""
    kind, key = ("mistral", "use_bias") if size == "7b" else ("llama", "bias")
    tokenizer = sentencepiece_tokenizer([])
    pad = "<s>" if size == "7b" else "</s>"
    model = save_causal(folder, kind, tokenizer, PLAIN | {"bos_token": "<s>", "pad_token": pad}, seed=6)
    head = random_head(THREE if bias else {"score_head.weight": (3, WIDTH)}, 6)
    name = "score_dimension" if size == "7b" else "score_dim"
    give_head(folder, head, architectures=[f"ReasonEval_{size.upper()}"], **{name: 3, key: bias})
    return model, head


def by_script(
    folder: Path, size: str, saved: tuple[PreTrainedModel, dict[str, torch.Tensor]], steps: Sequence[str]
) -> torch.Tensor:
    """The authors' script: join by the pad token, take it out, count the positions. [n_steps, 3]"""
    plain, head = saved
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pad = tokenizer.pad_token_id
    prompt = f"Question:\n{PROBLEM.prompt}\nAnswer:\nLet's think step by step.\n"
    joined = tokenizer(prompt + tokenizer.pad_token + "".join(step + tokenizer.pad_token for step in steps))
    ids, places, removed = [], [], 0
    for place, number in enumerate(joined["input_ids"]):
        if number == pad:
            places.append(place - 1 - removed)
            removed += 1
        else:
            ids.append(number)
    ids, places = ([1, *ids], places[2:]) if size == "7b" else (ids, places[1:])
    assert len(places) == len(steps)
    logits = hidden(plain, ids)[places] @ head["score_head.weight"].T + head.get("score_head.bias", 0)
    return logits.softmax(-1)


@pytest.mark.parametrize("size", ["7b", "34b"])
def test_reasoneval_ids_by_hand(tmp_path: Path, size: str) -> None:
    """BOS, the question, the steps with nothing between; the 7B's marks stand one token earlier."""
    save_reasoneval(tmp_path, size, True)
    vocabulary = sentencepiece_tokenizer([]).get_vocab()

    def spelled(text: str) -> list[int]:
        letters = "▁" + text.replace(" ", "▁")
        return [
            n for c in letters for n in ([vocabulary[c]] if c in vocabulary else [3 + b for b in c.encode()])
        ]

    prompt = spelled("Question:\nQ: 2+3?\nAnswer:\nLet's think step by step.\n")
    back = 1 if size == "7b" else 0
    family = ReasonEval(Tokens(tmp_path), back, "use_bias", "validity")
    item = family.render(given("So 5.", "No"))
    assert isinstance(item, Rendered)
    assert item.ids.tolist() == [1, *prompt, *spelled("So 5."), *spelled("No")]
    assert item.marks.tolist() == [len(prompt) + 6 - back, len(prompt) + 9 - back]
    other = family.render(given("Yes"))
    assert isinstance(other, Rendered)
    assert other.ids.tolist() == [1, *prompt, *spelled("Yes")]
    assert other.marks.tolist() == [len(prompt) + 4 - back]


@pytest.mark.parametrize(("size", "bias"), [("7b", True), ("7b", False), ("34b", True), ("34b", False)])
def test_reasoneval_scores(tmp_path: Path, size: str, bias: bool) -> None:
    """Validity is neutral + positive and its minimum, redundancy neutral and its maximum, by the script."""
    saved = save_reasoneval(tmp_path, size, bias)
    steps = ("So 5.", "No, x = 3", "Yes")
    classes = by_script(tmp_path, size, saved, steps)
    model = FACTORIES[f"reasoneval-{size}"](path=str(tmp_path))
    validity = (classes[:, 1] + classes[:, 2]).tolist()
    found = scored(model, given(*steps))
    assert found.steps == pytest.approx(validity, abs=1e-5)
    assert found.value == pytest.approx(min(validity), abs=1e-5)
    other = FACTORIES[f"reasoneval-{size}"](path=str(tmp_path), score="redundancy")
    found = scored(other, given(*steps))
    assert found.steps == pytest.approx(classes[:, 1].tolist(), abs=1e-5)
    assert found.value == pytest.approx(float(classes[:, 1].max()), abs=1e-5)
    assert other.fingerprint != model.fingerprint
    assert (model.default_aggregation, other.default_aggregation) == ("min", "max")


def test_reasoneval_refusals(tmp_path: Path) -> None:
    """A head without the bias that config.json promises, and a tokenizer without BOS."""
    save_reasoneval(tmp_path, "7b", False)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_bias": True}))
    with pytest.raises(CheckpointError, match=r"lacks score_head\.bias"):
        FACTORIES["reasoneval-7b"](path=str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="names no bos_token"):
        FACTORIES["reasoneval-7b"](path=str(tmp_path))


class TestContract(RewardModelContract):
    """The tiny TRL PRM keeps what every reward model promises."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        save_trl(tmp_path)
        self.folder = tmp_path

    def make(self) -> RewardModel:
        """The model under test."""
        return FACTORIES["trl-prm"](path=str(self.folder))
