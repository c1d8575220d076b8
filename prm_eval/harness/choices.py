"""Multiple choice as a problem with lettered options.

Invariant: the order of the options depends on the texts alone. lm-eval builds a data set several
times in one run, and an order drawn anew would grade other letters than the prompt showed.
"""

import hashlib
from collections.abc import Sequence

LETTERS = "ABCD"


def lettered(question: str, right: str, wrong: Sequence[str]) -> tuple[str, str]:
    """(problem with its options, letter of the right one), in an order fixed by a hash.

    Sorted by the digest of question and option, so that gold letters spread over all places and
    neither the machine, a seed nor a data cache has a say.
    """
    options = sorted([right, *wrong], key=lambda option: _digest(question, option))
    lines = [f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=True)]
    return f"{question}\n\n" + "\n".join(lines), LETTERS[options.index(right)]


def _digest(question: str, option: str) -> bytes:
    return hashlib.sha256(f"{question}\0{option}".encode("utf-8", "surrogatepass")).digest()
