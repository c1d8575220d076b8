"""Tiny random checkpoints in the layout of Qwen2.5-Math-PRM, and a plain way to score with them.

Invariant: nothing here uses prm_eval; the reference goes through transformers' own tokenizer and
chat template, one input at a time.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    Qwen2Config,
    Qwen2Model,
)

QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
CORPUS = (
    SYSTEM,
    "system user assistant What is the sum of two and three? So the answer is 5, therefore we have x = 4.",
    "First, we add the numbers.\n\nThen we multiply. \\frac{1}{2} + $x^2$ = \\boxed{14}\n\n",
)
# The branches of Qwen2.5's template: a default system message, tools, assistant turns, generation.
TEMPLATE = r"""{%- if tools %}{{- raise_exception('no tools') }}{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nDefault of the template.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first)
        or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""


def build_tokenizer(corpus: Sequence[str] = CORPUS, size: int = 420) -> Tokenizer:
    """Byte-level BPE with Qwen's pre-tokenizer; `<extra_0>` is added as an ordinary token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN_PATTERN), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tokenizer.add_tokens(
        [AddedToken(t, special=False, normalized=False) for t in ("<tool_call>", "<extra_0>")]
    )
    return tokenizer


def save_tokenizer(
    folder: Path, template: str | None = TEMPLATE, tokenizer: Tokenizer | None = None
) -> Tokenizer:
    """tokenizer.json (with truncation left on, as some checkpoints have it) and its configuration."""
    tokenizer = tokenizer or build_tokenizer()
    tokenizer.enable_truncation(48)
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "bos_token": None,
        "unk_token": None,
        "model_max_length": 131072,
    }
    if template is not None:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return tokenizer


def save_checkpoint(
    folder: Path,
    *,
    labels: int = 2,
    seed: int = 0,
    limit: int = 2048,
    shards: int = 1,
    tokenizer: Tokenizer | None = None,
    **config: Any,
) -> dict[str, torch.Tensor]:
    """A whole folder; returns the weights by their names in the file."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = save_tokenizer(folder, tokenizer=tokenizer)
    content = {
        "architectures": ["Qwen2ForProcessRewardModel"],
        "auto_map": {"AutoModel": "modeling_that_is_not_there.Model"},
        "model_type": "qwen2",
        "vocab_size": tokenizer.get_vocab_size() + 5,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": limit,
        "rope_theta": 10000.0,
        "torch_dtype": "bfloat16",
        **config,
    }
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    weights = random_weights(content, labels, seed)
    save_weights(folder, weights, shards)
    return weights


def random_weights(content: dict[str, Any], labels: int, seed: int) -> dict[str, torch.Tensor]:
    """Weights large enough that scores differ clearly between inputs."""
    plain = {k: v for k, v in content.items() if k not in ("auto_map", "architectures", "torch_dtype")}
    model = Qwen2Model(Qwen2Config(**plain))
    generator = torch.Generator().manual_seed(seed)
    weights = {
        "model." + name: value if "norm" in name else torch.randn(value.shape, generator=generator) * 0.2
        for name, value in model.state_dict().items()
    }
    width = content["hidden_size"]
    shapes = {"score.0.weight": (width, width), "score.0.bias": (width,)}
    shapes |= {"score.2.weight": (labels, width), "score.2.bias": (labels,)}
    for name, shape in shapes.items():
        weights[name] = torch.randn(shape, generator=generator) * 0.3
    weights["lm_head.weight"] = torch.randn((content["vocab_size"], width), generator=generator)
    return {name: value.detach().contiguous() for name, value in weights.items()}


def save_weights(folder: Path, weights: dict[str, torch.Tensor], shards: int = 1) -> None:
    """One model.safetensors, or several shards with their index."""
    for old in folder.glob("*.safetensors*"):
        old.unlink()
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return
    table = {
        name: f"model-{number % shards + 1:05d}-of-{shards:05d}.safetensors"
        for number, name in enumerate(weights)
    }
    for file in set(table.values()):
        save_file({name: weights[name] for name in weights if table[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}), encoding="utf-8")


class Reference:
    """Scores one input at a time: template, AutoTokenizer, plain Qwen2Model in float32."""

    def __init__(self, folder: Path, weights: dict[str, torch.Tensor]) -> None:
        content = json.loads((folder / "config.json").read_text())
        plain = {k: v for k, v in content.items() if k not in ("auto_map", "architectures", "torch_dtype")}
        self.model = Qwen2Model(Qwen2Config(**plain)).eval()
        backbone = {k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.")}
        self.model.load_state_dict(backbone)
        self.weights = weights
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(self, problem: str, answer: str, system: str = SYSTEM) -> list[int]:
        """What the checkpoint's own template and tokenizer give."""
        messages = [{"role": "system", "content": system}] if system else []
        messages += [{"role": "user", "content": problem}, {"role": "assistant", "content": answer}]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    @torch.no_grad()
    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Head outputs at every position: [n_tokens, labels]."""
        mask = torch.ones(1, len(ids), dtype=torch.long)
        hidden = self.model(input_ids=torch.tensor([list(ids)]), attention_mask=mask).last_hidden_state[0]
        w = self.weights
        middle = torch.relu(hidden @ w["score.0.weight"].T + w["score.0.bias"])
        return middle @ w["score.2.weight"].T + w["score.2.bias"]

    def steps(self, problem: str, steps: Sequence[str]) -> list[float]:
        """P(good) at each separator."""
        ids = self.ids(problem, "<extra_0>".join(steps) + "<extra_0>")
        separator = self.tokenizer.convert_tokens_to_ids("<extra_0>")
        chosen = self.logits(ids)[torch.tensor(ids) == separator]
        return [float(p) for p in torch.softmax(chosen, -1)[:, 1]]


LLAMA_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Newlines up to five, after a blank or not, and " +", " -": what the tags of LM-token PRMs are made of.
MERGES = [("Ċ", "Ċ"), ("ĊĊ", "ĊĊ"), ("ĊĊĊĊ", "Ċ"), ("Ġ", "ĊĊĊĊĊ"), ("Ġ", "ĊĊĊĊ"), ("Ġ", "+"), ("Ġ", "-")]
LLAMA_SPECIAL = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
)
# The branches of Llama-3.1's template: BOS, a system turn with two dates, trimmed contents.
LLAMA_TEMPLATE = r"""{{- bos_token }}
{%- if not date_string is defined %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{{- "Cutting Knowledge Date: December 2023\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""


def byte_tokenizer(
    special: Sequence[str],
    pattern: str = LLAMA_PATTERN,
    bos: str | None = None,
    more: Sequence[tuple[str, str]] = (),
) -> Tokenizer:
    """Byte-level BPE written by hand: 256 bytes, `MERGES` and `more`, special tokens; `bos` before a text."""
    merges = [*MERGES, *more]
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, merges))
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    if bos is not None:
        first = [(bos, tokenizer.token_to_id(bos))]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=first)
    return tokenizer


def sentencepiece_tokenizer(merges: Sequence[tuple[str, str]], prepend: bool = True) -> Tokenizer:
    """Mistral's layout written by hand: ▁ for blanks, one before the text, bytes for what is unknown."""
    letters = "▁+-кистепаbcdefghijklmnopqrstuvwyzSQWT:.?=0123456789$\\{}x"
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), *letters]
    pieces += ["".join(pair) for pair in merges]
    vocabulary = {piece: n for n, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.BPE(vocabulary, list(merges), unk_token="<unk>", byte_fallback=True))
    blanks = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), blanks] if prepend else [blanks])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def save_causal(
    folder: Path,
    kind: str,
    tokenizer: Tokenizer,
    tokenizer_config: dict[str, Any],
    *,
    seed: int = 0,
    tied: bool = False,
    limit: int = 2048,
    **sizes: Any,
) -> PreTrainedModel:
    """A tiny random causal model as transformers itself writes it, and its tokenizer; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    content = {
        "vocab_size": tokenizer.get_vocab_size() + 3, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3,
        "tie_word_embeddings": tied, "max_position_embeddings": limit, "bos_token_id": None, "eos_token_id": None,
    }  # fmt: skip
    config = AutoConfig.for_model(kind, **(content | sizes))
    model = AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config), encoding="utf-8")
    return model


def save_adapter(
    folder: Path,
    base: Path,
    shapes: dict[str, tuple[int, int]],
    *,
    rank: int = 2,
    alpha: int = 6,
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """A LoRA adapter as PEFT writes it, for linear layers of (out, in); returns W's changes by key."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    tensors, changes = {}, {}
    for layer, (out, width) in shapes.items():
        a, b = torch.randn(rank, width, generator=generator), torch.randn(out, rank, generator=generator)
        tensors[f"base_model.model.{layer}.lora_A.weight"] = a
        tensors[f"base_model.model.{layer}.lora_B.weight"] = b
        changes[f"{layer}.weight"] = (alpha / rank) * b @ a
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA", "r": rank, "lora_alpha": alpha, "bias": "none", "use_dora": False, "use_rslora": False,
        "fan_in_fan_out": False, "modules_to_save": None, "rank_pattern": {}, "alpha_pattern": {},
        "base_model_name_or_path": str(base), "target_modules": sorted({name.split(".")[-1] for name in shapes}),
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return changes
