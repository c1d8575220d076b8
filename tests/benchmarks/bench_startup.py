"""Start-up: `prm-eval --help` against importing what it must not import.

Work count first (modules loaded), then wall and CPU seconds, minimum of several runs, interleaved.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "prm-eval --help": [str(Path(sys.executable).parent / "prm-eval"), "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
    "import numpy": [sys.executable, "-c", "import numpy"],
    "import torch, transformers": [sys.executable, "-c", "import torch, transformers"],
}
COUNT = "import sys; from prm_eval.cli import run; run(['--help']); print(len(sys.modules), 'torch' in sys.modules)"


def once(command: list[str]) -> tuple[float, float]:
    """(wall, CPU) seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two runs instead of seven")
    runs = 2 if parser.parse_args().quick else 7
    modules, torch = subprocess.run(
        [sys.executable, "-c", COUNT], check=True, capture_output=True, text=True
    ).stdout.splitlines()[-1].split()  # fmt: skip
    print(f"modules loaded by --help: {modules} (torch: {torch})")
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            seconds[name].append(once(command))
    print(f"{'':30}{'wall s':>8}{'CPU s':>8}   (minimum of {runs}, interleaved)")
    for name, found in seconds.items():
        print(f"{name:30}{min(w for w, _ in found):8.2f}{min(c for _, c in found):8.2f}")


if __name__ == "__main__":
    main()
