"""Which inputs go through the backbone together.

Invariant: every input is in exactly one batch, and a batch pads to at most `budget` tokens unless
it is a single input.
"""

from collections.abc import Sequence

PASS_COST = 256  # what one forward pass costs besides its tokens, in tokens


def plan(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Positions into `lengths`, longest first, cut into the batches that cost least.

    A batch costs rows x longest tokens, padding included, and `PASS_COST`. The best cuts of the
    sorted lengths are found exactly, from the end: best(i) = min over j of cost(i..j) + best(j).
    Longest first, so that a machine too small for the work says so at once.
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    best, cut = [0] * (len(order) + 1), [0] * len(order)
    for start in reversed(range(len(order))):
        longest = lengths[order[start]]
        last = min(len(order), start + max(1, budget // max(1, longest)))
        best[start], cut[start] = min(
            ((end - start) * longest + PASS_COST + best[end], end) for end in range(start + 1, last + 1)
        )
    batches: list[list[int]] = []
    start = 0
    while start < len(order):
        batches.append(order[start : cut[start]])
        start = cut[start]
    return batches
