"""The families themselves on vLLM: tiny checkpoints in the layout of their releases, scores as on torch.

Needs vLLM with a usable platform: `make test-engines`.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from heads import SIZES, TEXT, Report
from safetensors.torch import save_file
from tiny_checkpoint import (
    QWEN_PATTERN,
    SPECIAL,
    byte_tokenizer,
    save_causal,
    save_checkpoint,
    sentencepiece_tokenizer,
)
from tiny_heads import (
    CHATML_CONFIG,
    LLAMA_CONFIG,
    PLAIN,
    chatml_tokenizer,
    give_head,
    llama_tokenizer,
    random_head,
    save_internlm2,
)

from prm_eval.plugins import load_registry
from prm_eval.types import Candidate, Problem, Score

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make test-engines")
WIDTH = SIZES["hidden_size"]
QWEN = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"}


def save_qwen_prm(folder: Path) -> None:
    """Qwen2.5-Math-PRM and ReasonFlux-PRM-7B."""
    save_checkpoint(folder, seed=21, **SIZES)


def save_qwen_rm(folder: Path) -> None:
    """Qwen2.5-Math-RM."""
    save_checkpoint(folder, labels=1, seed=6, architectures=["Qwen2ForRewardModel"], **SIZES)


def save_value_head(folder: Path) -> None:
    """Skywork-o1-Open-PRM: TRL's value head, the LM head still there."""
    save_causal(folder, "qwen2", byte_tokenizer(SPECIAL, QWEN_PATTERN), QWEN, seed=1, **SIZES)
    head = random_head({"v_head.summary.weight": (1, WIDTH), "v_head.summary.bias": (1,)}, 1)
    give_head(folder, head, keep_lm_head=True, architectures=["Qwen2ForPrmModel"])


def save_beside(folder: Path) -> None:
    """ReasonFlux-PRM-1.5B: a causal model and a head in a file of its own."""
    save_causal(folder, "qwen2", chatml_tokenizer(), CHATML_CONFIG, seed=8, **SIZES)
    save_file(random_head({"weight": (1, WIDTH), "bias": (1,)}, 5), folder / "reward_head.safetensors")


def save_classifier(kind: str) -> Callable[[Path], None]:
    """Skywork-Reward: a sequence classifier with one label on Llama, Qwen3 or Gemma 2.

    Gemma's attention scores are capped low and its window is shorter than the texts, so that both tell.
    """

    def save(folder: Path) -> None:
        qwen = kind == "qwen3"
        tokenizer, config = (chatml_tokenizer(), CHATML_CONFIG) if qwen else (llama_tokenizer(), LLAMA_CONFIG)
        own: dict[str, Any] = {"head_dim": 32, "query_pre_attn_scalar": 32, "tied": True}
        own |= {"attn_logit_softcapping": 2.0, "sliding_window": 16}
        sizes = SIZES | (own if kind == "gemma2" else {})
        save_causal(folder, kind, tokenizer, config, seed=2, **sizes)
        name = {"llama": "Llama", "qwen3": "Qwen3", "gemma2": "Gemma2"}[kind]
        labels = {"id2label": {"0": "LABEL_0"}, "architectures": [f"{name}ForSequenceClassification"]}
        give_head(folder, random_head({"score.weight": (1, WIDTH)}, 2), **labels)

    return save


def save_reward(folder: Path) -> None:
    """InternLM2-Reward: names and a layout of its own, which vLLM reads as they are."""
    save_internlm2(folder, 128)


def save_trl(folder: Path) -> None:
    """TRL's PRMs: a token classifier with two labels."""
    tokenizer = byte_tokenizer(SPECIAL, QWEN_PATTERN)
    save_causal(folder, "qwen2", tokenizer, PLAIN | {"pad_token": "<|endoftext|>"}, seed=2, **SIZES)
    labels: dict[str, Any] = {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}
    head = random_head({"score.weight": (2, WIDTH), "score.bias": (2,)}, 2)
    give_head(folder, head, architectures=["Qwen2ForTokenClassification"], **labels)


def save_acemath(folder: Path) -> None:
    """AceMath-RM, and any sequence classifier: one label on Qwen2."""
    save_causal(folder, "qwen2", chatml_tokenizer(), CHATML_CONFIG, seed=3, **SIZES)
    head = random_head({"score.weight": (1, WIDTH)}, 3)
    give_head(folder, head, architectures=["Qwen2ForSequenceClassification"], id2label={"0": "LABEL_0"})


def save_athene(folder: Path) -> None:
    """Athene-RM: a value head on Llama, under a class that nobody ships."""
    save_causal(folder, "llama", llama_tokenizer(), LLAMA_CONFIG, seed=4, **SIZES)
    head = random_head({"v_head.weight": (1, WIDTH)}, 4)
    give_head(folder, head, architectures=["CustomAutoModelForSequenceClassification"])


def save_language_model(folder: Path) -> None:
    """Llama-3.1-Nemotron-70B-Reward: a causal model, of whose head one row is read."""
    save_causal(folder, "llama", llama_tokenizer(), LLAMA_CONFIG, seed=11, **SIZES)


def save_reasoneval(size: str) -> Callable[[Path], None]:
    """ReasonEval: three classes on Mistral (7B), or on Llama without a bias (34B)."""

    def save(folder: Path) -> None:
        small = size == "7B"
        roles = {"bos_token": "<s>", "pad_token": "<s>" if small else "</s>"}
        kind = "mistral" if small else "llama"
        save_causal(folder, kind, sentencepiece_tokenizer([]), PLAIN | roles, seed=6, **SIZES)
        shapes = {"score_head.weight": (3, WIDTH)} | ({"score_head.bias": (3,)} if small else {})
        own = {"use_bias": True} if small else {"bias": False}
        give_head(folder, random_head(shapes, 6), architectures=[f"ReasonEval_{size}"], **own)

    return save


FAMILIES = {
    "qwen2.5-math-prm-7b": save_qwen_prm,
    "qwen2.5-math-rm-72b": save_qwen_rm,
    "reasonflux-prm-7b": save_qwen_prm,
    "reasonflux-prm-1.5b": save_beside,
    "skywork-o1-open-prm-1.5b": save_value_head,
    "skywork-reward-v2-llama-3.1-8b": save_classifier("llama"),
    "skywork-reward-v2-qwen3-8b": save_classifier("qwen3"),
    "skywork-reward-gemma-2-27b": save_classifier("gemma2"),
    "internlm2-reward-7b": save_reward,
    "qwen2.5-math-7b-instruct-prm-0.2": save_trl,
    "pure-prm-7b": save_trl,
    "reasoneval-7b": save_reasoneval("7B"),
    "reasoneval-34b": save_reasoneval("34B"),
    "acemath-rm-7b": save_acemath,
    "sequence-classifier": save_acemath,
    "athene-rm-8b": save_athene,
    "llama-3.1-nemotron-70b-reward": save_language_model,
}


def given() -> list[Candidate]:
    """Candidates of one to four steps."""
    words = TEXT.split()
    texts = ["\n\n".join(" ".join(words[n : n + 3 + k]) for n in range(1 + k % 4)) for k in range(8)]
    return [Candidate(Problem("p", "Q: 2+3?"), k, text) for k, text in enumerate(texts)]


@pytest.mark.parametrize("name", FAMILIES)
def test_family(name: str, tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference with `engine=vllm` scores every candidate as the same reference on torch does."""
    monkeypatch.setenv("PRM_EVAL_CACHE", str(tmp_path / "cache"))
    FAMILIES[name](tmp_path / "m")
    registry = load_registry()
    reference = f"{name}:path={tmp_path / 'm'},max_tokens=512"
    ours = registry.reward_model(reference).obj.score(given())
    model = registry.reward_model(f"{reference},engine=vllm").obj
    largest = 0.0
    for one, two in zip(ours, model.score(given()), strict=True):
        assert isinstance(one, Score), one
        assert isinstance(two, Score), two
        assert (one.steps is None) is (two.steps is None)
        largest = max(largest, abs(one.value - two.value))
        largest = max([largest, *(abs(a - b) for a, b in zip(one.steps or (), two.steps or (), strict=True))])
    report(f"{name} (scores)", "vllm", largest)
    assert largest < 1e-4
    assert model.provenance()["engine"] == "vllm"
    assert len({one.value for one in ours}) > 4
