"""What k responses to a problem cost: generating them and scoring them, out of the costs of a run.

Invariant: a cost that was not recorded is not estimated; each response is generated and scored once, so
k of N cost the k/N-th part.
"""

from collections.abc import Mapping
from typing import Any

from prm_eval.aggregate import RELATIVE
from prm_eval.costs import Cost, combined

GENERATION = "generation"
"""The key of the generator's cost in the section `cost`, beside those of reward models."""

UNITS = {"tokens": "tokens computed", "flops": "FLOPs (estimated)", "seconds": "seconds"}
Results = Mapping[str, Any]


def cost_units(results: Results) -> list[str]:
    """The units in which every reward model's cost is known, or without any the generator's."""
    models = {row["reward_model"] for row in results["metrics"] if "reward_model" in row and "k" in row}
    needed = models or {GENERATION}
    return [unit for unit in UNITS if all(_each(results, name, unit) is not None for name in needed)]


def counts_generation(results: Results, unit: str) -> bool:
    """Whether what generating cost is known in this unit."""
    return _each(results, GENERATION, unit) is not None


def per_response(results: Results, model: str | None, unit: str) -> float | None:
    """Generating, where it is known, and scoring with `model` one response; None where neither is.

    `model` None: a selector that asks no reward model.
    """
    parts = [_each(results, GENERATION, unit), None if model is None else _each(results, model, unit)]
    known = [part for part in parts if part is not None]
    return None if not known or (model is not None and parts[1] is None) else sum(known)


def costed(points: Mapping[int, Mapping[str, Any]]) -> list[int]:
    """The k of a selector's curve whose cost is k/N of the whole.

    A score that compares the responses of one problem rests on all N of them: only that point has a
    cost that is known.
    """
    ks = sorted(points)
    return ks[-1:] if points[ks[-1]].get("aggregation") in RELATIVE else ks


def together(results: Results) -> dict[str, Cost]:
    """Generator and reward model as one cost, for every reward model; {} where generation is not known.

    What only one of the two knows has no sum, so it is left out.
    """
    costs: Mapping[str, Cost] = results["cost"]
    generation = costs.get(GENERATION)
    if not generation:
        return {}
    found: dict[str, Cost] = {}
    for name, cost in costs.items():
        known = [unit for unit in ("tokens", "flops", "seconds") if unit in generation and unit in cost]
        if name != GENERATION and known:
            total = combined({unit: one[unit] for unit in known} for one in (generation, cost))
            generated = generation.get("generated_tokens") if "tokens" in known else None
            found[name] = total if generated is None else {**total, "generated_tokens": generated}
    return found


def _each(results: Results, name: str, unit: str) -> float | None:
    """One response's part of a cost, None where it is not known or nothing."""
    cost = results["cost"].get(name, {})
    if not cost.get("candidates"):
        return None
    computed = cost.get("padded_tokens") or cost.get("tokens")
    amounts = {"flops": cost.get("flops"), "seconds": cost.get("seconds"), "tokens": computed}
    if unit == "tokens" and computed and "generated_tokens" in cost:
        amounts["tokens"] = computed + cost["generated_tokens"]
    return amounts[unit] / cost["candidates"] if amounts[unit] else None
