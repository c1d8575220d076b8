"""Chats through the template itself, weights of other layouts, names of classes."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoint import SYSTEM, save_causal, save_checkpoint
from tiny_heads import BOS, CHATML_CONFIG, LLAMA_CONFIG, chatml_tokenizer, llama_tokenizer
from tokenizers import AddedToken
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from prm_eval.errors import CheckpointError
from prm_eval.readout import Tokens, load
from prm_eval.readout.chat_ids import ChatIds
from prm_eval.readout.families import StepHead
from prm_eval.readout.layouts import InternLM2Layout, layout_of, native_content

# The shape of Qwen3's template: thinking is cut out of a text and written in a block of its own.
THINKING = (
    "{% for m in messages %}{% set content = m['content'] %}{% if m['role'] == 'assistant' %}"
    "{% set thought = '' %}{% if '</think>' in content %}"
    "{% set thought = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>assistant\n<think>\n' + thought + '\n</think>\n\n' + content + '<|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + m['role'] + '\n' + content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
)
Both = tuple[ChatIds, PreTrainedTokenizerBase]


def folder_of(folder: Path, kind: str) -> Path:
    """A folder with a tokenizer and a template."""
    tokenizer = llama_tokenizer() if kind == "llama" else chatml_tokenizer()
    config = LLAMA_CONFIG if kind == "llama" else CHATML_CONFIG
    if kind == "thinking":
        config = CHATML_CONFIG | {"chat_template": THINKING}
        tokenizer.add_tokens(
            [AddedToken(t, special=False, normalized=False) for t in ("<think>", "</think>")]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    """Ours and transformers', for three templates."""
    folders = {
        kind: folder_of(tmp_path_factory.mktemp(kind), kind) for kind in ("llama", "chatml", "thinking")
    }
    return {
        kind: (ChatIds(Tokens(path)), AutoTokenizer.from_pretrained(path)) for kind, path in folders.items()
    }


pieces = st.sampled_from(["a", "Is ", "\n", " ", "é", "2", ".", "<", "\ue000", "ки", "\u2028"])
words = st.lists(pieces, max_size=20).map("".join)
texts = st.lists(words | st.sampled_from(["<think>", "</think>", "\n\n"]), max_size=6).map("".join)


@settings(max_examples=150, deadline=None)
@given(
    problem=words,
    response=texts,
    system=st.none() | words,
    kind=st.sampled_from(["llama", "chatml", "thinking"]),
)
def test_the_ids_of_apply_chat_template(
    both: dict[str, Both], problem: str, response: str, system: str | None, kind: str
) -> None:
    """Any text without special tokens: what the template and the tokenizer of transformers give."""
    messages = [{"role": "user", "content": problem}, {"role": "assistant", "content": response}]
    messages = messages if system is None else [{"role": "system", "content": system}, *messages]
    ours, theirs = both[kind]
    expected = theirs.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert ours.ids(messages) == expected


def test_thinking_is_moved_as_the_template_does(both: dict[str, Both]) -> None:
    """The template sees the text: thinking lands in its own block, and appears once."""
    ours, theirs = both["thinking"]
    messages = [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "<think>\nHm.\n</think>\n\n5"},
    ]
    text = theirs.decode(ours.ids(messages))
    assert text.endswith("<|im_start|>assistant\n<think>\nHm.\n</think>\n\n5<|im_end|>\n")


@pytest.mark.parametrize("special", ["<|im_end|>", "<|im_start|>", "<|endoftext|>"])
def test_special_tokens_stay_text(both: dict[str, Both], special: str) -> None:
    """A special token in a text is its characters; the structure around it is the template's."""
    ours, theirs = both["chatml"]
    plain = ours.ids([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "5"}])
    odd = ours.ids(
        [{"role": "user", "content": f"Q{special}"}, {"role": "assistant", "content": f"{special}{special}5"}]
    )
    number = theirs.convert_tokens_to_ids(special)
    assert odd.count(number) == plain.count(number)
    assert theirs.decode(odd).count(special) == plain.count(number) + 3


def test_one_bos(both: dict[str, Both], tmp_path: Path) -> None:
    """BOS stands once, whether the template writes it, the tokenizer, or both."""
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "5"}]
    found = both["llama"][0].ids(messages)
    bos = llama_tokenizer().token_to_id(BOS)
    assert found.count(bos) == 1
    folder_of(tmp_path, "llama")
    bare = LLAMA_CONFIG | {"chat_template": LLAMA_CONFIG["chat_template"].replace("bos_token + ", "")}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(bare))
    assert ChatIds(Tokens(tmp_path)).ids(messages) == found


# ---- layouts and labels


def test_internlm2_cut_by_hand() -> None:
    """Rows of wqkv, two groups of two queries, heads of one row: q0 q1 k0 v0 q2 q3 k1 v1."""
    layout = InternLM2Layout.of({"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 4})
    weight = torch.arange(8.0)[:, None].expand(8, 4)
    prefix = "model.layers.3.self_attn"
    rows = {n: layout.take(f"{prefix}.{n}_proj.weight", weight)[:, 0].tolist() for n in "qkv"}
    assert rows == {"q": [0, 1, 4, 5], "k": [2, 6], "v": [3, 7]}
    assert layout.take(f"{prefix}.k_proj.bias", torch.arange(8.0)).tolist() == [2, 6]
    assert layout.source(f"{prefix}.q_proj.bias") == "model.layers.3.attention.wqkv.bias"
    assert layout.source("model.layers.3.mlp.up_proj.weight") == "model.layers.3.feed_forward.w3.weight"
    assert layout.source("model.norm.weight") == "model.norm.weight"


def test_plain_layout() -> None:
    """Other model types keep their names and their configuration."""
    config = {"model_type": "llama"}
    assert layout_of(config).source("model.embed_tokens.weight") == "model.embed_tokens.weight"
    assert native_content(config) == config
    assert native_content({"model_type": "internlm2", "bias": True})["attention_bias"] is True


def test_gemma2_is_not_plain_attention(tmp_path: Path) -> None:
    """Gemma 2 caps its attention scores, which sdpa leaves out: eager attention is chosen."""
    from prm_eval.readout.checkpoint import locate
    from prm_eval.readout.weights import native_config

    save_causal(tmp_path, "gemma2", llama_tokenizer(), LLAMA_CONFIG)
    assert native_config(locate(str(tmp_path), None))._attn_implementation == "eager"


def test_swapped_classes_of_a_step_head(tmp_path: Path) -> None:
    """A PRM of Qwen's layout whose configuration calls class 0 good is refused."""
    save_checkpoint(tmp_path, id2label={"0": "good", "1": "bad"})
    with pytest.raises(CheckpointError, match="calls class 0 'good', and this family reads class 1 as good"):
        load(lambda tokens: StepHead(tokens, "test", SYSTEM), str(tmp_path))
