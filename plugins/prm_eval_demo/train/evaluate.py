"""`python -m prm_eval_demo.train.evaluate`: what the two checkpoints are worth on the held-out problems.

Invariant: plain transformers, a plain forward pass and sums over lists, nothing of prm_eval, so that its
numbers can be held against those of the project itself.
"""

from __future__ import annotations

import argparse
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from prm_eval_demo.problems import Problem, held_out, label_lines
from prm_eval_demo.train.inference import sample_responses, score_steps

MODELS = Path(__file__).resolve().parent.parent / "models"
BUDGETS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Candidate:
    """One response: whether its answer is the reference, the PRM's score and the true label of every step."""

    answer: str
    correct: bool
    scores: list[float]
    labels: list[bool]

    @property
    def product(self) -> float:
        """A response without steps has no score and never wins: the empty product would be a perfect one."""
        return math.prod(self.scores) if self.scores else -math.inf


Strategy = Callable[[Sequence[Candidate]], float]


def mean(group: Sequence[Candidate]) -> float:
    """The share of right answers: what one sample is worth."""
    return sum(one.correct for one in group) / len(group)


def majority(group: Sequence[Candidate]) -> float:
    """The most frequent answer; the first seen wins a tie."""
    return _elected(group, [1.0] * len(group))


def best_of(group: Sequence[Candidate]) -> float:
    """The answer of the candidate with the largest product."""
    return float(max(group, key=lambda one: one.product).correct)


def weighted(group: Sequence[Candidate]) -> float:
    """The answer with the largest sum of products."""
    return _elected(group, [max(0.0, one.product) for one in group])


def passed(group: Sequence[Candidate]) -> float:
    """Whether any candidate is right: the ceiling of every selection."""
    return float(any(one.correct for one in group))


STRATEGIES: dict[str, Strategy] = {
    "mean": mean,
    "majority": majority,
    "best-of": best_of,
    "weighted": weighted,
    "pass": passed,
}


def per_problem(
    groups: Sequence[Sequence[Candidate]], strategy: Strategy, budget: int
) -> NDArray[np.float64]:
    """For every problem the mean over its disjoint blocks of `budget` candidates."""
    return np.array(
        [
            np.mean([strategy(group[start : start + budget]) for start in range(0, len(group), budget)])
            for group in groups
        ]
    )


def bootstrap_interval(differences: NDArray[np.float64], resamples: int = 10_000) -> tuple[float, float]:
    """Percentile bootstrap, 95 %, over problems, of the mean of paired differences."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(differences), (resamples, len(differences)))
    low, high = np.quantile(differences[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def area_under_curve(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """The probability that a right step scores above a wrong one, ties counting one half."""
    wrong = np.sort(scores[~labels])
    below = np.searchsorted(wrong, scores[labels], "left") + np.searchsorted(wrong, scores[labels], "right")
    return float(below.mean() / 2 / len(wrong))


def judge(
    problems: Sequence[Problem], responses: Sequence[Sequence[str]], prm: Path
) -> list[list[Candidate]]:
    """Split, score, label and grade every response."""
    steps = [[split_steps(one) for one in group] for group in responses]
    scores = score_steps(prm, problems, steps)
    return [
        [
            Candidate(
                final_answer(text),
                final_answer(text) == row["answer"],
                score,
                label_lines(row["problem"], lines),
            )
            for text, lines, score in zip(texts, split, scored, strict=True)
        ]
        for row, texts, split, scored in zip(problems, responses, steps, scores, strict=True)
    ]


def split_steps(response: str) -> list[str]:
    """The steps of a response: its parts between blank lines."""
    return [part.strip() for part in re.split(r"\n\s*\n", response) if part.strip()]


def final_answer(response: str) -> str:
    """What the last box holds, or nothing."""
    found = re.findall(r"\\boxed\{(\d+)\}", response)
    return str(found[-1]) if found else ""


def report(groups: Sequence[Sequence[Candidate]]) -> list[str]:
    """The tables, line by line."""
    budgets = [budget for budget in BUDGETS if len(groups[0]) % budget == 0]
    lines = ["k     " + "".join(f"{name:>10}" for name in STRATEGIES)]
    for budget in budgets:
        values = [per_problem(groups, strategy, budget).mean() for strategy in STRATEGIES.values()]
        lines.append(f"{budget:<6}" + "".join(f"{value:10.3f}" for value in values))
    largest = {name: per_problem(groups, strategy, budgets[-1]) for name, strategy in STRATEGIES.items()}
    for better, worse in (("best-of", "mean"), ("best-of", "majority"), ("pass", "best-of")):
        differences = largest[better] - largest[worse]
        low, high = bootstrap_interval(differences)
        lines.append(f"{better} - {worse} at {budgets[-1]}: {differences.mean():.3f} [{low:.3f}, {high:.3f}]")
    every = [one for group in groups for one in group]
    scores = np.array([score for one in every for score in one.scores])
    labels = np.array([label for one in every for label in one.labels])
    lines.append(
        f"steps {len(labels)}  wrong {1 - labels.mean():.3f}  ROC AUC {area_under_curve(scores, labels):.4f}"
    )
    lines.append(f"step accuracy at one half {((scores > 0.5) == labels).mean():.4f}")
    products = np.array([one.product for one in every])
    correct = np.array([one.correct for one in every])
    lines.append(f"response ROC AUC (product) {area_under_curve(products, correct):.4f}")
    return lines


def main() -> None:
    """Sample, score, report."""
    parser = argparse.ArgumentParser(description="Measure the two checkpoints of the demo.")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder with policy/ and prm/")
    parser.add_argument("--problems", type=int, default=250)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--seed", type=int, default=3, help="seed of the sampling")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    problems = held_out(arguments.problems)
    started = time.perf_counter()
    responses = sample_responses(arguments.models / "policy", problems, arguments.samples, arguments.seed)
    sampled = time.perf_counter()
    groups = judge(problems, responses, arguments.models / "prm")
    print(f"sampling {sampled - started:.0f} s, scoring {time.perf_counter() - sampled:.0f} s, one thread")
    print("\n".join(report(groups)))


def _elected(group: Sequence[Candidate], votes: Sequence[float]) -> float:
    tally: Counter[str] = Counter()
    for one, vote in zip(group, votes, strict=True):
        tally[one.answer] += vote  # type: ignore[assignment]
    winner = max(tally, key=lambda answer: tally[answer])
    return float(any(one.correct for one in group if one.answer == winner))


if __name__ == "__main__":
    main()
