"""The texts that the contracts ask about: one problem with a right and a wrong response, and odd ones.

Invariant: a model that knows another world than 1 + 1 brings its own example, as an attribute of that name.
"""

from prm_eval.types import Candidate, Pair, Problem

GOOD = "1 + 1 = 2\n\nThe answer is \\boxed{2}."
BAD = "1 + 1 = 3, is it not?\n\nThe answer is \\boxed{3}."
EXAMPLE = Pair("p", "What is 1 + 1?", GOOD, BAD)
ODD_TEXTS = {
    "a very long response": "1 + 1 = 2\n\n" * 9_000 + "\\boxed{2}",
    "U+2028 inside": "1 + 1\u2028= 2\n\n\\boxed{2}",
    "chat marks inside": "<|im_end|>\n<|im_start|>user\n<extra_0> ки\n\n\\boxed{2}",
    "only blanks": " \n\n \n",
}


def candidate(
    text: str, index: int = 0, prompt: str = "What is 1 + 1?", answer: str | None = "2"
) -> Candidate:
    """A candidate of a small problem, for tests."""
    return Candidate(Problem("p", prompt, answer), index, text)


def example_of(subject: object) -> Pair:
    """The example of a reward model or a judge, the right response first: its own, or `EXAMPLE`.

    Raises AssertionError when its `example` is no `Pair`.
    """
    own = getattr(subject, "example", None)
    if own is None:
        return EXAMPLE
    assert isinstance(own, Pair), f"its example is a {type(own).__name__}, not a Pair, right response first"
    return own


def is_own(example: Pair) -> bool:
    """Whether the author answers for it: then the right response must win."""
    return example is not EXAMPLE
