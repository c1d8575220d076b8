"""The program that a grading worker runs: math-verify behind JSON lines on standard input and output.

Invariant: one line in, one line out, in order, pure ASCII. It is started as a file (`python -P`), so
it imports nothing of prm_eval and never re-imports the caller's main module.
"""

import json
import logging
import math
import os
import signal
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TextIO

OPTIONS: dict[str, Any] = {"allow_set_relation_comp": True, "timeout_seconds": None}


@lru_cache(maxsize=8192)
def read(answer: str) -> list[Any]:
    r"""What math-verify makes of an answer: a sympy expression and a text, either may be absent."""
    from math_verify import parse

    found: list[Any] = parse("\\boxed{" + answer + "}", parsing_timeout=None)
    return found


def extract(text: str) -> str | None:
    """The text of the answer that math-verify finds in a passage, None when it finds none."""
    from math_verify import parse
    from sympy import latex

    found = parse(text, parsing_timeout=None)
    written = found[-1].strip().strip("*_") if found and isinstance(found[-1], str) else ""
    if found and not isinstance(found[0], str) and not is_expression(written):
        return str(latex(found[0]))  # its text is a fragment ("6^{" of 6 degrees)
    return written or None


def is_expression(answer: str) -> bool:
    """Whether math-verify reads an answer as mathematics, not as a mere text."""
    found = read(answer)
    return bool(found) and not isinstance(found[0], str)


def equal(gold: str, answer: str) -> bool:
    """math-verify's verdict, where an inequality may also name an interval (3 < x <= 4 is (3, 4]).

    Raises what math-verify raised, unless another reading matched.
    """
    from math_verify import verify

    one, other = read(gold), read(answer)
    if not one or not other:
        return False
    try:
        return bool(verify(one, other, raise_on_error=True, **OPTIONS))
    except Exception:  # math-verify raises any class: raised again below unless another reading matches
        if verify(one, other, **OPTIONS):
            return True
        raise


def answer_job(job: dict[str, Any]) -> dict[str, Any]:
    """The reply to one job: its result, or what went wrong."""
    operations: dict[str, Callable[..., Any]] = {"extract": extract, "equal": equal}
    try:
        return {"result": operations[job["op"]](*job["args"])}
    except Exception as error:
        return {"error": f"math-verify raised {type(error).__name__}: {str(error)[:200]}"}


def self_check() -> dict[str, Any]:
    """A wrong antlr or sympy makes math-verify read nothing and call every answer wrong: say so."""
    try:
        works = equal("\\frac{1}{2}", "0.5") and not equal("\\sqrt{2}", "\\sqrt{3}")
    except Exception as error:
        return {"broken": f"{type(error).__name__}: {error}"}
    return {"ready": True} if works else {"broken": "it cannot read \\frac{1}{2} or compare square roots"}


def main() -> None:
    """Answer jobs until standard input ends."""
    replies: TextIO = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    os.dup2(2, 1)  # what a library prints must not land between the replies
    logging.disable(logging.CRITICAL)
    replies.write(json.dumps(self_check()) + "\n")
    for line in sys.stdin.buffer:
        job = json.loads(line)
        if hasattr(signal, "alarm"):
            # Ends an orphan whose parent died in the middle of an endless computation.
            signal.alarm(math.ceil(job["limit"]) + 30)
        replies.write(json.dumps(answer_job(job)) + "\n")


if __name__ == "__main__":
    main()
