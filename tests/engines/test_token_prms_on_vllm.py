"""LM-token PRMs, whole and by their names: engine=vllm against engine=torch."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from heads import SIZES, Report, candidates
from prm_eval_token_prms import prm_eval_reward_models
from tiny_checkpoint import (
    LLAMA_SPECIAL,
    LLAMA_TEMPLATE,
    QWEN_PATTERN,
    SPECIAL,
    byte_tokenizer,
    save_causal,
    sentencepiece_tokenizer,
)
from tokenizers import Tokenizer

from prm_eval.types import Score

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make test-engines")
BOS = "<|begin_of_text|>"
LLAMA = {"bos_token": BOS, "eos_token": "<|eot_id|>", "chat_template": LLAMA_TEMPLATE}
KINDS: dict[str, tuple[str, Tokenizer, dict[str, str], bool]] = {
    "math-shepherd-mistral-7b-prm": (
        "mistral",
        sentencepiece_tokenizer([("▁", "+"), ("▁", "-"), ("к", "и"), ("▁", "ки")]),
        {"bos_token": "<s>", "eos_token": "</s>"},
        False,
    ),
    "rlhflow-prm-deepseek-8b": ("llama", byte_tokenizer(LLAMA_SPECIAL, bos=BOS), LLAMA, True),
    "versaprm": ("llama", byte_tokenizer(LLAMA_SPECIAL, bos=BOS), LLAMA, True),
    "math-psa-7b": ("qwen2", byte_tokenizer(SPECIAL, QWEN_PATTERN), {"eos_token": "<|im_end|>"}, False),
}


@pytest.mark.parametrize("name", KINDS)
def test_same_scores(name: str, tmp_path: Path, report: Report) -> None:
    """The names' own rendering through vLLM gives the torch engine's step scores, tied heads too."""
    kind, tokenizer, config, tied = KINDS[name]
    save_causal(tmp_path, kind, tokenizer, config, seed=2, tied=tied, limit=1024, **SIZES)
    factory = prm_eval_reward_models()[name]
    given = candidates(12)
    pairs = list(
        zip(
            factory(path=str(tmp_path), max_tokens=1024).score(given),
            factory(path=str(tmp_path), max_tokens=1024, engine="vllm", dtype="float32").score(given),
            strict=True,
        )
    )
    largest = 0.0
    for torch_score, vllm_score in pairs:
        assert isinstance(torch_score, Score)
        assert isinstance(vllm_score, Score), vllm_score
        differences = zip(torch_score.steps or (), vllm_score.steps or (), strict=True)
        largest = max(largest, *(abs(a - b) for a, b in differences))
    report(name, "vllm, ALL", largest)
    assert largest < 1e-4
