"""What asking a generative model cost: tokens read and written, arithmetic, memory.

Invariant: a number that a back end does not let us know is left out, never guessed: a server that is
sent text counts no tokens here, and FLOPs need the model's own configuration.
"""

import sys
from collections.abc import Callable
from typing import Any

Size = Callable[[Any], int | None]


class Meter:
    """Counts for one lm-eval model; `size` is the length of a prompt in tokens, None where nobody knows."""

    def __init__(self, lm: Any, size: Size) -> None:
        self._lm, self._size = lm, size
        self._counts = {"tokens": 0, "generated_tokens": 0, "flops": 0}
        config = getattr(lm, "config", None) or getattr(lm, "_config", None)
        to_dict = getattr(config, "to_dict", None)
        self._config: dict[str, Any] = to_dict() if callable(to_dict) else {}

    def generated(self, prompt: Any, text: str) -> None:
        """A text after a prompt: every token passes the model once, each written one the LM head too."""
        if isinstance(prompt, str):
            self._add(prompt, prompt + text, written=True)

    def read(self, context: str, continuation: str) -> None:
        """A continuation whose likelihood was asked for."""
        self._add(context, context + continuation, written=False)

    def cost(self) -> dict[str, float]:
        """Tokens read, tokens generated, and `flops` and `peak_memory_bytes` where they are known."""
        if not self._counts["tokens"]:
            return {}
        known = {name: float(count) for name, count in self._counts.items() if count}
        return known | self._peak()

    def _add(self, before: str, whole: str, *, written: bool) -> None:
        first, total = self._size(before), self._size(whole)
        if first is None or total is None:
            return
        self._counts["tokens"] += first if written else total
        self._counts["generated_tokens"] += total - first if written else 0
        self._counts["flops"] += self._flops(total, total - first)

    def _flops(self, passed: int, read_out: int) -> int:
        from prm_eval.readout.flops import Arithmetic, head_flops

        arithmetic = Arithmetic.of(self._config)
        if arithmetic is None:
            return 0
        return arithmetic.flops(1, passed) + head_flops(self._config) * read_out

    def _peak(self) -> dict[str, float]:
        """Of a model that transformers runs in this process."""
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(getattr(self._lm, "model", None), torch.nn.Module):
            return {}
        from prm_eval.readout.memory import peak_memory

        return {"peak_memory_bytes": peak_memory([str(self._lm.device)])}
