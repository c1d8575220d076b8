"""Saving during generation: appending each pass against rewriting one JSON file after each pass.

The work: 500 problems x 16 passes, responses of 1,500 characters. Bytes written first, then seconds;
minimum of five, interleaved. The rewriting shape is what several peers do after every sample; here it
is given the advantage of rewriting once per pass only.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from prm_eval.candidates import candidate_row
from prm_eval.records import Appender
from prm_eval.types import Candidate, Problem

PROBLEMS = 500
TEXT = "Let us compute the next value with care. " * 37


def one_pass(number: int) -> list[dict[str, object]]:
    """The rows of one pass over the problems."""
    return [
        candidate_row(Candidate(Problem(f"p{p}", f"What is {p} + {p}?", str(2 * p)), number, f"{TEXT}{p}"))
        for p in range(PROBLEMS)
    ]


def append(folder: Path, passes: int) -> int:
    """Ours: every pass is one synced block at the end of the file."""
    path = folder / "generations.jsonl"
    with Appender(path) as file:
        for number in range(passes):
            file.append(one_pass(number))
    return path.stat().st_size


def rewrite(folder: Path, passes: int) -> int:
    """Theirs: the whole list so far is written again, and synced."""
    path, rows, written = folder / "all.json", [], 0
    for number in range(passes):
        rows += one_pass(number)
        with path.open("w", encoding="utf-8") as file:
            json.dump(rows, file)
            file.flush()
            os.fsync(file.fileno())
        written += path.stat().st_size
    return written


def measure(shape: Callable[[Path, int], int], passes: int) -> tuple[int, float]:
    """(bytes written, CPU and wall seconds) of one shape in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        return shape(Path(folder), passes), time.perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 passes, two runs")
    quick = parser.parse_args().quick
    passes, runs = (4, 2) if quick else (16, 5)
    found: dict[str, list[tuple[int, float]]] = {"append each pass": [], "rewrite each pass": []}
    for _ in range(runs):
        found["append each pass"].append(measure(append, passes))
        found["rewrite each pass"].append(measure(rewrite, passes))
    print(f"{PROBLEMS} problems x {passes} passes; minimum of {runs}, interleaved")
    for name, results in found.items():
        print(f"{name:20}{results[0][0] / 1e6:10.1f} MB written{min(s for _, s in results):10.2f} s")
    ratio = min(s for _, s in found["rewrite each pass"]) / min(s for _, s in found["append each pass"])
    print(f"ratio of seconds: {ratio:.1f}")


if __name__ == "__main__":
    main()
