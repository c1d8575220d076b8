"""Trains the tiny policy: a Qwen2 language model that has learnt the planted misconceptions.

Invariant: it sees training problems only, in the very prompt that its chat template makes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

from prm_eval_demo.problems import POLICY_NOISE, seeded, training_chains, write_solution
from prm_eval_demo.train.checkpoint import backbone_config, save_checkpoint, write_json
from prm_eval_demo.train.loop import IGNORE, Batch, Example, batches, optimise
from prm_eval_demo.train.tokenizer import END, build_tokenizer, prompt

SEED = 0
STEPS = 2200
BATCH = 32
PEAK_LEARNING_RATE = 2e-3


def examples(tokenizer: Tokenizer, rng: random.Random) -> Iterator[Example]:
    """Prompt and noisy answer; the loss counts the answer only."""
    for chain in training_chains(rng):
        question = tokenizer.encode(prompt(chain.text)).ids
        answer = tokenizer.encode("\n\n".join(write_solution(chain, POLICY_NOISE, rng)) + END).ids
        yield question + answer, [IGNORE] * len(question) + answer


def train_policy(folder: Path, steps: int = STEPS) -> None:
    """Train and write the checkpoint."""
    torch.manual_seed(SEED)
    tokenizer = build_tokenizer()
    config = backbone_config(
        tokenizer, architectures=["Qwen2ForCausalLM"], num_hidden_layers=4, tie_word_embeddings=True
    )
    model = Qwen2ForCausalLM(Qwen2Config(**config, attn_implementation="eager"))

    def losses(batch: Batch) -> dict[str, Tensor]:
        ids, targets = batch
        # Padding stands on the right of a causal model, so it needs no mask.
        return {"answer": model(input_ids=ids, labels=targets).loss}

    source = batches(examples(tokenizer, seeded(SEED)), BATCH, config["pad_token_id"], seeded(SEED))
    optimise(model.parameters(), source, losses, steps=steps, peak=PEAK_LEARNING_RATE, name="policy")
    weights = {name: weight for name, weight in model.state_dict().items() if name != "lm_head.weight"}
    save_checkpoint(folder, config, weights, tokenizer)
    # Spelled out: an absent top_k means 50 to some versions of transformers, another distribution.
    sampler = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0}
    ids = {key: config[key] for key in ("eos_token_id", "pad_token_id")}
    write_json(folder / "generation_config.json", {**sampler, **ids})
