"""Whether two answers to one problem are the same: cheap exact rungs first, math-verify last.

Invariant: what settles a pair depends on the two answers alone, never on order or on other answers;
a comparison that fails is `Unscored`, never "different".
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from prm_eval.answers import based_number, normal_form, plain_number, same_word
from prm_eval.grading_pool import Worker, lend
from prm_eval.readings import Reading, clearly_differ, reading
from prm_eval.types import Unscored

_NEAR = Fraction(1, 100_000)  # math-verify rounds decimals to 6 places: nearer ones it must decide
_NO_GOLD = Unscored("the problem has no gold answer")


@dataclass
class Answer:
    """One distinct answer: as first written, its normal form, its exact value when it is a number."""

    raw: str
    normal: str
    plain: Fraction | None

    @cached_property
    def reading(self) -> Reading | None:
        return reading(self.normal)

    @classmethod
    def of(cls, raw: str) -> "Answer":
        normal = normal_form(raw)
        return cls(raw, normal, plain_number(normal))


def same_share(one: Answer, other: Answer) -> bool | None:
    """Whether two numbers, of which at least one is a percentage, are the same; None when unsure.

    50% is 50 and is 0.5, as in math-verify 0.9; said here because that depends there on the version
    of its parser's run time.
    """
    shares = _percentage(one), _percentage(other)
    share = shares[0] if shares[0] is not None else shares[1]
    if share is None:
        return None
    number = other.plain if shares[0] is not None else one.plain
    if None not in shares:
        pairs = [shares]
    elif number is not None:
        pairs = [(share, number), (share / 100, number)]
    else:
        return None
    gaps = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    if 0 in gaps:
        return True
    return None if min(gaps) <= _NEAR else False


def _percentage(answer: Answer) -> Fraction | None:
    return plain_number(answer.normal[:-1]) if answer.normal.endswith("%") else None


@dataclass(slots=True)
class Counts:
    """Jobs given to workers, those that failed, and comparisons of wrong answers that failed."""

    jobs: int = 0
    failed: int = 0
    class_failures: int = 0

    def add(self, other: "Counts") -> None:
        self.jobs += other.jobs
        self.failed += other.failed
        self.class_failures += other.class_failures


@dataclass(slots=True)
class Classes:
    """By normal form: the verdict against the gold, and the name of the class."""

    labels: dict[str, bool | Unscored] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


class NeedsWorker(Exception):
    """What a grader that may not ask a worker raises where it would have to."""


class Grader:
    """The rungs for the answers to one problem; it borrows a worker when it first needs one.

    `limit` is in seconds per job; without `may_ask` it raises NeedsWorker instead. Use it as a context
    manager: leaving gives the worker back.
    """

    def __init__(self, limit: float, may_ask: bool = True) -> None:
        self.limit = limit
        self._may_ask = may_ask
        self.counts = Counts()
        self._stack = ExitStack()
        self._worker: Worker | None = None
        self._passages: dict[str, str | None | Unscored] = {}

    def __enter__(self) -> "Grader":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def extract(self, passage: str) -> str | None | Unscored:
        """The answer that math-verify finds in a passage, None when it finds none."""
        if passage not in self._passages:
            self._passages[passage] = self._ask("extract", passage)
        return self._passages[passage]

    def equal(self, gold: Answer, answer: Answer) -> bool | Unscored:
        """By text, exact numbers, bases, words, readings that clearly differ, then math-verify's verdict."""
        if gold.normal == answer.normal:
            return True
        if gold.plain is not None and answer.plain is not None:
            if gold.plain == answer.plain:
                return True
            decimals = "." in gold.normal + answer.normal
            if not decimals or abs(gold.plain - answer.plain) > _NEAR:
                return False
        share = same_share(gold, answer)
        if share is not None:
            return share
        based = based_number(gold.normal), based_number(answer.normal)
        if all(based):
            return based[0] == based[1]
        for one, other in ((based[0], answer.plain), (based[1], gold.plain)):
            if one and one[0].isdecimal() and other is not None:
                return int(one[0]) == other  # a base that only one side names is not held against it
        word = same_word(gold.raw, answer.raw)
        if word is not None:
            return word
        if clearly_differ(gold.reading, answer.reading):
            return False
        verdict: bool | Unscored = self._ask("equal", gold.raw, answer.raw)
        return verdict

    def classes(self, gold: Answer | None, answers: Sequence[Answer]) -> Classes:
        """Group distinct answers. One equal to the gold is never compared with another.

        A class is named by the gold or by its first answer. An answer whose comparison fails is a
        class of its own, to which no other is compared: it costs one time-out, not one per answer.
        """
        found = Classes()
        representatives: list[Answer] = []
        for answer in answers:
            label = _NO_GOLD if gold is None else self.equal(gold, answer)
            found.labels[answer.normal] = label
            if gold is not None and label is True:
                found.names[answer.normal] = gold.normal
            elif gold is not None and isinstance(label, Unscored):
                found.names[answer.normal] = answer.normal
            else:
                found.names[answer.normal] = self._join(answer, representatives)
        return found

    def _join(self, answer: Answer, representatives: list[Answer]) -> str:
        """The class of an answer among these, which gain it when it is a new one."""
        for other in representatives:
            verdict = self.equal(other, answer)
            if verdict is True:
                return other.normal
            if isinstance(verdict, Unscored):
                self.counts.class_failures += 1
                return answer.normal
        representatives.append(answer)
        return answer.normal

    def _ask(self, operation: str, *args: str) -> Any:
        if not self._may_ask:
            raise NeedsWorker
        if self._worker is None:
            self._worker = self._stack.enter_context(lend())
        self.counts.jobs += 1
        result = self._worker.run(operation, *args, limit=self.limit)
        self.counts.failed += isinstance(result, Unscored)
        return result
