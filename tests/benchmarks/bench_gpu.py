"""A 7B-shaped Qwen PRM with random weights on a GPU: tokens per second, and the share of the card's matrix rate.

The card's rate is measured here, with a large bfloat16 matrix product. Without a GPU it says so and
ends; `--tiny` runs the same code on the CPU with a small shape, to show that it works.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from prm_eval.readout.checkpoint import locate
from prm_eval.readout.forward import TorchEngine
from prm_eval.readout.rendering import Head, Rendered, rendered

SEVEN_B = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, "vocab_size": 152064}  # fmt: skip
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 500}  # fmt: skip
LENGTHS = (200, 2000)  # tokens of an input, from and to


def write_checkpoint(folder: Path, shape: dict[str, int]) -> None:
    """Random bfloat16 weights in the hub's layout, one shard per layer."""
    from transformers import Qwen2Config, Qwen2Model

    config = {"architectures": ["Qwen2ForProcessRewardModel"], "model_type": "qwen2", **shape,
              "max_position_embeddings": 4096, "rope_theta": 10000.0, "torch_dtype": "bfloat16"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        shapes = {
            f"model.{name}": tensor.shape
            for name, tensor in Qwen2Model(Qwen2Config(**shape)).state_dict().items()
        }
    h = shape["hidden_size"]
    shapes |= {"score.0.weight": (h, h), "score.0.bias": (h,), "score.2.weight": (2, h), "score.2.bias": (2,)}
    index: dict[str, str] = {}
    for number, (name, size) in enumerate(shapes.items()):
        file = f"model-{number:04}.safetensors"
        weight = torch.ones(size) if "norm" in name else torch.randn(size) * 0.02
        save_file({name: weight.bfloat16()}, folder / file)
        index[name] = file
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def inputs(count: int, vocabulary: int) -> list[Rendered]:
    """Random ids of mixed lengths with a mark every fifty tokens."""
    draw = np.random.default_rng(0)
    found = []
    for length in draw.integers(*LENGTHS, size=count):
        marks = [*range(49, int(length), 50)]
        found.append(rendered(draw.integers(0, vocabulary, size=int(length)), marks))
    return found


def matrix_rate(device: str, size: int) -> float:
    """Operations per second of a square bfloat16 product, best of ten."""
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(10):
        _wait(device)
        started = time.perf_counter()
        a @ a
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a small shape on the CPU")
    tiny = parser.parse_args().tiny
    if not tiny and not torch.cuda.is_available():
        print("no GPU on this machine: nothing to measure (--tiny runs the code on the CPU)")
        return
    device, shape, count = ("cpu", TINY, 8) if tiny else ("cuda", SEVEN_B, 512)
    rate = matrix_rate(device, 512 if tiny else 8192)
    print(f"matrix rate {rate / 1e12:.2f} TFLOP/s")
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), shape)
        for budget in (4096, 16384, 65536):
            measure(folder, shape, count, device, budget, rate)


def measure(folder: str, shape: dict[str, Any], count: int, device: str, budget: int, rate: float) -> None:
    """One budget: tokens per second and the share of the matrix rate, minimum of five."""
    engine = TorchEngine(locate(folder, None), Head(("score.0", "score.2"), 2), "bfloat16", device, budget)
    work = inputs(count, shape["vocab_size"])
    engine.rows(work[:8])
    best, cost = float("inf"), engine.cost()
    for _ in range(5):
        before, started = engine.cost(), time.perf_counter()
        engine.rows(work)
        _wait(device)
        seconds, cost = time.perf_counter() - started, engine.cost()
        best = min(best, seconds)
        cost = {key: cost[key] - before[key] for key in ("tokens", "padded_tokens", "flops")}
    print(f"batch_tokens {budget:6}: {cost['tokens']:,.0f} tokens, {cost['padded_tokens']:,.0f} computed,"
          f" {cost['tokens'] / best:,.0f} tokens/s, {cost['flops'] / best / rate:.0%} of the matrix rate")  # fmt: skip


if __name__ == "__main__":
    main()
