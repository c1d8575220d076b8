"""LM-token PRMs: golden ids and marks, scores against the published formulas, refusals at load."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from prm_eval_token_prms import prm_eval_reward_models
from prm_eval_token_prms.tagged import PSA, SHEPHERD, VERSA, TaggedText
from prm_eval_token_prms.turns import Turns
from tiny_checkpoint import (
    LLAMA_SPECIAL,
    LLAMA_TEMPLATE,
    QWEN_PATTERN,
    SPECIAL,
    byte_tokenizer,
    save_adapter,
    save_causal,
    sentencepiece_tokenizer,
)
from tokenizers import Tokenizer, processors
from transformers import AutoTokenizer, PreTrainedModel

from prm_eval.cards import card_of
from prm_eval.errors import BadOption, CheckpointError
from prm_eval.readout import Rendered, Tokens
from prm_eval.testing import RewardModelContract
from prm_eval.types import Candidate, Problem, RewardModel, Score, Step, Unscored

FACTORIES = prm_eval_reward_models()
PROBLEM = Problem("p", "Q: 2+3?")
ONE = ("It is 5.", "So \\boxed{5}.")
TWO = ("No.",)
SP_MERGES = [("▁", "+"), ("▁", "-"), ("к", "и"), ("▁", "ки")]
LLAMA = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "chat_template": LLAMA_TEMPLATE}
Saved = tuple[Path, PreTrainedModel, Tokenizer]


def candidate(steps: Sequence[str], index: int = 0) -> Candidate:
    """A candidate with given steps."""
    return Candidate(PROBLEM, index, "\n\n".join(steps), tuple(map(Step, steps)))


@pytest.fixture(scope="module")
def shepherd(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A tiny Mistral with a sentencepiece vocabulary."""
    folder, tokenizer = tmp_path_factory.mktemp("shepherd"), sentencepiece_tokenizer(SP_MERGES)
    return folder, save_causal(folder, "mistral", tokenizer, {"bos_token": "<s>"}, seed=3), tokenizer


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A tiny Llama with the chat template of 3.1, its LM head tied."""
    folder = tmp_path_factory.mktemp("llama")
    tokenizer = byte_tokenizer(LLAMA_SPECIAL, bos="<|begin_of_text|>")
    return folder, save_causal(folder, "llama", tokenizer, LLAMA, seed=4, tied=True), tokenizer


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A tiny Qwen2."""
    folder, tokenizer = tmp_path_factory.mktemp("qwen"), byte_tokenizer(SPECIAL, QWEN_PATTERN)
    return folder, save_causal(folder, "qwen2", tokenizer, {}, seed=5), tokenizer


@torch.no_grad()
def good_of_two(model: PreTrainedModel, ids: Sequence[int], place: int, good: int, bad: int) -> float:
    """softmax(logits[good], logits[bad])[0] at one place of one plain forward pass."""
    logits = model(input_ids=torch.tensor([list(ids)])).logits[0, place]
    return float(logits[[good, bad]].softmax(-1)[0])


def score(model: RewardModel, steps: Sequence[str]) -> Score:
    """The score of one candidate, which must have one."""
    (found,) = model.score([candidate(steps)])
    assert isinstance(found, Score)
    return found


def by_bytes(text: str) -> list[int]:
    """Ids of text under `byte_tokenizer` with no merge in it: the place of each byte's letter."""
    letters = sorted(set(map(chr, [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)])))
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [n for n in range(256) if n not in visible]
    return [letters.index(chr(b) if b in visible else chr(256 + hidden.index(b))) for b in text.encode()]


# ---- Math-Shepherd


def test_shepherd_ids_by_hand(shepherd: Saved) -> None:
    """BOS, ▁, the text letter by letter, one ки after each step, a newline as a byte between steps."""
    folder, _, tokenizer = shepherd
    vocabulary = tokenizer.get_vocab()

    def spell(text: str) -> list[int]:
        return [
            n
            for letter in text.replace(" ", "▁")
            for n in ([vocabulary[letter]] if letter in vocabulary else [3 + b for b in letter.encode()])
        ]

    tag = vocabulary["▁ки"]
    # " +" never stands in this text, so the only merges are those of the tags
    expected = [1, *spell("▁Q: 2+3? Step 1: It is 5."), tag, 3 + 10, *spell("Step 2: So \\boxed{5}."), tag]
    item = TaggedText(Tokens(folder), SHEPHERD).render(candidate(ONE))
    assert isinstance(item, Rendered)
    assert item.ids.tolist() == expected
    assert item.marks.tolist() == [26, len(expected) - 1]
    other = TaggedText(Tokens(folder), SHEPHERD).render(candidate(TWO))
    assert isinstance(other, Rendered)
    assert other.ids.tolist() == [1, *spell("▁Q: 2+3? Step 1: No."), tag]
    assert other.marks.tolist() == [len(other.ids) - 1]


@pytest.mark.parametrize("steps", [ONE, TWO, ("Step 1: said already", "а b  c", "é\u2028")])
def test_shepherd_scores(shepherd: Saved, steps: tuple[str, ...]) -> None:
    """The card's recipe by hand: whole text, softmax of the two ids of "+ -" at each ки, class 0."""
    folder, plain, tokenizer = shepherd
    lines = [s if s.startswith("Step 1") else f"Step {n}: {s.strip()}" for n, s in enumerate(steps, 1)]
    ids = tokenizer.encode(f"{PROBLEM.prompt} " + "\n".join(f"{line} ки" for line in lines)).ids
    plus, minus = tokenizer.encode("+ -").ids[1:]
    tag = tokenizer.encode("ки").ids[-1]
    expected = [good_of_two(plain, ids, n, plus, minus) for n, token in enumerate(ids) if token == tag]
    found = score(FACTORIES["math-shepherd-mistral-7b-prm"](path=str(folder)), steps)
    assert len(expected) == len(steps)
    assert found.steps == pytest.approx(expected, abs=1e-5)
    assert found.value == pytest.approx(min(expected), abs=1e-5)


def test_shepherd_converted_wrongly(tmp_path: Path) -> None:
    """A tokenizer without the blank before a text, whose + is not ▁+, is refused."""
    save_causal(tmp_path, "mistral", sentencepiece_tokenizer([*SP_MERGES], prepend=False), {})
    with pytest.raises(CheckpointError, match=r"they must be .'▁ки', '▁\+', '▁-'."):
        FACTORIES["math-shepherd-mistral-7b-prm"](path=str(tmp_path))


def test_tag_of_several_tokens(tmp_path: Path) -> None:
    """A vocabulary that writes the tag as several tokens is refused with the number."""
    save_causal(tmp_path, "mistral", sentencepiece_tokenizer(SP_MERGES[:3]), {})
    with pytest.raises(CheckpointError, match="'ки' is 2 tokens, it must be one"):
        FACTORIES["math-shepherd-mistral-7b-prm"](path=str(tmp_path))


def test_double_bos(tmp_path: Path) -> None:
    """A tokenizer that writes BOS twice is refused."""
    tokenizer = sentencepiece_tokenizer(SP_MERGES)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> <s> $A", special_tokens=[("<s>", 1)])
    save_causal(tmp_path, "mistral", tokenizer, {})
    with pytest.raises(CheckpointError, match="BOS before a text twice"):
        FACTORIES["math-shepherd-mistral-7b-prm"](path=str(tmp_path))


def test_literal_tags(shepherd: Saved, caplog: pytest.LogCaptureFixture) -> None:
    """A tag inside the problem or a step is left out with a notice and never adds a score."""
    folder, _, tokenizer = shepherd
    family = TaggedText(Tokens(folder), SHEPHERD)
    steps = tuple(map(Step, ("It is ки 5.", "So ки ки.")))
    item = family.render(Candidate(Problem("p", "Q ки?"), 0, "", steps))
    assert isinstance(item, Rendered)
    tag = tokenizer.token_to_id("▁ки")
    assert [n for n, token in enumerate(item.ids) if token == tag] == item.marks.tolist()
    assert len(item.marks) == 2
    assert "4 tags inside the text of problem 'p', candidate 0" in caplog.text
    plain = family.render(Candidate(Problem("p", "Q?"), 0, "", tuple(map(Step, ("It is 5.", "So.")))))
    assert isinstance(plain, Rendered)
    assert item.ids.tolist() == plain.ids.tolist()


def test_wrong_class(tmp_path: Path) -> None:
    """A sequence classifier has no LM head: refused by name, not read from its embedding."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    save_causal(tmp_path, "mistral", sentencepiece_tokenizer(SP_MERGES), {})
    config = AutoConfig.from_pretrained(tmp_path, num_labels=1, pad_token_id=0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"lacks lm_head\.weight and has unexpected score\.weight"):
        FACTORIES["math-shepherd-mistral-7b-prm"](path=str(tmp_path))


# ---- Math-psa and VersaPRM


def test_psa_ids_by_hand(qwen: Saved) -> None:
    """No BOS; a blank and five newlines are one token after each step, a blank follows."""
    folder, _, tokenizer = qwen
    tag = tokenizer.token_to_id("ĠĊĊĊĊĊ")
    item = TaggedText(Tokens(folder), PSA).render(candidate(ONE))
    assert isinstance(item, Rendered)
    head = by_bytes("Q: 2+3? Step 1: It is 5.")
    assert item.ids.tolist() == [*head, tag, *by_bytes(" Step 2: So \\boxed{5}."), tag]
    assert item.marks.tolist() == [len(head), len(item.ids) - 1]
    other = TaggedText(Tokens(folder), PSA).render(candidate(TWO))
    assert isinstance(other, Rendered)
    assert other.ids.tolist() == [*by_bytes("Q: 2+3? Step 1: No."), tag]


def test_psa_scores(qwen: Saved) -> None:
    """OpenR's recipe by hand: the two ids of " + -", softmax at every tag of the text, class 0."""
    folder, plain, tokenizer = qwen
    text = "Q: 2+3? Step 1: It is 5. \n\n\n\n\n Step 2: So \\boxed{5}. \n\n\n\n\n"
    ids = tokenizer.encode(text).ids
    good, bad = tokenizer.encode(" + -").ids
    tag = tokenizer.encode(" \n\n\n\n\n").ids[-1]
    expected = [good_of_two(plain, ids, n, good, bad) for n, token in enumerate(ids) if token == tag]
    found = score(FACTORIES["math-psa-7b"](path=str(folder)), ONE)
    assert found.steps == pytest.approx(expected, abs=1e-5)
    assert len(expected) == 2


def test_psa_adapter(qwen: Saved, tmp_path: Path) -> None:
    """The LoRA adapter on its base scores as the base with the change added by hand."""
    folder, _, tokenizer = qwen
    shapes = {"model.layers.0.self_attn.q_proj": (32, 32), "model.layers.1.mlp.up_proj": (48, 32)}
    changes = save_adapter(tmp_path / "adapter", folder, shapes)
    merged = save_causal(tmp_path / "merged", "qwen2", tokenizer, {}, seed=5)
    weights = merged.state_dict()
    for key, change in changes.items():
        weights[key] += change
    ids = tokenizer.encode("Q: 2+3? Step 1: No. \n\n\n\n\n").ids
    good, bad = tokenizer.encode(" + -").ids
    model = FACTORIES["math-psa-7b"](path=str(tmp_path / "adapter"))
    assert score(model, TWO).value == pytest.approx(good_of_two(merged, ids, -1, good, bad), abs=1e-5)
    assert score(model, TWO) != score(FACTORIES["math-psa-7b"](path=str(folder)), TWO)
    with pytest.raises(CheckpointError, match="holds no adapter"):
        FACTORIES["math-psa-7b"](path=str(folder), base=str(folder))
    with pytest.raises(BadOption, match="merge the adapter"):
        FACTORIES["math-psa-7b"](path=str(tmp_path / "adapter"), base=str(folder), engine="vllm")


def test_versa_ids_by_hand(llama: Saved) -> None:
    """BOS; the problem, blank and two newlines, the steps with blank and four newlines after each."""
    folder, _, tokenizer = llama
    tag, bos = tokenizer.token_to_id("ĠĊĊĊĊ"), tokenizer.token_to_id("<|begin_of_text|>")
    two = [*by_bytes(" "), tokenizer.token_to_id("ĊĊ")]
    item = TaggedText(Tokens(folder), VERSA).render(candidate(ONE))
    assert isinstance(item, Rendered)
    first = [bos, *by_bytes("Q: 2+3?"), *two, *by_bytes("It is 5.")]
    assert item.ids.tolist() == [*first, tag, *by_bytes("So \\boxed{5}."), tag]
    assert item.marks.tolist() == [len(first), len(item.ids) - 1]
    other = TaggedText(Tokens(folder), VERSA).render(candidate(TWO))
    assert isinstance(other, Rendered)
    assert other.ids.tolist() == [bos, *by_bytes("Q: 2+3?"), *two, *by_bytes("No."), tag]


def test_versa_scores(llama: Saved) -> None:
    """The authors' recipe by hand: candidates (-, +), softmax at each tag, class 1."""
    folder, plain, tokenizer = llama
    ids = tokenizer.encode("Q: 2+3? \n\nIt is 5. \n\n\n\nSo \\boxed{5}. \n\n\n\n").ids
    tag = tokenizer.token_to_id("ĠĊĊĊĊ")
    minus, plus = tokenizer.token_to_id("-"), tokenizer.token_to_id("+")
    expected = [1 - good_of_two(plain, ids, n, minus, plus) for n, token in enumerate(ids) if token == tag]
    for name in ("versaprm", "llama-prm800k"):
        found = score(FACTORIES[name](path=str(folder)), ONE)
        assert found.steps == pytest.approx(expected, abs=1e-5)


def test_tag_merged_is_unscored(tmp_path: Path) -> None:
    """An empty step leaves two tags that may merge into one token: Unscored, never one score fewer."""
    byte_tokenizer([], more=[("ĠĊĊĊĊ", "ĠĊĊĊĊ")]).save(str(tmp_path / "tokenizer.json"))
    found = TaggedText(Tokens(tmp_path), VERSA).render(candidate(("a", " ", "b")))
    assert found == Unscored("tag lost: after step 1 it is merged with the text around it")


# ---- RLHFlow


def test_rlhflow_ids_by_hand(llama: Saved) -> None:
    """Template with its dates, one turn per step, + as each answer, marks before each +."""
    folder, _, tokenizer = llama
    bos, _, start, end, over = (tokenizer.token_to_id(t) for t in LLAMA_SPECIAL)
    two = tokenizer.token_to_id("ĊĊ")

    def turn(role: str, *content: int) -> list[int]:
        return [start, *by_bytes(role), end, two, *content, over]

    dates = by_bytes("Cutting Knowledge Date: December 2023")
    newline = by_bytes("\n")
    dates += [*newline, *by_bytes("Today Date: 26 Jul 2024"), two]
    expected = [bos, *turn("system", *dates), *turn("user", *by_bytes("Q: 2+3? It is 5."))]
    expected += turn("assistant", *by_bytes("+"))
    first = len(expected) - 2
    expected += [*turn("user", *by_bytes("So \\boxed{5}.")), *turn("assistant", *by_bytes("+"))]
    family = Turns(Tokens(folder), whole=False)
    item = family.render(candidate(ONE))
    assert isinstance(item, Rendered)
    assert item.ids.tolist() == expected
    assert item.marks.tolist() == [first - 1, len(expected) - 3]
    assert {expected[mark] for mark in item.marks} == {two}
    other = family.render(candidate(TWO))
    assert isinstance(other, Rendered)
    whole = [
        bos,
        *turn("system", *dates),
        *turn("user", *by_bytes("Q: 2+3? No.")),
        *turn("assistant", *by_bytes("+")),
    ]
    assert other.ids.tolist() == whole
    assert other.marks.tolist() == [len(whole) - 3]


@pytest.mark.parametrize("steps", [ONE, TWO, ("  blanks around  ", "<|eot_id|>", "c\nd", "é")])
def test_rlhflow_one_pass_is_turn_by_turn(llama: Saved, steps: tuple[str, ...]) -> None:
    """One pass gives what one forward pass per step gives, as the authors run it: logits[-3]."""
    folder, plain, tokenizer = llama
    theirs = AutoTokenizer.from_pretrained(folder)
    safe = [step.replace("<|eot_id|>", "\ue000") for step in steps]
    literal = [n for text in "<|eot_id|>" for n in by_bytes(text)]
    plus, minus = tokenizer.token_to_id("+"), tokenizer.token_to_id("-")
    messages, expected = [], []
    for number, step in enumerate(safe):
        text = f"{PROBLEM.prompt} {step}" if number == 0 else step
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "+"}]
        rendered = theirs.apply_chat_template(messages, tokenize=False)
        ids = tokenizer.encode(rendered, add_special_tokens=False).ids
        private = by_bytes("\ue000")
        for at in [n for n in range(len(ids)) if ids[n : n + 3] == private]:
            ids[at : at + 3] = literal
        expected.append(good_of_two(plain, ids, -3, plus, minus))
    for name in ("rlhflow-prm-deepseek-8b", "rlhflow-prm-mistral-8b"):
        found = score(FACTORIES[name](path=str(folder)), steps)
        assert found.steps == pytest.approx(expected, abs=1e-5)
        assert found.value == pytest.approx(float(np.mean(expected)), abs=1e-5)


def test_rlhflow_orm(llama: Saved) -> None:
    """The outcome twin reads P(+) once, after one turn with problem and answer."""
    folder, plain, tokenizer = llama
    text = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        [{"role": "user", "content": "Q: 2+3? a\n\nb"}, {"role": "assistant", "content": "+"}], tokenize=False
    )
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    plus, minus = tokenizer.token_to_id("+"), tokenizer.token_to_id("-")
    found = score(FACTORIES["rlhflow-orm-deepseek-8b"](path=str(folder)), ("a", "b"))
    assert found.steps is None
    assert found.value == pytest.approx(good_of_two(plain, ids, -3, plus, minus), abs=1e-5)


def test_rlhflow_splits(llama: Saved) -> None:
    """Lines that end in ки are steps where there are any, as in the Mistral data; else blank lines."""
    model = FACTORIES["rlhflow-prm-mistral-8b"](path=str(llama[0]))
    tagged, blank = model.score(
        [Candidate(PROBLEM, 0, "a = 1 ки\nb = 2 ки\nc ки"), Candidate(PROBLEM, 1, "a = 1\n\nb = 2\n\nc")]
    )
    assert tagged == blank
    assert isinstance(blank, Score)
    assert len(blank.steps or ()) == 3


def test_rlhflow_length(llama: Saved, tmp_path: Path) -> None:
    """The trained length of 8192 is the limit, whatever the configuration allows."""
    _, _, tokenizer = llama
    save_causal(tmp_path, "llama", tokenizer, LLAMA, limit=100_000)
    model = FACTORIES["rlhflow-prm-deepseek-8b"](path=str(tmp_path))
    (found,) = model.score([Candidate(PROBLEM, 0, "1 + 1 = 2\n\n" * 900)])
    assert isinstance(found, Unscored)
    assert "the model reads 8192;" in found.reason


def test_rlhflow_template(llama: Saved, tmp_path: Path) -> None:
    """A template that writes BOS twice, or none at all, is refused."""
    _, _, tokenizer = llama
    twice = LLAMA | {"chat_template": "{{ bos_token }}" + LLAMA_TEMPLATE}
    save_causal(tmp_path, "llama", tokenizer, twice)
    with pytest.raises(CheckpointError, match=r"begins with <.begin_of_text.> twice"):
        FACTORIES["rlhflow-prm-deepseek-8b"](path=str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({}))
    with pytest.raises(CheckpointError, match="no chat template"):
        FACTORIES["rlhflow-prm-deepseek-8b"](path=str(tmp_path))


# ---- the plugin


def test_names() -> None:
    """Every name has a card, and its help says what it is in one line."""
    for name, factory in FACTORIES.items():
        card = card_of(factory)
        assert card is not None, name
        line = (factory.__doc__ or "").partition("\n")[0]
        assert line.endswith("."), name
        assert ("(recalled)" in line) is card.recalled, name


def test_import_light() -> None:
    """Finding the plugin imports neither torch nor numpy."""
    code = (
        "import sys, prm_eval_token_prms as p; p.prm_eval_reward_models()\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'tokenizers'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


class TestShepherdContract(RewardModelContract):
    """Math-Shepherd keeps what every reward model promises."""

    @pytest.fixture(autouse=True)
    def _folder(self, shepherd: Saved) -> None:
        self.folder = shepherd[0]

    def make(self) -> RewardModel:
        """The model under test."""
        return FACTORIES["math-shepherd-mistral-7b-prm"](path=str(self.folder))


class TestTurnsContract(RewardModelContract):
    """RLHFlow keeps what every reward model promises."""

    @pytest.fixture(autouse=True)
    def _folder(self, llama: Saved) -> None:
        self.folder = llama[0]

    def make(self) -> RewardModel:
        """The model under test."""
        return FACTORIES["rlhflow-prm-deepseek-8b"](path=str(self.folder))
