"""What generating cost, pass by pass: tokens read and generated, seconds, estimated FLOPs.

Invariant: one line per pass, whichever run made it; what a back end does not tell is absent, and a
pass without a line makes the whole unknown, never smaller.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from prm_eval.costs import combined
from prm_eval.readout.flops import Arithmetic, head_flops
from prm_eval.records import Appender, read_rows

log = logging.getLogger("prm_eval")

FILE = "generation_cost.jsonl"


class Meter:
    """Measures the passes of one model, and keeps a line for each in a file."""

    def __init__(self, lm: LM, path: Path) -> None:
        self._path, self._count = path, _counter(lm)
        # transformers and vLLM keep the config.json that they loaded under this name
        config = vars(lm).get("_config")
        told = config.to_dict() if hasattr(config, "to_dict") else {}
        self._arithmetic, self._head = Arithmetic.of(told), head_flops(told)
        self._started = 0.0

    def start(self) -> None:
        """A pass begins."""
        self._started = time.perf_counter()

    def stop(self, repeat: int, requests: Sequence[Instance], texts: Sequence[str]) -> None:
        """The pass is over: keep what its responses cost."""
        cost: dict[str, float] = {"candidates": len(texts), "seconds": time.perf_counter() - self._started}
        prompts = [request.arguments[0] for request in requests]
        if self._count is not None and all(type(prompt) is str for prompt in prompts):
            try:
                cost |= self._counted(prompts, texts)
            except Exception as error:  # a tokenizer that fails must not cost the responses
                log.warning("the tokens of generation are not counted: %s: %s", type(error).__name__, error)
        with Appender(self._path) as appender:
            appender.append([{"repeat": repeat, "cost": cost}])

    def _counted(self, prompts: Sequence[str], texts: Sequence[str]) -> dict[str, float]:
        assert self._count is not None
        read = [self._count(prompt, None) for prompt in prompts]
        written = [self._count(text, False) for text in texts]
        cost: dict[str, float] = {"tokens": sum(read), "generated_tokens": sum(written)}
        if self._arithmetic is not None:
            lengths = [a + b for a, b in zip(read, written, strict=True)]
            backbone = sum(self._arithmetic.flops(1, length) for length in lengths)
            cost["flops"] = backbone + self._head * sum(written)
        return cost


def generation_cost(folder: Path, n: int) -> dict[str, float]:
    """What the first n passes in a folder cost; {} where that of one of them is not known.

    A pass that was made twice, since a crash tore it, counts as it was made last.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    passes = {row["repeat"]: row["cost"] for _, row in read_rows(path, drop_torn_tail=True)}
    if not all(repeat in passes for repeat in range(n)):
        return {}
    own = [passes[repeat] for repeat in range(n)]
    known = set.intersection(*(set(cost) for cost in own))
    return combined({name: amount for name, amount in cost.items() if name in known} for cost in own)


def _counter(lm: LM) -> Callable[[str, bool | None], int] | None:
    """(text, whether special tokens are added; None as the model does) to its tokens; None if unknown."""
    encode: Any = getattr(lm, "tok_encode", None)
    # a server whose tokenizer is not here answers with the text itself
    if encode is None or getattr(lm, "tokenizer_backend", "its own") is None:
        return None

    @cache
    def count(text: str, special: bool | None) -> int:
        return len(encode(text) if special is None else encode(text, add_special_tokens=special))

    return count
