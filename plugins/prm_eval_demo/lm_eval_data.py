"""The demo's held-out problems as lm-eval wants a data set.

Invariant: the same rows on every call; importing this module imports no lm_eval.
"""

from typing import Any

from prm_eval.errors import UsageError
from prm_eval_demo.problems import held_out


# lm-eval passes the whole metadata as keyword arguments, so any must be taken; a `--metadata n=3`
# meant for the samples must not cut the problems.
def dataset(**metadata: Any) -> dict[str, Any]:
    """{"test": datasets.Dataset} of the held-out problems."""
    from datasets import Dataset

    if metadata.get("data"):
        raise UsageError(
            f"the demo makes its own problems and reads no data={metadata['data']}: leave it out"
        )
    return {"test": Dataset.from_list([dict(problem) for problem in held_out()])}
