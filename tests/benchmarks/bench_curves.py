"""Exact curves against resampling: work, time and error on 500 problems of 64 candidates.

Run it with OMP_NUM_THREADS=1. Work counts come first, since they do not depend on the machine; times
are CPU seconds, systems interleaved, the minimum of five rounds. `--quick` is a tenth of the size.
"""

import argparse
import time
from collections.abc import Callable
from fractions import Fraction
from math import comb

import numpy as np
import prm_eval_strategies

from prm_eval import aggregate, plurality
from prm_eval.grading import Grade
from prm_eval.metrics import Floats, Pool, best_of_k
from prm_eval.selection import ScoreSet, evaluate
from prm_eval.types import Candidate, Problem, Score
from prm_eval.votes import majority_at_k, majority_then_best_at_k, weighted_at_k

RESAMPLES = 50
EVERY_K = "best of k, every k"


def make_pools(problems: int, n: int) -> list[Pool]:
    """Problems from easy to hard: one right class, wrong answers with a long tail, some silent."""
    rng = np.random.default_rng(0)
    pools = []
    for ease in rng.beta(0.8, 0.8, problems):
        classes = np.where(rng.random(n) < ease, 0, np.minimum(rng.geometric(0.25, n), 20))
        classes[rng.random(n) < 0.03] = -1
        labels = (classes == 0).astype(np.float64)
        # Two decimals, as PRM scores are often stored: ties are common.
        scores = np.round(rng.random(n) * 0.8 + 0.2 * labels, 2) + 0.01
        pools.append(Pool(labels, scores, np.ones(n, dtype=np.bool_), classes))
    return pools


def resampled(labels: Floats, scores: Floats, ks: list[int]) -> Floats:
    """The usual estimate: best of k of 50 random subsets per problem, vectorised over problems."""
    rng = np.random.default_rng(1)
    values = np.zeros((len(labels), len(ks)))
    for _ in range(RESAMPLES):
        order = np.argsort(rng.random(labels.shape), axis=1)
        mixed = np.take_along_axis(scores, order, axis=1)
        for place, k in enumerate(ks):
            best = np.take_along_axis(order, mixed[:, :k].argmax(axis=1)[:, None], axis=1)
            values[:, place] += np.take_along_axis(labels, best, axis=1)[:, 0]
    return values / RESAMPLES


def by_fractions(pool: Pool, ks: list[int]) -> list[float]:
    """One problem in whole numbers: the share of k-subsets by their best score, ties shared."""
    n = len(pool.labels)
    total = [Fraction(0)] * len(ks)
    for score in np.unique(pool.scores):
        tied, below = pool.scores == score, int((pool.scores < score).sum())
        label = Fraction(int(pool.labels[tied].sum()), int(tied.sum()))
        for place, k in enumerate(ks):
            ways = comb(below + int(tied.sum()), k) - comb(below, k)
            total[place] += label * Fraction(ways, comb(n, k))
    return [float(value) for value in total]


def whole_evaluation(pools: list[Pool]) -> Callable[[], object]:
    """The full `evaluate`: seven strategies, three aggregations, powers of two."""
    candidates, grades, results = [], [], []
    for number, pool in enumerate(pools):
        problem = Problem(f"p{number}", "?")
        for index, score in enumerate(pool.scores):
            candidates.append(Candidate(problem, index, f"{index}"))
            name = None if pool.classes[index] < 0 else str(pool.classes[index])
            grades.append(Grade(name, bool(pool.labels[index]), name))
            steps = tuple(float(score) ** power for power in (0.2, 0.5, 1.0, 0.7))
            results.append(Score(steps[-1], steps))
    strategies = {name: factory() for name, factory in prm_eval_strategies.prm_eval_strategies().items()}
    how = {"min": aggregate.minimum, "last": aggregate.last, "product": aggregate.product}

    def run() -> object:
        plurality.expected_label.cache_clear()
        return evaluate(candidates, grades, [ScoreSet("m", results)], strategies=strategies, aggregations=how)

    return run


def timed(systems: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """CPU seconds of each, interleaved, the minimum over the rounds."""
    best = dict.fromkeys(systems, float("inf"))
    for _ in range(rounds):
        for name, run in systems.items():
            start = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - start)
    return best


def votes(pools: list[Pool], n: int, ks: list[int]) -> dict[str, Callable[[], object]]:
    """The vote curves, with nothing remembered from the round before."""

    def majority() -> None:
        plurality.expected_label.cache_clear()
        for pool in pools:
            majority_at_k(pool, range(1, n + 1), 0)

    def then_best() -> None:
        plurality.expected_label.cache_clear()
        for pool in pools:
            majority_then_best_at_k(pool, ks, 0)

    def weighted() -> None:
        for pool in pools:
            weighted_at_k(pool, ks, 0)

    return {
        "majority, every k, exact": majority,
        f"majority then best, {len(ks)} k, exact": then_best,
        f"weighted, {len(ks)} k, enumerated or sampled": weighted,
    }


def main() -> None:
    """Print work, errors and times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50 problems and one round")
    quick = parser.parse_args().quick
    problems, n, rounds = (50, 64, 1) if quick else (500, 64, 5)
    pools, every = make_pools(problems, n), list(range(1, n + 1))
    powers = [2**power for power in range(n.bit_length())]
    labels, scores = (np.array([getattr(pool, part) for pool in pools]) for part in ("labels", "scores"))
    scored = np.ones(labels.shape, dtype=np.bool_)
    print(f"{problems} problems x {n} candidates, k = 1..{n}")
    print("work: sorts of one problem, labels looked at")
    print(f"  rank formula  {problems:>9,} {problems * n * n:>11,}")
    print(f"  {RESAMPLES} resamples  {problems * RESAMPLES:>9,} {problems * RESAMPLES * sum(every):>11,}")
    exact = best_of_k(labels, scores, scored, every)
    some = range(0, problems, max(1, problems // 25))
    truth = np.array([by_fractions(pools[place], every) for place in some])
    curve = np.abs(resampled(labels, scores, every).mean(axis=0) - exact.mean(axis=0))
    print("largest error")
    print(f"  rank formula, any problem and k, against fractions ({len(some)} problems)  ", end="")
    print(f"{np.abs(exact[list(some)] - truth).max():.1e}")
    print(f"  {RESAMPLES} resamples, the mean over problems at any k                       {curve.max():.1e}")
    systems: dict[str, Callable[[], object]] = {
        EVERY_K: lambda: best_of_k(labels, scores, scored, every),
        f"{RESAMPLES} resamples, every k": lambda: resampled(labels, scores, every),
        **votes(pools, n, powers),
        "evaluate: 7 strategies, 3 aggregations": whole_evaluation(pools),
    }
    found = timed(systems, rounds)
    print("CPU seconds")
    for name, seconds in found.items():
        print(f"  {name:<46} {seconds:8.4f}  x {seconds / found[EVERY_K]:,.0f}")


if __name__ == "__main__":
    main()
