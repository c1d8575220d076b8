"""The demo's problems as lm-eval wants data sets: the held-out ones, and those of the pool.

Invariant: the same rows on every call; importing this module imports no lm_eval.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prm_eval.errors import UsageError
from prm_eval_demo.problems import Problem, held_out, pool_problems


# lm-eval passes the whole metadata as keyword arguments, so any must be taken; a `--metadata n=3`
# meant for the samples must not cut the problems.
def dataset(**metadata: Any) -> dict[str, Any]:
    """{"test": datasets.Dataset} of the held-out problems."""
    return _split("test", held_out(), metadata)


def pool_dataset(**metadata: Any) -> dict[str, Any]:
    """{"train": datasets.Dataset} of the problems of the pool, none of them held out."""
    return _split("train", pool_problems(), metadata)


def _split(name: str, problems: Sequence[Problem], metadata: Mapping[str, Any]) -> dict[str, Any]:
    from datasets import Dataset

    if metadata.get("data"):
        raise UsageError(
            f"the demo makes its own problems and reads no data={metadata['data']}: leave it out"
        )
    return {name: Dataset.from_list([dict(problem) for problem in problems])}
