"""What a plugin may implement.

A plugin is an importable module named by an entry point of the group `prm_eval` (or a file given
with `--plugin`). Each hook maps names to factories; a factory's signature lists its options and its
docstring is its help. Invariant: implementing a hook must not import torch.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from prm_eval.types import Judge, RewardModel, Strategy

GROUP = "prm_eval"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def prm_eval_reward_models() -> "Mapping[str, Callable[..., RewardModel]]":  # type: ignore[empty-body]
    """Name to factory of a reward model. `name:option=value` calls `factory(option=value)`."""


@hookspec
def prm_eval_judges() -> "Mapping[str, Callable[..., Judge]]":  # type: ignore[empty-body]
    """Name to factory of a pairwise judge."""


@hookspec
def prm_eval_strategies() -> "Mapping[str, Callable[..., Strategy]]":  # type: ignore[empty-body]
    """Name to factory of a selection strategy.

    A strategy may have a method `expectation(pool, ks, seed) -> metrics.Expectation`, its exact
    value over all k-subsets; one that has none gets a seeded estimate with its error.
    """


@hookspec
def prm_eval_aggregations() -> Mapping[str, Callable[..., Callable[[tuple[float, ...]], float]]]:  # type: ignore[empty-body]
    """Name to factory of an aggregation: step scores to one number, higher is better."""


@hookspec
def prm_eval_tasks() -> Path:  # type: ignore[empty-body]
    """A folder of lm-eval task YAML, for `--include_path`."""


@hookspec
def prm_eval_benchmarks() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Name to factory of a pair or step benchmark."""
