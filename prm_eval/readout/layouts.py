"""Checkpoints whose weights have other names, or are cut otherwise, than the native class wants.

Invariant: a layout is a renaming and a cut of single weights; no number changes. Source of
InternLM2's layout: tools/convert2llama.py of InternLM/InternLM.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prm_eval.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

_LAYER = re.compile(r"(model\.layers\.\d+\.)(.+)")


class Layout:
    """The plain one: the native names are the checkpoint's."""

    def source(self, key: str) -> str:
        """The checkpoint's weight that holds the native weight `key`."""
        return key

    def take(self, key: str, weight: "Tensor") -> "Tensor":
        """The native weight `key` out of the checkpoint's."""
        del key
        return weight


PLAIN_LAYOUT = Layout()


@dataclass(frozen=True, slots=True)
class InternLM2Layout(Layout):
    """InternLM2 in Llama's names: q, k and v lie in one weight, by groups of heads.

    wqkv is [n_groups, queries per group + 2, head_dim, hidden]: of each group its queries, its
    key, its value.
    """

    groups: int
    queries: int
    head_dim: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "InternLM2Layout":
        """From config.json."""
        heads = int(config["num_attention_heads"])
        groups = int(config.get("num_key_value_heads") or heads)
        return cls(groups, heads // groups, int(config["hidden_size"]) // heads)

    def source(self, key: str) -> str:
        """The checkpoint's weight that holds the native weight `key`."""
        if key == "model.embed_tokens.weight":
            return "model.tok_embeddings.weight"
        match = _LAYER.fullmatch(key)
        if match is None:
            return key
        module, _, kind = match[2].rpartition(".")
        return f"{match[1]}{_INTERNLM2.get(module, module)}.{kind}"

    def take(self, key: str, weight: "Tensor") -> "Tensor":
        """The native weight `key` out of the checkpoint's."""
        cut = {"q_proj": slice(0, -2), "k_proj": slice(-2, -1), "v_proj": slice(-1, None)}
        part = cut.get(key.split(".")[-2])
        if part is None:
            return weight
        if len(weight) != self.groups * (self.queries + 2) * self.head_dim:
            raise CheckpointError(
                f"{self.source(key)} has {len(weight)} rows, config.json says {self.groups} groups of "
                f"{self.queries} + 2 heads of {self.head_dim}: weights and config.json are of two models"
            )
        by_group = weight.reshape(self.groups, self.queries + 2, self.head_dim, *weight.shape[1:])
        return by_group[:, part].reshape(-1, *weight.shape[1:])


_INTERNLM2 = {
    "self_attn.q_proj": "attention.wqkv",
    "self_attn.k_proj": "attention.wqkv",
    "self_attn.v_proj": "attention.wqkv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.up_proj": "feed_forward.w3",
    "mlp.down_proj": "feed_forward.w2",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}


def layout_of(config: Mapping[str, Any]) -> Layout:
    """The layout of a checkpoint, by its model type."""
    return InternLM2Layout.of(config) if config.get("model_type") == "internlm2" else PLAIN_LAYOUT


def native_content(config: dict[str, Any]) -> dict[str, Any]:
    """config.json in the words of the native class that reads it."""
    if config.get("model_type") != "internlm2":
        return config
    return config | {"model_type": "llama", "attention_bias": config.get("bias", False)}
