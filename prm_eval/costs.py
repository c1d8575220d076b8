"""What scoring cost: counts that add up, peaks that do not, and both in words.

Invariant: a name that begins with `peak_` is a maximum. Every other one is a count that only grows,
so batches, engines and workers may be added in any order.
"""

from collections.abc import Iterable, Mapping

Cost = Mapping[str, float]

PEAK = "peak_"
_OF_THE_RUN = ("candidates", "unique")  # how much there was to do, not what it cost
_PREFIXES = "EPTGM"


def combined(costs: Iterable[Cost]) -> dict[str, float]:
    """Several costs as one: counts are added, the largest peak is kept."""
    total: dict[str, float] = {}
    for cost in costs:
        for name, amount in cost.items():
            if name not in total:
                total[name] = amount
            elif name.startswith(PEAK):
                total[name] = max(total[name], amount)
            else:
                total[name] += amount
    return total


def since(before: Cost, now: Cost) -> dict[str, float]:
    """What came between two readings of a model's running counts; a peak is the one reached by now."""
    return {
        name: amount if name.startswith(PEAK) else amount - before.get(name, 0)
        for name, amount in now.items()
    }


def in_words(cost: Cost) -> str:
    """`0.31 M tokens read, 0.33 M computed, 0.70 TFLOPs, 21.8 s, peak 512 MB`, as far as it is known.

    Prefixes are powers of 1000. Counts of a model's own follow under their own names.
    """
    left = {name: amount for name, amount in cost.items() if name not in _OF_THE_RUN}
    words = []
    if (tokens := left.pop("tokens", None)) is not None:
        words.append(f"{_short(tokens)} tokens read")
    if (padded := left.pop("padded_tokens", None)) is not None:
        words.append(f"{_short(padded)} computed")
    if (generated := left.pop("generated_tokens", None)) is not None:
        words.append(f"{_short(generated)} generated")
    if (flops := left.pop("flops", None)) is not None:
        words.append(f"{_short(flops, ' ')}FLOPs")
    words.append(f"{left.pop('seconds', 0.0):,.1f} s")
    if (peak := left.pop("peak_memory_bytes", None)) is not None:
        words.append(f"peak {_short(peak, ' ', least=1.0)}B")
    return ", ".join([*words, *(f"{amount:,g} {name}" for name, amount in left.items())])


def _short(amount: float, plain: str = "", *, least: float = 0.1) -> str:
    """Three digits or so under the largest prefix that leaves at least `least`."""
    for place, prefix in enumerate(_PREFIXES):
        scaled = amount / 1000.0 ** (len(_PREFIXES) + 1 - place)
        if scaled >= least:
            digits = 0 if scaled >= 100 else 1 if scaled >= 10 else 2
            return f"{scaled:,.{digits}f} {prefix}"
    return f"{amount:,.0f}{plain}"
