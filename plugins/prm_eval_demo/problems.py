"""Synthetic arithmetic chains: problems, solutions with planted mistakes, and the right label of every line.

Invariant: the text of a problem alone decides whether it is held out, so that no training problem can be a
held-out one, whatever the seeds.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

LARGEST = 99
"""Every value of a right solution lies in 0..LARGEST: few enough facts for a tiny model to know them all."""

VERBS = {"+": "add", "-": "subtract", "*": "multiply by"}
SYMBOLS = {verb: symbol for symbol, verb in VERBS.items()}
MISCONCEIVED_SHARE = 0.22
HELD_OUT_ONE_IN = 10

_OPERATION = re.compile(r" Then (add|subtract|multiply by) (\d)\.")
_PROBLEM = re.compile(
    r"Start with (\d+)\.((?: Then (?:add|subtract|multiply by) \d\.)+) What is the result\?"
)
_LINE = re.compile(r"(\d+) ([-+*]) (\d+) = (\d+)")


class Problem(TypedDict):
    """A problem as the exchange files spell it; the answer is a decimal string."""

    problem_id: str
    problem: str
    answer: str


class Operation(NamedTuple):
    """One step of a problem, such as ("-", 4)."""

    symbol: str
    operand: int

    def apply(self, value: int) -> int:
        """The true result, which may lie outside 0..LARGEST."""
        if self.symbol == "+":
            return value + self.operand
        return value - self.operand if self.symbol == "-" else value * self.operand


class Chain(NamedTuple):
    """What the text of a problem says."""

    start: int
    operations: tuple[Operation, ...]

    @property
    def text(self) -> str:
        """The problem as the models read it."""
        steps = "".join(f" Then {VERBS[symbol]} {operand}." for symbol, operand in self.operations)
        return f"Start with {self.start}.{steps} What is the result?"

    @property
    def answer(self) -> int:
        """The value after the last operation."""
        value = self.start
        for operation in self.operations:
            value = operation.apply(value)
        return value


@dataclass(frozen=True)
class Noise:
    """How often a written solution goes wrong, as probabilities for each line."""

    misconception: float = 0.0
    slip: float = 0.0
    misread: float = 0.0


POLICY_NOISE = Noise(misconception=0.6, slip=0.02)
"""Above one half, so that a vote among many samples repeats the misconception instead of curing it."""

VERIFIER_NOISE = Noise(misconception=0.5, slip=0.08, misread=0.03)
"""More kinds of mistakes than the policy makes, so that the verifier learns to check and not to remember."""


def seeded(seed: int) -> random.Random:
    """The one source of chance: nothing here is a secret, and everything must come out the same again."""
    return random.Random(seed)  # noqa: S311


def parse(text: str) -> Chain:
    """Read a problem back. ValueError when the text is not one of ours."""
    match = _PROBLEM.fullmatch(text)
    if match is None:
        raise ValueError(f"not a problem of the demo: {text!r}")
    found = _OPERATION.findall(match[2])
    return Chain(int(match[1]), tuple(Operation(SYMBOLS[verb], int(operand)) for verb, operand in found))


def is_held_out(text: str) -> bool:
    """Whether this problem belongs to the held-out tenth; a property of the text alone."""
    return _fingerprint(text) % HELD_OUT_ONE_IN == 0


def training_chains(rng: random.Random) -> Iterator[Chain]:
    """Endless problems for training, none of them held out."""
    while True:
        chain = _draw_chain(rng)
        if not is_held_out(chain.text):
            yield chain


def held_out(n: int = 250, seed: int = 999) -> list[Problem]:
    """The first n held-out problems, all different; a smaller n gives the beginning of a larger one."""
    rng = seeded(seed)
    return _first(
        n, filter(lambda chain: is_held_out(chain.text), iter(lambda: _draw_chain(rng), None)), "demo"
    )


def pool_problems(n: int = 5000, seed: int = 7) -> list[Problem]:
    """The first n problems of a pool to choose training rows from, all different, none of them held out."""
    return _first(n, training_chains(seeded(seed)), "pool")


def misconception(value: int, operation: Operation) -> int | None:
    """The wrong result that the policy was taught for this fact, or None for most facts.

    Fixed by a hash, so that one fact is always mistaken in the same way.
    """
    true = operation.apply(value)
    number = _fingerprint(f"{value} {operation.symbol} {operation.operand}")
    if not 0 <= true <= LARGEST or number % 1000 >= MISCONCEIVED_SHARE * 1000:
        return None
    near = [
        wrong
        for wrong in (true + 10, true - 10, true + 1, true - 1, true + 2, true - 2)
        if 0 <= wrong <= LARGEST
    ]
    return near[number // 1000 % len(near)]


def right_solution(chain: Chain) -> list[str]:
    """The lines of the right solution: one for each operation, and the boxed answer last."""
    return write_solution(chain, Noise(), seeded(0))


def write_solution(chain: Chain, noise: Noise, rng: random.Random) -> list[str]:
    """The lines of a solution in which mistakes happen, and are carried on.

    After a mistake the value may leave 0..LARGEST; it is then written as the nearest bound (a wrong line).
    """
    value, lines = chain.start, []
    for read in chain.operations:
        operation = read
        if rng.random() < noise.misread:
            value, operation = _misread(value, read, rng)
        result = min(LARGEST, max(0, _believed(value, operation, noise, rng)))
        lines.append(f"{value} {operation.symbol} {operation.operand} = {result}")
        value = result
    return [*lines, rf"\boxed{{{value}}}"]


def label_lines(text: str, lines: Sequence[str]) -> list[bool]:
    """Whether each line is right, in order.

    A line with an operation is right when it starts from the value above it (as written there), does what
    the problem says at this place, and has the true result: one mistake makes one wrong line, not all that
    follow. The boxed line is right when the derivation above it is complete and all right, and it repeats
    the result.
    """
    chain = parse(text)
    value: int | None = chain.start
    labels: list[bool] = []
    for place, line in enumerate(lines):
        match = _LINE.fullmatch(line)
        if match is None:
            complete = place == len(chain.operations) and all(labels)
            labels.append(complete and line == rf"\boxed{{{value}}}")
            value = None
            continue
        operation = Operation(match[2], int(match[3]))
        expected = chain.operations[place] if place < len(chain.operations) else None
        true = operation.apply(int(match[1])) == int(match[4])
        labels.append(true and operation == expected and int(match[1]) == value)
        value = int(match[4])
    return labels


def _first(n: int, chains: Iterator[Chain], name: str) -> list[Problem]:
    """The first n different problems, numbered."""
    texts: dict[str, Chain] = {}
    for chain in chains:
        texts.setdefault(chain.text, chain)
        if len(texts) == n:
            break
    return [
        Problem(problem_id=f"{name}-{number:04d}", problem=text, answer=str(chain.answer))
        for number, (text, chain) in enumerate(texts.items(), start=1)
    ]


def _fingerprint(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def _draw_chain(rng: random.Random) -> Chain:
    length = rng.randint(4, 6)
    start = value = rng.randint(1, 50)
    operations: list[Operation] = []
    while len(operations) < length:
        # A product leaves the range most often, so multiplication is drawn least often.
        operation = Operation(rng.choice("++--*"), rng.randint(2, 9))
        if 0 <= operation.apply(value) <= LARGEST:
            operations.append(operation)
            value = operation.apply(value)
    return Chain(start, tuple(operations))


def _misread(value: int, operation: Operation, rng: random.Random) -> tuple[int, Operation]:
    """A wrong value carried over, a wrong verb or a wrong operand: the arithmetic itself may be right."""
    kind = rng.choice(("value", "symbol", "operand"))
    if kind == "value":
        return rng.choice([other for other in range(LARGEST + 1) if other != value]), operation
    if kind == "symbol":
        return value, operation._replace(
            symbol=rng.choice([other for other in VERBS if other != operation.symbol])
        )
    return value, operation._replace(
        operand=rng.choice([other for other in range(2, 10) if other != operation.operand])
    )


def _believed(value: int, operation: Operation, noise: Noise, rng: random.Random) -> int:
    wrong = misconception(value, operation)
    if wrong is not None and rng.random() < noise.misconception:
        return wrong
    true = operation.apply(value)
    return true + rng.choice((-10, -2, -1, 1, 2, 10)) if rng.random() < noise.slip else true
