"""A response as steps, and back: blank lines divide steps, `</think>` divides thinking from response.

Invariant: no text is lost but separators, thinking tags and pieces that hold only white space; an
empty response has zero steps.
"""

import itertools
import re
from collections.abc import Iterable, Sequence

from prm_eval.types import Candidate, Part, Step

OPEN, CLOSE = "<think>", "</think>"
BLANK_LINES = re.compile(r"\r?\n(?:[ \t]*\r?\n)+")


def candidate_steps(candidate: Candidate, separator: str = "\n\n") -> tuple[Step, ...]:
    """The candidate's own steps when the data gives them, else its text, split.

    The default separator means a run of blank lines; any other one is taken literally. Text before
    the first `</think>` is thinking; after an opening tag that is never closed, everything is.
    """
    if candidate.steps is not None:
        return candidate.steps
    return tuple(
        Step(piece, part) for part, text in divide(candidate.text) for piece in split_text(text, separator)
    )


def divide(text: str) -> list[tuple[Part, str]]:
    """The thinking part, if there is one, and the response part, without their tags."""
    thinking, closed, response = text.partition(CLOSE)
    if closed:
        return [("thinking", thinking.replace(OPEN, "", 1)), ("response", response)]
    if text.lstrip().startswith(OPEN):
        return [("thinking", text.replace(OPEN, "", 1))]
    return [("response", text)]


def split_text(text: str, separator: str = "\n\n") -> list[str]:
    """The pieces between separators, those of white space dropped, line ends around them removed."""
    pieces: Sequence[str] = BLANK_LINES.split(text) if separator == "\n\n" else text.split(separator)
    return [piece.strip("\r\n") for piece in pieces if piece.strip()]


def join_steps(steps: Iterable[Step], separator: str = "\n\n") -> str:
    """The text that `candidate_steps` splits into these steps; thinking stands between its tags."""
    texts: list[str] = []
    for part, group in itertools.groupby(steps, key=lambda step: step.part):
        joined = separator.join(step.text for step in group)
        texts.append(f"{OPEN}\n{joined}\n{CLOSE}" if part == "thinking" else joined)
    return separator.join(texts)
