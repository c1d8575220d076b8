"""`python -m prm_eval_demo.train --out DIR`: makes both checkpoints again.

Invariant: each is trained by one process with one thread, and neither training knows of the other.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path


def train_one(name: str, out: Path, steps: int | None) -> None:
    """Train one of the two in this process."""
    import torch

    from prm_eval_demo.train import policy, prm

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if name == "policy":
        policy.train_policy(out / name, steps or policy.STEPS)
    else:
        prm.train_prm(out / name, steps or prm.STEPS)


def main() -> int:
    """Without --only, both at once, in two processes."""
    parser = argparse.ArgumentParser(description="Train the two checkpoints of the demo.")
    parser.add_argument("--out", type=Path, required=True, help="folder for policy/ and prm/")
    parser.add_argument("--only", choices=("policy", "prm"), help="train this one alone")
    parser.add_argument("--steps", type=int, help="fewer steps, to try the code out")
    arguments = parser.parse_args()
    if arguments.only:
        train_one(arguments.only, arguments.out, arguments.steps)
        return 0
    # Two threads that share a busy core are ten times slower than one.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "prm_eval_demo.train", *sys.argv[1:], "--only"]
    running = [subprocess.Popen([*command, name], env=environment) for name in ("policy", "prm")]
    return max(process.wait() for process in running)


if __name__ == "__main__":
    sys.exit(main())
