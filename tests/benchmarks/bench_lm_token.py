"""An LM-token PRM: two rows of the LM head against all logits, one pass against one per step.

Run `python tests/benchmarks/bench_lm_token.py [--quick]`. Invariant: one thread, the same weights and
candidates, each way in a process of its own so that its peak memory is its own; equal scores.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit"))
DATA = ROOT / "../shared/data/math500-candidates.jsonl"
BUDGET = 4096
WAYS = ("two rows", "all logits", "two rows, per step", "all logits, per step")


def read_rows(problems: int) -> list[dict[str, Any]]:
    """The recorded responses to the first problems."""
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["response"]][: 3 * problems]


def make(folder: Path, rows: list[dict[str, Any]], quick: bool) -> None:
    """A random Llama in RLHFlow's format, with a quarter of the real one's vocabulary."""
    from tiny_checkpoint import LLAMA_SPECIAL, LLAMA_TEMPLATE, build_tokenizer, save_causal

    tokenizer = build_tokenizer([row["response"] for row in rows], 2048)
    tokenizer.add_special_tokens(list(LLAMA_SPECIAL))
    config = {"bos_token": LLAMA_SPECIAL[0], "eos_token": LLAMA_SPECIAL[-1], "chat_template": LLAMA_TEMPLATE}
    sizes = {"vocab_size": 32_000, "hidden_size": 64 if quick else 256, "intermediate_size": 512}
    sizes |= {"num_hidden_layers": 2 if quick else 4}
    save_causal(folder, "llama", tokenizer, config, limit=16_384, **sizes)


def run(way: str, folder: Path, problems: int) -> dict[str, Any]:
    """Score everything one way: numbers computed, processor seconds, growth of the peak, scores."""
    import torch
    from prm_eval_token_prms import prm_eval_reward_models
    from prm_eval_token_prms.turns import Turns

    from prm_eval.readout import Rendered, Tokens
    from prm_eval.readout.batches import plan
    from prm_eval.readout.checkpoint import locate
    from prm_eval.readout.forward import TorchEngine
    from prm_eval.types import Candidate, Problem, Score

    torch.set_num_threads(1)
    rows = read_rows(problems)
    given = [Candidate(Problem(r["problem_id"], r["problem"]), r["index"], r["response"]) for r in rows]
    family = Turns(Tokens(folder), whole=False)
    inputs = [item for item in map(family.render, given) if isinstance(item, Rendered)]
    logits = 2 * sum(len(item.marks) for item in inputs)
    if way == "two rows":
        factory = prm_eval_reward_models()["rlhflow-prm-deepseek-8b"]
        model: Any = factory(path=str(folder), batch_tokens=BUDGET, max_tokens=16_384)
        model.score(given[:1])  # warm
        before, started, read = peak(), time.process_time(), model.cost()["padded_tokens"]
        scores = [list(s.steps or ()) for s in model.score(given) if isinstance(s, Score)]
        tokens = model.cost()["padded_tokens"] - read
    elif way == "two rows, per step":
        engine = TorchEngine(locate(str(folder), None), family.head, "float32", "cpu", BUDGET)
        engine.rows(inputs[:1])
        before, started, read = peak(), time.process_time(), engine.cost()["padded_tokens"]
        found = iter(engine.rows([cut for item in inputs for cut in prefixes(item)]))
        scores = [[family.read(next(found)).steps[0] for _ in item.marks] for item in inputs]
        tokens = engine.cost()["padded_tokens"] - read
    else:
        plain = Plain(folder, family.head.rows or ())
        plain.score([inputs[0]])
        before, started, plain.tokens = peak(), time.process_time(), 0
        if way == "all logits":
            scores = [[] for _ in inputs]
            for batch in plan([len(item) for item in inputs], BUDGET):
                for place, values in zip(batch, plain.score([inputs[p] for p in batch]), strict=True):
                    scores[place] = values
        else:
            scores = [[plain.score([cut])[0][0] for cut in prefixes(item)] for item in inputs]
        tokens, logits = plain.tokens, plain.tokens * 32_000
    seconds = time.process_time() - started
    return {"way": way, "tokens": int(tokens), "logits": int(logits), "seconds": seconds,
            "mib": peak() - before, "scores": scores}  # fmt: skip


def prefixes(item: Any) -> list[Any]:
    """One input per step: everything up to its mark."""
    from prm_eval.readout import rendered

    return [rendered(item.ids[: mark + 1], [mark]) for mark in item.marks.tolist()]


class Plain:
    """transformers' causal model, all logits of every position, as the authors' scripts read them."""

    def __init__(self, folder: Path, rows: tuple[int, ...]) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.rows, self.tokens = list(rows), 0

    def score(self, batch: list[Any]) -> list[list[float]]:
        """P(+) at the marks of each input of one padded batch."""
        import torch

        ids = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.long)
        for row, item in enumerate(batch):
            ids[row, : len(item)] = torch.from_numpy(item.ids)
        self.tokens += ids.numel()
        with torch.inference_mode():
            logits = self.model(input_ids=ids, use_cache=False).logits
        chosen = logits[:, :, self.rows].softmax(-1)[..., 0]
        return [chosen[row, torch.from_numpy(item.marks).long()].tolist() for row, item in enumerate(batch)]


def peak() -> float:
    """The most memory this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(quick: bool) -> None:
    """Make the model, run each way in its own process, print the table."""
    problems = 2 if quick else 4
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), read_rows(problems), quick)
        command = [sys.executable, __file__, "--child", folder, str(problems)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        found = []
        for way in WAYS:
            output = subprocess.run(
                [*command, way], capture_output=True, text=True, check=True, env=environment
            )
            found.append(json.loads(output.stdout.splitlines()[-1]))
    first = found[0]
    print(f"{len(first['scores'])} candidates, {sum(map(len, first['scores']))} steps, vocabulary 32,000")
    print(
        f"{'way':20} {'tokens':>9} {'logits':>14} {'peak +MiB':>10} {'CPU s':>7} {'rel.':>6} {'max diff':>9}"
    )
    for row in found:
        pairs = zip(row["scores"], first["scores"], strict=True)
        difference = max(abs(a - b) for mine, other in pairs for a, b in zip(mine, other, strict=True))
        print(
            f"{row['way']:20} {row['tokens']:9,} {row['logits']:14,} {row['mib']:10.0f} {row['seconds']:7.2f} "
            f"{row['seconds'] / first['seconds']:6.2f} {difference:9.1e}"
        )


if __name__ == "__main__":
    if "--child" in sys.argv:
        _, _, place, count, name = sys.argv
        print(json.dumps(run(name, Path(place), int(count))))
    else:
        main("--quick" in sys.argv[1:])
