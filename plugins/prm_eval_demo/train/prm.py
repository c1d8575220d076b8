"""Trains the tiny process reward model, in the layout and the input format of Qwen2.5-Math-PRM.

Invariant: it starts from nothing and never sees the policy; it learns to check, not to recognise the policy.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import Qwen2Config, Qwen2Model

from prm_eval_demo.problems import (
    LARGEST,
    VERIFIER_NOISE,
    Operation,
    label_lines,
    seeded,
    training_chains,
    write_solution,
)
from prm_eval_demo.train.checkpoint import backbone_config, save_checkpoint
from prm_eval_demo.train.loop import IGNORE, Batch, Example, batches, optimise
from prm_eval_demo.train.tokenizer import END, PAD, STEP, build_tokenizer, prompt, token_id

STEPS = 2400
BATCH = 32
PEAK_LEARNING_RATE = 2e-3


class Size(NamedTuple):
    """What tells one verifier from another; everything else they share."""

    seed: int
    hidden: int
    layers: int


LARGE, SMALL = Size(seed=1, hidden=128, layers=5), Size(seed=6, hidden=32, layers=2)

HUB_LAYOUT = {
    "architectures": ["Qwen2ForProcessRewardModel"],
    "auto_map": {
        "AutoConfig": "configuration_qwen2_rm.Qwen2RMConfig",
        "AutoModel": "modeling_qwen2_rm.Qwen2ForProcessRewardModel",
    },
    "num_labels": 2,
    "tie_word_embeddings": False,
}


def render(problem: str, steps: Sequence[str]) -> str:
    """The text that the model reads: every step, the last one too, is followed by the step marker."""
    return prompt(problem) + "".join(step + STEP for step in steps) + END + "\n"


def true_result(tokenizer: Tokenizer, line: str, *, marker: int, pad: int) -> tuple[list[int], list[int]]:
    """The ids of a line; beside each id of its result, what should follow in the true result."""
    left, equals, written = line.rpartition(" = ")
    if not equals:
        ids = tokenizer.encode(line).ids
        return ids, [IGNORE] * len(ids)
    value, symbol, operand = left.split()
    true = Operation(symbol, int(operand)).apply(int(value))
    head, result = tokenizer.encode(left + " =").ids, tokenizer.encode(f" {written}").ids
    # A result out of range has no digits to predict: the padding token says so.
    digits = tokenizer.encode(str(true)).ids if 0 <= true <= LARGEST else [pad]
    targets = [*digits, marker, *[IGNORE] * len(result)][: len(result)]
    return head + result, [IGNORE] * len(head) + targets


def examples(tokenizer: Tokenizer, rng: random.Random) -> Iterator[Example]:
    """Token ids, the label at every step marker, and the true result at every written one."""
    marker, pad = (token_id(tokenizer, token) for token in (STEP, PAD))
    for chain in training_chains(rng):
        lines = write_solution(chain, VERIFIER_NOISE, rng)
        ids = tokenizer.encode(prompt(chain.text)).ids
        labels, results = [IGNORE] * len(ids), [IGNORE] * len(ids)
        for line, label in zip(lines, label_lines(chain.text, lines), strict=True):
            line_ids, line_results = true_result(tokenizer, line, marker=marker, pad=pad)
            ids += [*line_ids, marker]
            labels += [*[IGNORE] * len(line_ids), int(label)]
            results += [*line_results, IGNORE]
        yield ids, labels, results


def train_prm(folder: Path, steps: int = STEPS, size: Size = LARGE) -> None:
    """Train and write the checkpoint.

    The two losses go together: predicting the true result is learnt first and fast, and the label follows
    from it; with the labels alone the loss did not move. `lm_head` serves the first, and stays in the file
    without a use, as it does in Qwen2.5-Math-PRM.
    """
    torch.manual_seed(size.seed)
    tokenizer = build_tokenizer()
    width = size.hidden
    shape = {"hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": size.layers}
    config = backbone_config(tokenizer, **HUB_LAYOUT, **shape)
    model = nn.ModuleDict(
        {
            "model": Qwen2Model(Qwen2Config(**config, attn_implementation="eager")),
            "score": nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)),
            "lm_head": nn.Linear(width, config["vocab_size"], bias=False),
        }
    )

    def losses(batch: Batch) -> dict[str, Tensor]:
        ids, labels, results = batch
        hidden = model["model"](input_ids=ids, use_cache=False).last_hidden_state
        named = {"label": (labels, model["score"]), "result": (results, model["lm_head"])}
        return {
            name: cross_entropy(head(hidden[targets != IGNORE]).float(), targets[targets != IGNORE])
            for name, (targets, head) in named.items()
        }

    source = batches(examples(tokenizer, seeded(size.seed)), BATCH, config["pad_token_id"], seeded(size.seed))
    optimise(model.parameters(), source, losses, steps=steps, peak=PEAK_LEARNING_RATE, name=folder.name)
    save_checkpoint(folder, config, model.state_dict(), tokenizer)
