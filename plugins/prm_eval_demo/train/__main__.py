"""`python -m prm_eval_demo.train --out DIR`: makes the four checkpoints again.

Invariant: each is trained by one process with one thread. Policy and PRMs know nothing of each other; the
judge starts from the policy's weights in the same folder.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path


def train_one(name: str, out: Path, steps: int | None) -> None:
    """Train one of the four in this process."""
    import torch

    from prm_eval_demo.train import judge, policy, prm

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if name == "policy":
        policy.train_policy(out / name, steps or policy.STEPS)
    elif name in ("prm", "prm-small"):
        size = prm.LARGE if name == "prm" else prm.SMALL
        prm.train_prm(out / name, steps or prm.STEPS, size)
    else:
        judge.train_judge(out / name, out / "policy", steps or judge.STEPS)


def main() -> int:
    """Without --only, policy and PRM at once, in two processes, then the small PRM and the judge."""
    parser = argparse.ArgumentParser(description="Train the checkpoints of the demo.")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for policy/, prm/, prm-small/ and judge/"
    )
    parser.add_argument(
        "--only",
        choices=("policy", "prm", "prm-small", "judge"),
        help="train this one alone (judge: from DIR/policy)",
    )
    parser.add_argument("--steps", type=int, help="fewer steps, to try the code out")
    arguments = parser.parse_args()
    if arguments.only:
        train_one(arguments.only, arguments.out, arguments.steps)
        return 0
    return _apart("policy", "prm") or _apart("prm-small", "judge")


def _apart(*names: str) -> int:
    """Train these side by side; the worst exit status."""
    # Two threads that share a busy core are ten times slower than one.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "prm_eval_demo.train", *sys.argv[1:], "--only"]
    running = [subprocess.Popen([*command, name], env=environment) for name in names]
    return max(process.wait() for process in running)


if __name__ == "__main__":
    sys.exit(main())
