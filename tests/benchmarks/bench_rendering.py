"""Rendering: every family on the 1,500 recorded MATH-500 responses, beside the forward pass of tiny models.

Run `python tests/benchmarks/bench_rendering.py [--quick]`. Invariant: every response renders or is
empty; times are CPU seconds of one thread over the responses that the model reads, the same for both.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit"))

from recorded_families import LAYOUTS, Merges, recorded  # noqa: E402
from tiny_checkpoint import MERGES, build_tokenizer, save_checkpoint  # noqa: E402

from prm_eval.readout import Rendered  # noqa: E402
from prm_eval.readout.checkpoint import locate  # noqa: E402
from prm_eval.readout.forward import TorchEngine  # noqa: E402
from prm_eval.readout.rendering import Head, rendered  # noqa: E402
from prm_eval.types import Candidate  # noqa: E402

POSITIONS = 4096
SIZES = (  # of the tests' tiny checkpoints, and of bench_readout.py's model
    {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64},
    {"hidden_size": 128, "num_hidden_layers": 4, "intermediate_size": 512},
)
REPEATS = 3


def learned(texts: Sequence[str], size: int) -> list[tuple[str, str]]:
    """Merges learned from the responses, so that tokens are as long as those of real vocabularies."""
    merges = json.loads(build_tokenizer(texts, size).to_str())["model"]["merges"]
    made = {a + b for a, b in MERGES}
    return [(a, b) for a, b in map(tuple, merges) if a + b not in made]


def tiny(folder: Path, size: dict[str, int]) -> TorchEngine:
    """A random Qwen2 with a head; the ids of any family are taken modulo its vocabulary."""
    save_checkpoint(folder, limit=POSITIONS, **size)
    return TorchEngine(locate(str(folder), None), Head(("score.0", "score.2"), 2), "float32", "cpu", 16384)


def least(work: Callable[[Candidate], object], candidates: Sequence[Candidate]) -> float:
    """CPU seconds for all of them, each the least of three."""
    total = 0.0
    for candidate in candidates:
        times = []
        for _ in range(REPEATS):
            started = time.process_time()
            work(candidate)
            times.append(time.process_time() - started)
        total += min(times)
    return total


def forward(engine: TorchEngine, items: Sequence[Rendered]) -> float:
    """CPU seconds of the forward pass on as many tokens."""
    inputs = [rendered(item.ids % engine.vocabulary, item.marks) for item in items]
    started = time.process_time()
    engine.rows(inputs)
    return time.process_time() - started


def tokenize(folder: Path, candidates: Sequence[Candidate]) -> float:
    """CPU seconds of the tokenizer alone on problem and response as one text: what no rendering can beat."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    return least(lambda c: tokenizer.encode_batch_fast([c.problem.prompt + c.text]), candidates)


def measure(
    name: str, everything: Sequence[Candidate], more: Merges, engines: Sequence[TorchEngine], every: int
) -> tuple[int, int, float, float, list[float]]:
    """Empty, too long, us per token to render and to tokenize alone, shares of the forward passes."""
    folder = Path(tempfile.mkdtemp())
    family = LAYOUTS[name].make(folder, more)
    items = [family.render(candidate) for candidate in everything]
    pairs = [(c, i) for c, i in zip(everything, items, strict=True) if isinstance(i, Rendered)]
    fitting = [pair for pair in pairs if len(pair[1]) <= POSITIONS]
    candidates, read = [c for c, _ in fitting[::every]], [i for _, i in fitting[::every]]
    tokens = sum(map(len, read))
    models = 2 if name == "eurus" else 1  # policy and reference
    # turn by turn, so that neighbours on the machine slow all of them alike
    rounds = [[least(family.render, candidates), *(models * forward(engine, read) for engine in engines)]
              for _ in range(REPEATS)]  # fmt: skip
    alone = tokenize(folder, candidates)
    seconds, *forwards = (min(times) for times in zip(*rounds, strict=True))
    shares = [seconds / least_forward for least_forward in forwards]
    return (
        len(items) - len(pairs), len(pairs) - len(fitting),
        seconds / tokens * 1e6, alone / tokens * 1e6, shares,
    )  # fmt: skip


def main(quick: bool) -> None:
    """Render everything, time a sample, print a row per family."""
    torch.set_num_threads(1)
    everything = recorded()[:: 20 if quick else 1]
    every = 4 if quick else 64
    more = learned([c.text for c in recorded()[:300]], 4096)
    small, wide = (tiny(Path(tempfile.mkdtemp()), size) for size in SIZES)
    print(
        f"{len(everything)} responses, models of {POSITIONS} positions, one thread; the tokenizers of the tests"
    )
    print("(a token per character), and their layouts with 4,096 merges learned from the responses")
    print(f"{'':22} {'as in the tests':>15} {'------------------ learned ------------------':>46}")
    print(f"{'family':22} {'us/token':>8} {'w 32':>6}"
          f" {'empty':>5} {'too long':>8} {'us/token':>8} {'alone':>6} {'w 32':>6} {'w 128':>6}")  # fmt: skip
    for name in LAYOUTS:
        _, _, cost, _, (share,) = measure(name, everything[::every], (), [small], 1)
        empty, long, less, alone, (low, high) = measure(name, everything, more, [small, wide], every)
        print(f"{name:22} {cost:8.2f} {share:6.1%}"
              f" {empty:5} {long:8} {less:8.2f} {alone:6.2f} {low:6.1%} {high:6.1%}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
