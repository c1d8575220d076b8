"""What the tests of the lm-eval door share: small task files, recorded problems, a tiny real model.

Invariant: nothing reaches the network; models and data sets are made in the test's own folder.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

os.environ.setdefault("HF_HUB_OFFLINE", "1")
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def problems(count: int) -> list[dict[str, Any]]:
    """Additions, named and answered."""
    return [
        {"problem_id": f"sum/{i}", "problem": f"What is {i} + {i + 1}?", "answer": str(2 * i + 1)}
        for i in range(count)
    ]


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """The rows as lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def evaluate(
    model: LM,
    task: Path | str,
    *,
    metadata: Mapping[str, Any] | None = None,
    predict_only: bool = False,
    gen_kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """`lm_eval.simple_evaluate` over one task, without its list of all packages on the machine."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    from prm_eval.harness.tasks import tasks_path

    manager = TaskManager(include_defaults=False, include_path=[str(tasks_path())], metadata=metadata)
    loaded = manager.load([str(task)])
    for one in loaded["tasks"].values():
        if predict_only:
            one.override_metric("bypass")
        if gen_kwargs:
            one.set_config("generation_kwargs", dict(gen_kwargs), update=True)
    found: dict[str, Any] = lm_eval.evaluate(model, loaded, bootstrap_iters=0, **options)
    return found


class Scripted(LM):
    """A model whose k-th answer to a document is what `answer(doc, k)` says; it counts its calls."""

    def __init__(self, answer: Callable[[Mapping[str, Any], int], str]) -> None:
        super().__init__()
        self._answer = answer
        self.batches: list[int] = []
        self._asked: dict[Any, int] = {}

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        self.batches.append(len(requests))
        return [self._next(request) for request in requests]

    def _next(self, request: Instance) -> str:
        count = self._asked.get(request.doc_id, 0)
        self._asked[request.doc_id] = count + 1
        return self._answer(request.doc, count)

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        return [(0.0, False) for _ in requests]

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        return [0.0 for _ in requests]


def tiny_model(folder: Path, *, top_k: int | None = None) -> Path:
    """A random Qwen2 of 30,000 weights with a byte-level tokenizer and a chat template, saved to disk."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)} | {"<|im_end|>": 256}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>")
    fast.chat_template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=257, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=512, eos_token_id=256, pad_token_id=256,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    if top_k is not None:
        model.generation_config.top_k = top_k
        model.generation_config.do_sample = True
    model.save_pretrained(folder)
    return folder
