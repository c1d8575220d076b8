"""Skywork's PRMs and classifiers: golden ids and marks, the published formulas, refusals."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from prm_eval_skywork import prm_eval_reward_models
from prm_eval_skywork.models import ValueHead, sigmoid
from tiny_checkpoint import QWEN_PATTERN, byte_tokenizer, save_causal
from tiny_heads import (
    BOS,
    CHATML_CONFIG,
    LLAMA_CONFIG,
    WIDTH,
    chatml_tokenizer,
    give_head,
    hidden,
    llama_tokenizer,
    random_head,
    spell,
)
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from prm_eval.cards import card_of
from prm_eval.errors import CheckpointError
from prm_eval.readout import Rendered, Tokens
from prm_eval.readout.outcomes import ChatScalar
from prm_eval.testing import RewardModelContract
from prm_eval.types import Candidate, Problem, RewardModel, Score, Step, Unscored

FACTORIES = prm_eval_reward_models()
PROBLEM = Problem("p", "Q: 2+3?")
VALUE = {"v_head.summary.weight": (1, WIDTH), "v_head.summary.bias": (1,)}
QWEN = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
Saved = tuple[Path, PreTrainedModel, Tokenizer, dict[str, torch.Tensor]]


def given(*steps: str) -> Candidate:
    """A candidate with given steps."""
    return Candidate(PROBLEM, 0, "\n".join(steps), tuple(map(Step, steps)))


def scored(model: RewardModel, candidate: Candidate) -> Score:
    """The score of one candidate, which must have one."""
    (found,) = model.score([candidate])
    assert isinstance(found, Score), found
    return found


@pytest.fixture(scope="module")
def prm(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A tiny Qwen2 with TRL's value head; the LM head stays, as in the release."""
    folder = tmp_path_factory.mktemp("prm")
    tokenizer = byte_tokenizer(("<|endoftext|>", "<|im_start|>", "<|im_end|>"), QWEN_PATTERN)
    model = save_causal(folder, "qwen2", tokenizer, QWEN, seed=1)
    head = random_head(VALUE, 1)
    give_head(folder, head, keep_lm_head=True, architectures=["Qwen2ForPrmModel"])
    return folder, model, tokenizer, head


def save_classifier(folder: Path, kind: str, seed: int = 2) -> PreTrainedModel:
    """A tiny sequence classifier with one label, as transformers reads it itself."""
    llama = kind != "qwen3"
    tokenizer = llama_tokenizer() if llama else chatml_tokenizer()
    save_causal(folder, kind, tokenizer, LLAMA_CONFIG if llama else CHATML_CONFIG, seed=seed)
    name = {"llama": "Llama", "qwen3": "Qwen3", "gemma2": "Gemma2"}[kind]
    labels = {"id2label": {"0": "LABEL_0"}, "architectures": [f"{name}ForSequenceClassification"]}
    give_head(folder, random_head({"score.weight": (1, WIDTH)}, seed), **labels)
    return AutoModelForSequenceClassification.from_pretrained(folder).eval()


def test_names() -> None:
    """Two PRMs, eight outcome models of V2 and four of V1, each with its hub id."""
    assert len(FACTORIES) == 14
    assert {
        "skywork-o1-open-prm-1.5b",
        "skywork-reward-v2-llama-3.1-8b-40m",
        "skywork-reward-gemma-2-27b",
    } <= (FACTORIES.keys())
    cards = [card_of(factory) for factory in FACTORIES.values()]
    assert [card.kind for card in cards if card is not None].count("step") == 2


# ---- Skywork-o1-Open-PRM


def test_prm_ids_by_hand(prm: Saved) -> None:
    """BOS, problem, newline; each step letter by letter, then the newline that is the mark."""
    folder, _, tokenizer, _ = prm
    newline, bos = tokenizer.token_to_id("Ċ"), tokenizer.token_to_id("<|endoftext|>")
    family = ValueHead(Tokens(folder))
    expected = [bos, *spell(tokenizer, "Q: 2+3?\nSo 5."), newline, *spell(tokenizer, "Yes."), newline]
    item = family.render(given("So 5.", "Yes."))
    assert isinstance(item, Rendered)
    assert item.ids.tolist() == expected
    assert item.marks.tolist() == [14, 19]
    other = family.render(given("No"))
    assert isinstance(other, Rendered)
    assert other.ids.tolist() == [bos, *spell(tokenizer, "Q: 2+3?\nNo"), newline]
    assert other.marks.tolist() == [11]


def reference(saved: Saved, problem: str, lines: Sequence[str]) -> list[float]:
    """The authors' recipe: pieces through transformers' tokenizer, sigmoid of the value at each newline."""
    folder, model, _, head = saved
    tokenizer = AutoTokenizer.from_pretrained(folder)
    newline = tokenizer.encode("\n")[-1]
    ids = tokenizer.encode(tokenizer.bos_token + problem + "\n")
    places = []
    for line in lines:
        ids += tokenizer.encode(line)
        places.append(len(ids))
        ids.append(newline)
    values = hidden(model, ids)[places] @ head["v_head.summary.weight"][0] + head["v_head.summary.bias"]
    return [float(value) for value in torch.sigmoid(values)]


@pytest.mark.parametrize("name", ["skywork-o1-open-prm-1.5b", "skywork-o1-open-prm-7b"])
def test_prm_scores(prm: Saved, name: str) -> None:
    """One score per step and their mean, as by the authors' recipe."""
    model = FACTORIES[name](path=str(prm[0]))
    for steps in (("So 5.", "Yes, \\boxed{5}."), ("No",), ("é", "x = 1", "y = 2", "a b  c")):
        found = scored(model, given(*steps))
        expected = reference(prm, PROBLEM.prompt, steps)
        assert found.steps == pytest.approx(expected, abs=1e-5)
        assert found.value == pytest.approx(sum(expected) / len(expected), abs=1e-5)


def test_prm_lines(prm: Saved) -> None:
    """A text is split into its lines; a newline in a given step is a blank, so steps keep their number."""
    model = FACTORIES["skywork-o1-open-prm-7b"](path=str(prm[0]))
    text = Candidate(PROBLEM, 0, "One.\nTwo.\n\nThree.\n")
    assert scored(model, text) == scored(model, given("One.", "Two.", "Three."))
    inner = given("One.\n  Two.", "Three.")
    assert scored(model, inner) == scored(model, given("One. Two.", "Three."))
    assert len(scored(model, inner).steps or ()) == 2
    assert model.score([Candidate(PROBLEM, 0, "\n")]) == [Unscored("empty response")]


def test_prm_refusals(prm: Saved, tmp_path: Path) -> None:
    """No BOS in the tokenizer, no value head (a plain causal model), a head of another shape."""
    factory = FACTORIES["skywork-o1-open-prm-7b"]
    tokenizer = prm[2]
    save_causal(tmp_path, "qwen2", tokenizer, QWEN)
    with pytest.raises(CheckpointError, match=r"lacks v_head\.summary\.bias, v_head\.summary\.weight"):
        factory(path=str(tmp_path))
    give_head(tmp_path, random_head({"v_head.summary.weight": (2, WIDTH), "v_head.summary.bias": (2,)}))
    with pytest.raises(CheckpointError, match="this family wants 32 in and 1 out"):
        factory(path=str(tmp_path))
    give_head(tmp_path, random_head(VALUE))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="names no bos_token"):
        factory(path=str(tmp_path))


def test_newline_must_be_one_token(tmp_path: Path) -> None:
    """A separator that the tokenizer writes as several tokens is refused."""
    from tiny_checkpoint import sentencepiece_tokenizer

    save_causal(tmp_path, "mistral", sentencepiece_tokenizer([]), {"bos_token": "<s>"})
    give_head(tmp_path, random_head(VALUE))
    with pytest.raises(CheckpointError, match=r"'\\n' is 2 tokens"):
        FACTORIES["skywork-o1-open-prm-7b"](path=str(tmp_path))


def test_sigmoid() -> None:
    """Float32, equal to torch's, and no overflow far out."""
    values = torch.tensor([-200.0, -3.0, 0.0, 5.0, 200.0])
    assert sigmoid(values.numpy()).tolist() == pytest.approx(
        torch.sigmoid(values.double()).tolist(), abs=1e-7
    )


# ---- Skywork-Reward


def test_reward_ids_by_hand(tmp_path: Path) -> None:
    """Turns letter by letter, one BOS (template and tokenizer both write one), the last token marked."""
    tokenizer = llama_tokenizer()
    save_causal(tmp_path, "llama", tokenizer, LLAMA_CONFIG)
    bos, start, end, turn = (
        tokenizer.token_to_id(t) for t in (BOS, "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    )
    assistant, blank = tokenizer.token_to_id("assistant"), tokenizer.token_to_id("ĊĊ")
    user = [start, *spell(tokenizer, "user"), end, blank, *spell(tokenizer, "Q: 2+3?"), turn]
    for text in ("Got 5.", "No"):
        expected = [bos, *user, start, assistant, end, blank, *spell(tokenizer, text), turn]
        item = ChatScalar(Tokens(tmp_path), "test").render(Candidate(PROBLEM, 0, text))
        assert isinstance(item, Rendered)
        assert item.ids.tolist() == expected
        assert item.marks.tolist() == [len(expected) - 1]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("skywork-reward-v2-llama-3.1-8b", "llama"),
        ("skywork-reward-v2-qwen3-0.6b", "qwen3"),
        ("skywork-reward-gemma-2-27b-v0.2", "gemma2"),
    ],
)
def test_reward_scores(tmp_path: Path, name: str, kind: str) -> None:
    """The raw logit of transformers' own classifier on the template's own ids, BOS once."""
    plain = save_classifier(tmp_path, kind)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model = FACTORIES[name](path=str(tmp_path))
    for text in ("It is 5.\n\nSo \\boxed{5}.", "No", "  blanks around \n"):
        messages = [{"role": "user", "content": PROBLEM.prompt}, {"role": "assistant", "content": text}]
        ids = tokenizer(tokenizer.apply_chat_template(messages, tokenize=False).removeprefix(BOS))[
            "input_ids"
        ]
        assert ids.count(tokenizer.bos_token_id) == (kind != "qwen3")
        with torch.no_grad():
            expected = float(plain(input_ids=torch.tensor([ids])).logits[0, 0])
        found = scored(model, Candidate(PROBLEM, 0, text))
        assert found.steps is None
        assert found.value == pytest.approx(expected, abs=1e-5)


def test_template_without_bos(tmp_path: Path) -> None:
    """V1 took BOS out of its template: the tokenizer's is there, once, and the scores are the same."""
    save_classifier(tmp_path, "llama")
    candidate = Candidate(PROBLEM, 0, "It is 5.")
    before = scored(FACTORIES["skywork-reward-llama-3.1-8b"](path=str(tmp_path)), candidate)
    config = LLAMA_CONFIG | {"chat_template": LLAMA_CONFIG["chat_template"].replace("bos_token + ", "")}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert scored(FACTORIES["skywork-reward-llama-3.1-8b"](path=str(tmp_path)), candidate) == before


def test_double_bos_is_another_score(tmp_path: Path) -> None:
    """The trap is real: the rendered text through a plain tokenizer call begins with BOS twice."""
    plain = save_classifier(tmp_path, "llama")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    messages = [{"role": "user", "content": PROBLEM.prompt}, {"role": "assistant", "content": "It is 5."}]
    ids = tokenizer(tokenizer.apply_chat_template(messages, tokenize=False))["input_ids"]
    assert ids[:2] == [tokenizer.bos_token_id] * 2
    with torch.no_grad():
        wrong = float(plain(input_ids=torch.tensor([ids])).logits[0, 0])
    model = FACTORIES["skywork-reward-v2-llama-3.1-8b"](path=str(tmp_path))
    assert abs(scored(model, Candidate(PROBLEM, 0, "It is 5.")).value - wrong) > 1e-3


def test_pad_equal_to_eos_is_harmless(tmp_path: Path) -> None:
    """The last position is read, whatever its id: classes that look for padding skip a closing eos."""
    plain = save_classifier(tmp_path, "llama")
    model = FACTORIES["skywork-reward-v2-llama-3.1-8b"]
    candidates = [Candidate(PROBLEM, 0, "It is 5."), Candidate(PROBLEM, 1, "A far longer text, for padding.")]
    before = model(path=str(tmp_path)).score(candidates)
    turn = llama_tokenizer().token_to_id("<|eot_id|>")
    give_head(tmp_path, {}, pad_token_id=turn, eos_token_id=turn)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(LLAMA_CONFIG | {"pad_token": "<|eot_id|>"}))
    assert model(path=str(tmp_path)).score(candidates) == before
    item = ChatScalar(Tokens(tmp_path), "test").render(candidates[0])
    assert isinstance(item, Rendered)
    plain.config.pad_token_id = turn
    with torch.no_grad():
        skipped = float(plain(input_ids=torch.from_numpy(item.ids).long()[None]).logits[0, 0])
    assert isinstance(before[0], Score)
    assert abs(before[0].value - skipped) > 1e-3


def test_wrong_classes(prm: Saved, tmp_path: Path) -> None:
    """A causal model is no classifier, a classifier no PRM: the missing head is named."""
    save_causal(tmp_path / "causal", "llama", llama_tokenizer(), LLAMA_CONFIG)
    with pytest.raises(CheckpointError, match=r"lacks score\.weight"):
        FACTORIES["skywork-reward-v2-llama-3.1-8b"](path=str(tmp_path / "causal"))
    save_classifier(tmp_path / "classifier", "llama")
    with pytest.raises(CheckpointError, match=r"lacks v_head\.summary\.bias.* has unexpected score\.weight"):
        FACTORIES["skywork-o1-open-prm-7b"](path=str(tmp_path / "classifier"))


def test_two_labels_are_refused(tmp_path: Path) -> None:
    """A classifier with two labels gives no single number."""
    save_classifier(tmp_path, "llama")
    give_head(tmp_path, random_head({"score.weight": (2, WIDTH)}))
    with pytest.raises(CheckpointError, match="this family wants 32 in and 1 out"):
        FACTORIES["skywork-reward-v2-llama-3.1-8b"](path=str(tmp_path))


def test_too_long_and_half_precision(tmp_path: Path) -> None:
    """Past the position range a response is Unscored; in bfloat16 scores stay close."""
    save_causal(tmp_path, "llama", llama_tokenizer(), LLAMA_CONFIG, limit=120)
    give_head(tmp_path, random_head({"score.weight": (1, WIDTH)}))
    model = FACTORIES["skywork-reward-v2-llama-3.1-8b"](path=str(tmp_path))
    (result,) = model.score([Candidate(PROBLEM, 0, "1 " * 200)])
    assert isinstance(result, Unscored)
    assert "the model reads 120" in result.reason
    half = FACTORIES["skywork-reward-v2-llama-3.1-8b"](path=str(tmp_path), dtype="bfloat16")
    candidate = Candidate(PROBLEM, 0, "It is 5.")
    assert scored(half, candidate).value == pytest.approx(scored(model, candidate).value, abs=0.1)


class TestContract(RewardModelContract):
    """The tiny PRM keeps what every reward model promises."""

    @pytest.fixture(autouse=True)
    def _folder(self, prm: Saved) -> None:
        self.folder = prm[0]

    def make(self) -> RewardModel:
        """The model under test."""
        return FACTORIES["skywork-o1-open-prm-7b"](path=str(self.folder))
