"""A strategy's expected label over all k-subsets: its own formula, or an estimate by calling it.

Invariant: a strategy that comes without a formula is measured by what it chooses, exactly where its
subsets are few, else by a seeded sample with its standard error.
"""

import math
import random
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from prm_eval.errors import PluginError
from prm_eval.metrics import Expectation, Pool
from prm_eval.subsets import standard_error
from prm_eval.types import Candidate, Scored, Strategy

CALLS = 200
"""At most this many calls per problem and k: a standard error of at most 0.036 on one problem."""


OwnExpectation = Callable[[Pool, Sequence[int], int], Expectation]
"""(pool, ks, seed) to the expected label over all k-subsets: a strategy's optional `expectation`."""


def uses_scores(strategy: Strategy) -> bool:
    """Whether the strategy looks at scores; one that does not say is taken to."""
    return bool(getattr(strategy, "uses_scores", True))


def expectation(
    name: str,
    strategy: Strategy,
    pool: Pool,
    members: Callable[[], Sequence[Scored]],
    ks: Sequence[int],
    seed: int,
) -> Expectation:
    """Expected label of what `strategy` chooses from a random k-subset, for each k.

    `members` gives the candidates of the pool, in its order, when the strategy has to be called;
    equal bests share the credit evenly. Raises PluginError when it chooses nothing or a stranger,
    or its own `expectation` does not give one value per k.
    """
    own: OwnExpectation | None = getattr(strategy, "expectation", None)
    if own is not None:
        result = own(pool, ks, seed)
        if len(result.values) != len(ks):
            raise PluginError(
                f"strategy '{name}' gave {len(result.values)} expectations for {len(ks)} k: give one for each"
            )
        return result
    found = [_called(name, strategy, pool, members(), k, seed) for k in ks]
    values, errors = (np.array([pair[side] for pair in found]) for side in (0, 1))
    return Expectation(values, errors, np.array([math.comb(len(pool.labels), k) <= CALLS for k in ks]))


def chosen(name: str, strategy: Strategy, members: Sequence[Scored]) -> list[int]:
    """Positions of what the strategy chooses. Raises PluginError on nothing or a stranger."""
    places = {one.candidate.key: place for place, one in enumerate(members)}
    picks: list[Candidate] = [one.candidate for one in strategy(members)]
    if not picks:
        raise PluginError(
            f"strategy '{name}' chose nothing from {len(members)} candidates: it must choose one"
        )
    for pick in picks:
        if pick.key not in places:
            raise PluginError(
                f"strategy '{name}' chose {pick.key}, which is not in its pool: choose from the pool"
            )
    return sorted({places[pick.key] for pick in picks})


def _called(
    name: str, strategy: Strategy, pool: Pool, members: Sequence[Scored], k: int, seed: int
) -> tuple[float, float]:
    """(mean, standard error) of the earnings over the k-subsets, or over `CALLS` random ones."""
    n = len(members)
    exact = math.comb(n, k) <= CALLS
    rng = random.Random(f"{seed}/{k}")  # noqa: S311 - a sample, not a secret
    drawn = combinations(range(n), k) if exact else (sorted(rng.sample(range(n), k)) for _ in range(CALLS))
    earned = []
    for places in drawn:
        subset = [members[place] for place in places]
        picks = [places[pick] for pick in chosen(name, strategy, subset)]
        earned.append(pool.labels[picks].mean())
    return float(np.mean(earned)), 0.0 if exact else standard_error(np.array(earned))
