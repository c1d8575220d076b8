"""Data selection in miniature: the pool of the embedded policy, and the sweep over it.

Invariant: commands and files only; every step can be typed, and nothing here reads an accuracy.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prm_eval.candidates import candidate_row, read_candidates
from prm_eval.records import write_rows
from prm_eval.sweep.cells import Stage, arguments
from prm_eval_demo import POLICY

POLICIES = ((1.0, 3), (1.3, 1))
"""Temperature and samples for each problem: the policy as it was trained, and a noisier relative."""

RECIPE = "miniature"

PARAMETERS = {"demo-prm": 0.00117773, "demo-prm-small": 0.000051266}
"""In billions."""


def pool_stages(out: Path, problems: int, seed: int) -> dict[str, Stage]:
    """One generation for each policy of the pool."""
    found = {}
    for temperature, n in POLICIES:
        name = f"pool/temperature-{temperature:g}"
        options = {
            "task": "demo_pool", "model": "hf", "model_args": f"pretrained={POLICY},dtype=float32",
            "n": n, "limit": problems, "batch_size": 250, "seed": seed,
            "gen_kwargs": f"temperature={temperature:g}", "strategy": "first", "k": 1, "out": out / name,
        }  # fmt: skip
        found[name] = Stage(name, ("prm-eval", "best-of-n", *arguments(options)))
    return found


def merge(runs: Sequence[Path], pool: Path) -> int:
    """Put the candidates of these runs into one file, numbered on; returns how many there are.

    `subset` names the run that a row comes from.
    """
    rows, start = [], 0
    for run in runs:
        own = [candidate_row(candidate) for candidate in read_candidates(run / "candidates.jsonl")]
        rows += [{**row, "index": row["index"] + start, "subset": run.name} for row in own]
        start += 1 + max(row["index"] for row in own)
    write_rows(pool, rows)
    return len(rows)


def sweep(pool: Path, sizes: Sequence[int], seeds: Sequence[int], steps: int | None) -> dict[str, Any]:
    """The recipe: both PRMs, random rows and the whole pool."""
    smallest = [min(sizes)]
    return {
        # held-out problems are kept out of the pool by construction, and share most of their words with it
        "select": {"pool": str(pool), "no_decontaminate": True},
        "sizes": smallest,
        "seeds": list(seeds),
        "selectors": {
            "demo-prm": {"reward_model": "demo-prm", "sizes": list(sizes)},
            "demo-prm-small": {"reward_model": "demo-prm-small"},
            "random": {"by": "random"},
            "raw-pool": {"by": "all", "sizes": ["all"]},
        },
        "train": {
            "model": str(POLICY), "recipe": RECIPE, "set": {} if steps is None else {"max_steps": steps},
        },
        "evaluate": {
            "tasks": ["demo"], "model": "hf", "model_args": "dtype=float32", "batch_size": 250,
            "gen_kwargs": "do_sample=False,temperature=0",
        },
        "parameters": PARAMETERS,
    }  # fmt: skip
