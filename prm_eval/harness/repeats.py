"""How many responses per problem the shipped tasks ask for: PRM_EVAL_N, or the task's own number.

Plain lm_eval has no option for it; a task YAML can name a constant of an installed package.
"""

import os

from prm_eval.errors import UsageError

VARIABLE = "PRM_EVAL_N"


def read(default: int) -> int:
    """The number that the environment asks for. Raises UsageError when it is none."""
    text = os.environ.get(VARIABLE) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{VARIABLE}={text}: expected a whole number from 1, the responses per problem")
    return int(text)


N16 = read(16)
N64 = read(64)
