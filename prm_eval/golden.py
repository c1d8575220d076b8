"""Golden checks: a loaded checkpoint against the values that its authors print.

Invariant: every expected number comes from a file that names its source and its tolerance; the
texts come from the model's own card or from that file.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, TypeGuard

from prm_eval.card_examples import ADVICE, Conversation, conversation, conversation_at, find_card, literals
from prm_eval.errors import DataError, UsageError
from prm_eval.scoring import score_candidates
from prm_eval.types import Candidate, Problem, RewardModel, Score, Step, Unscored

FOLDER = "goldens"  # beside a plugin's module: NAME.json for each of its models that has one
ACCEPTED = 0.5
Values = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One text and what its authors print for it, with how far off each value may be.

    `expected` is one per step (None: not printed) when `stepwise`, else a single number. `place`
    says where in the card the text stands, when the file itself does not hold it as `text`.
    """

    name: str
    stepwise: bool
    expected: Values
    tolerance: tuple[float, ...]
    place: Any
    text: Conversation | None


@dataclass(frozen=True, slots=True)
class Golden:
    """The examples of one file, and whose values they are."""

    source: str
    examples: tuple[Example, ...]


def golden_file(plugin: Path | None, name: str) -> Path:
    """The golden file that ships with a plugin for one of its models.

    Raises UsageError when there is none.
    """
    path = None if plugin is None else plugin / FOLDER / f"{name}.json"
    if path is None or not path.is_file():
        raise UsageError(f"no golden values ship for '{name}': pass --golden FILE with your own")
    return path


def read_golden(path: Path) -> Golden:
    """A golden file: `source` and `examples`, or one example with its `source`.

    Raises DataError naming what is wrong.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(path, f"not a golden file ({error}): write one JSON object") from error
    if not isinstance(content, dict) or not isinstance(content.get("source"), str):
        raise DataError(path, "'source' is missing: say whose values these are")
    rows = content.get("examples", [content])
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(path, "'examples' is no list of objects: write at least one example")
    return Golden(content["source"], tuple(_example(path, n, row) for n, row in enumerate(rows, start=1)))


def golden_candidates(golden: Golden, folder: str | None, revision: str | None = None) -> list[Candidate]:
    """The texts as candidates; those of the card are read from the checkpoint's `folder` or hub id.

    Raises UsageError when the card is not there, or does not hold an example.
    """
    texts = [example.text for example in golden.examples]
    if None in texts:
        card = find_card(folder, revision)
        values = literals(card.read_text(encoding="utf-8"))
        texts = [example.text or conversation_at(example.place, values) for example in golden.examples]
        lost = [example for example, text in zip(golden.examples, texts, strict=True) if text is None]
        if lost:
            raise UsageError(
                f"{card}: the text of '{lost[0].name}' ({lost[0].place!r}) is not in its examples: {ADVICE}"
            )
    return [_candidate(number, *text) for number, text in enumerate(texts) if text is not None]


def check_golden(
    model: RewardModel, golden: Golden, candidates: Sequence[Candidate], name: str
) -> Iterator[tuple[str, str | None]]:
    """Score the texts; yields (what was compared, what is wrong or None).

    A step score must give its authors' verdict at 0.5 and lie within the tolerance. Single numbers
    must lie within it, and rank the responses as their authors' do.
    """
    results = score_candidates(model, candidates, name=name, identity="golden").results
    compared = list(zip(golden.examples, results, strict=True))
    for example, result in compared:
        shown = ", ".join("…" if value is None else f"{value:.4g}" for value in example.expected)
        yield f"{example.name}: {shown}", _complaint(example, result)
    singles = [pair for pair in compared if not pair[0].stepwise]
    for (one, first), (other, second) in combinations(singles, 2):
        yield f"{one.name} against {other.name}", _misranked(one, first, other, second)


def _example(path: Path, number: int, row: dict[str, Any]) -> Example:
    expected, tolerance = row.get("expected"), row.get("tolerance")
    stepwise = isinstance(expected, list)
    wanted: list[Any] = expected if isinstance(expected, list) else [expected]
    if not wanted or not all(_is_number(item) or (stepwise and item is None) for item in wanted):
        raise DataError(path, f"example {number}: expected is {expected!r}, not a number or one per step")
    allowed = tolerance if isinstance(tolerance, list) else [tolerance] * len(wanted)
    if len(allowed) != len(wanted) or not all(_is_number(item) and item > 0 for item in allowed):
        raise DataError(
            path, f"example {number}: tolerance is {tolerance!r}, not a number above 0 or one each"
        )
    text = conversation(row.get("problem"), row.get("steps", row.get("response")))
    if text is None and "card" not in row:
        raise DataError(
            path, f"example {number} has no text: write problem with response or steps, or card: its place"
        )
    values = tuple(None if item is None else float(item) for item in wanted)
    name = str(row.get("name", f"example {number}"))
    return Example(name, stepwise, values, tuple(map(float, allowed)), row.get("card"), text)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _candidate(number: int, problem: str, response: str | list[str]) -> Candidate:
    if isinstance(response, str):
        return Candidate(Problem("golden", problem), number, response)
    steps = tuple(Step(text) for text in response)
    return Candidate(Problem("golden", problem), number, "\n\n".join(response), steps)


def _complaint(example: Example, result: Score | Unscored) -> str | None:
    if isinstance(result, Unscored):
        return f"unscored: {result.reason}"
    found = (result.steps or ()) if example.stepwise else (result.value,)
    if len(found) != len(example.expected):
        return f"{len(found)} step scores, its authors print {len(example.expected)}"
    compared = zip(found, example.expected, example.tolerance, strict=True)
    wrong = [
        _off(
            f"step {number}" if example.stepwise else "the response", score, wanted, allowed, example.stepwise
        )
        for number, (score, wanted, allowed) in enumerate(compared, start=1)
        if wanted is not None
    ]
    return "; ".join(filter(None, wrong)) or None


def _off(what: str, score: float, wanted: float, allowed: float, verdict: bool) -> str | None:
    values = f"{what} scored {score:.4g}, its authors print {wanted:.4g}"
    if verdict and (score >= ACCEPTED) is not (wanted >= ACCEPTED):
        return f"{values}: the other verdict at {ACCEPTED}"
    return None if abs(score - wanted) <= allowed else f"{values}: more than {allowed:g} apart"


def _misranked(one: Example, first: Score | Unscored, other: Example, second: Score | Unscored) -> str | None:
    if isinstance(first, Unscored) or isinstance(second, Unscored):
        return "not compared, one of them is unscored"
    wanted, found = (one.expected[0], other.expected[0]), (first.value, second.value)
    assert wanted[0] is not None and wanted[1] is not None
    if (found[0] > found[1]) is (wanted[0] > wanted[1]):
        return None
    return f"scored {found[0]:.4g} and {found[1]:.4g}: its authors rank them the other way round"
