"""How much `grade_candidates` saves against math-verify called on every response, and that it agrees.

Work counts come first, then seconds (process CPU of parent and children, and wall), interleaved.
Run: python tests/benchmarks/bench_grading.py [--quick] [--full] [--repeats N]
"""

import argparse
import json
import logging
import random
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from math_verify import parse, verify

from prm_eval.grading import Grading, extract_answer, grade_candidates
from prm_eval.grading_pool import close_idle
from prm_eval.types import Candidate, Problem

DATA = Path(__file__).parents[3] / "shared" / "data" / "math500-candidates.jsonl"
SAMPLES = 64
LENGTH = 1400


def perturbed(answer: str, others: list[str], rng: random.Random) -> str:
    """A near miss, one number changed; without a number, and now and then, an answer to another problem."""
    answer = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", answer)
    numbers = list(re.finditer(r"\d+", answer))
    if not numbers or rng.random() < 0.1:
        return rng.choice([other for other in others if shape(other) == shape(answer)])
    spot = rng.choice(numbers)
    number = max(1, int(spot.group()) + rng.choice([-3, -2, -1, 1, 2, 3, 7, 10]))
    braced = number > 9 and re.search(r"(?:\^|_|\\frac\d?|\\sqrt)$", answer[: spot.start()])
    return answer[: spot.start()] + (f"{{{number}}}" if braced else str(number)) + answer[spot.end() :]


def shape(answer: str) -> tuple[bool, ...]:
    """What wrong answers share with right ones: a set, an equation, a word, a vector or none of them."""
    return tuple(mark in answer for mark in (",", "=", "\\cup", "\\text", "\\begin", "\\in"))


def answers_to(gold: str, recorded: list[str], others: list[str], rng: random.Random) -> list[str]:
    """8 to 12 distinct answers, the recorded ones and other spellings of the gold among them."""
    wanted = rng.randint(8, 12)
    spellings = [gold, *recorded, gold.replace("\\frac", "\\dfrac"), gold.replace(" ", "")]
    found = list(dict.fromkeys(spellings))
    while len(found) < wanted:
        found = list(dict.fromkeys([*found, perturbed(rng.choice([gold, *found]), others, rng)]))
    return found


def workload(problems: int, seed: int = 0) -> list[Candidate]:
    """`problems` x 64 responses of about 1,500 characters, each with its answer in a box."""
    lines = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    by_problem: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_problem.setdefault(line["problem_id"], []).append(line)
    rng = random.Random(seed)
    golds = sorted({line["answer"] for line in lines})
    candidates = []
    for name, rows in rng.sample(sorted(by_problem.items()), min(problems, len(by_problem))):
        problem = Problem(name, rows[0]["problem"], rows[0]["answer"])
        recorded = [box for row in rows if (box := extract_answer(row["response"])) is not None]
        pool = answers_to(rows[0]["answer"], recorded, golds, rng)
        weights = [4.0 if at < 3 else 1.0 for at in range(len(pool))]
        bodies = [row["response"].replace("\\boxed", "").replace("</think>", "")[:LENGTH] for row in rows]
        for index in range(SAMPLES):
            answer = rng.choices(pool, weights)[0]
            text = f"{rng.choice(bodies)}\n\nTherefore, the final answer is: $\\boxed{{{answer}}}$."
            candidates.append(Candidate(problem, index, text))
    return candidates


def naive(candidates: list[Candidate]) -> list[bool]:
    """As harnesses do it: gold and response parsed, then verified, for every response."""
    return [bool(verify(parse(f"${c.problem.answer}$"), parse(c.text))) for c in candidates]


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, CPU seconds of this process and its ended children, wall seconds."""
    close_idle()
    before, started = cpu(), time.perf_counter()
    result = work()
    close_idle()
    return result, cpu() - before, time.perf_counter() - started


def cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="40 problems instead of 500, one repeat")
    parser.add_argument("--full", action="store_true", help="math-verify on every response, not on a tenth")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    candidates = workload(40 if options.quick else 500)
    problems = len(candidates) // SAMPLES
    step = 1 if options.full or options.quick else 10
    sample = [c for at, c in enumerate(candidates) if at // SAMPLES % step == 0]
    fast, slow = [], []
    for _ in range(1 if options.quick else options.repeats):
        grading, *ours = timed(lambda: grade_candidates(candidates))
        verdicts, *theirs = timed(lambda: naive(sample))
        fast.append(ours)
        slow.append([seconds * len(candidates) / len(sample) for seconds in theirs])
    report(grading, candidates, problems, len(sample))
    agreement(grading, candidates, dict(zip([c.key for c in sample], verdicts, strict=True)))
    for place, clock in enumerate(("CPU", "wall")):
        best, base = min(run[place] for run in fast), min(run[place] for run in slow)
        print(f"{clock:>5} s   prm-eval {best:8.2f}   math-verify {base:8.2f}   ratio {base / best:6.1f}")


def report(grading: Grading, candidates: list[Candidate], problems: int, sampled: int) -> None:
    pairs = len({(c.problem.id, extract_answer(c.text)) for c in candidates})
    print(f"{problems} problems x {SAMPLES} = {len(candidates)} responses, {pairs} distinct answers")
    print(f"math-verify calls: naive {3 * len(candidates)} (2 parse + 1 verify each)")
    print(
        f"                   prm-eval {grading.provenance['worker_jobs']} jobs, classes of answers included"
    )
    print(f"seconds: minimum of the repeats; math-verify timed on {sampled} responses and scaled")


def agreement(grading: Grading, candidates: list[Candidate], verdicts: dict[tuple[str, int], bool]) -> None:
    graded = zip(candidates, grading.grades, strict=True)
    both = [(c, g) for c, g in graded if c.key in verdicts and isinstance(g.label, bool)]
    other = {(c.problem.answer, g.answer, g.label) for c, g in both if g.label != verdicts[c.key]}
    print(f"verdicts compared: {len(both)} of {len(verdicts)}, distinct pairs that differ: {len(other)}")
    for gold, answer, label in sorted(other, key=str):
        print(f"    gold {gold!r} answer {answer!r}: prm-eval {label}")


if __name__ == "__main__":
    main()
