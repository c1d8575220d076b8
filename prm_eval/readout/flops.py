"""The arithmetic of a forward pass, estimated from config.json, the same for every engine.

Invariant: whole numbers, so that sums over batches are exact and do not depend on their order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Decoders of four attention matrices and a gated feed-forward part of three.
KINDS = frozenset({"qwen2", "qwen3", "llama", "mistral", "gemma2", "internlm2"})
_HEAD_DIM = {"qwen3": 128, "gemma2": 256}  # transformers' own, where config.json does not say


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What the estimate needs: weights in the layers' matrices, layers, heads x width of a head."""

    parameters: int
    layers: int
    attention: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Arithmetic | None":
        """From config.json; None for a model type that is not known, or sizes that it does not give."""
        kind = config.get("model_type")
        try:
            hidden, between = int(config["hidden_size"]), int(config["intermediate_size"])
            layers, heads = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
        except KeyError:
            return None
        if kind not in KINDS:
            return None
        width = int(config.get("head_dim") or _HEAD_DIM.get(str(kind)) or hidden // heads)
        groups = int(config.get("num_key_value_heads") or heads)
        matrices = 2 * heads * width + 2 * groups * width + 3 * between
        return cls(layers * hidden * matrices, layers, heads * width)

    def flops(self, rows: int, length: int) -> int:
        """Floating-point operations of the backbone on `rows` inputs of `length` computed tokens.

        rows x (2 N length + 2 n_layer d_attn length^2): two per weight and token, and the scores and
        sums of causal attention, 4 n_layer d_attn per token and position seen, of which there are
        length / 2 on average. N counts the layers' matrices: no embedding, biases or norms.
        Source: Kaplan et al. 2020 (arXiv 2001.08361), section 2.1 and table 1.
        """
        return rows * (2 * self.parameters * length + 2 * self.layers * self.attention * length * length)


def head_flops(config: Mapping[str, Any]) -> int:
    """Floating-point operations of the LM head at one position: two per weight of its matrix."""
    return 2 * int(config.get("hidden_size") or 0) * int(config.get("vocab_size") or 0)
