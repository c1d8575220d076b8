"""Tables in a terminal of 80 columns: nothing is cut, the curve is there, the numbers are the page's."""

import io
from typing import Any

import pytest
from rich.console import Console

from prm_eval.report import BARS, curve_table, print_tables, sparkline


def rows(ks: list[int], exact: bool = True) -> list[dict[str, Any]]:
    """Two selectors that rise with k and the mean."""
    base = {"ci": [0.3, 0.5], "n_problems": 9, "coverage": 1.0, "exact": exact}
    found: list[dict[str, Any]] = [{"metric": "mean", "value": 0.4, **base}]
    found += [
        {"metric": metric, "k": k, "value": 0.4 + k / 200, "aggregation": "product",
         "reward_model": "a-reward-model-with-a-long-name-72b", **base}
        for k in ks for metric in ("best_of_n", "weighted")
    ]  # fmt: skip
    return found


def drawn(table: Any, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(width=width, file=out).print(table)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("ks", [[1, 2, 4, 8, 16, 32, 64], list(range(1, 65)), [1, 2]])
def test_nothing_is_cut_at_80_columns(ks: list[int], exact: bool) -> None:
    """All k, exact or estimated: no ellipsis, the first and last value, the interval and the curve are whole."""
    lines = drawn(curve_table(rows(ks, exact), "a task"))
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "…" not in text
    for told in (f"{0.4 + ks[0] / 200:.3f}", f"{0.4 + ks[-1] / 200:.3f}", "0.300-0.500", f"k={ks[-1]}"):
        assert told in text
    # all curves share one scale: the flat mean is the lowest, a rising one ends at the top
    assert text.count(BARS[-1]) == 2


def test_a_sparkline_by_hand() -> None:
    """Eight equal steps are the eight characters; without a range all are the lowest."""
    assert sparkline([i / 8 for i in range(8)] + [1.0], 0.0, 1.0) == BARS + BARS[-1]
    assert sparkline([0.5, 0.5], 0.5, 0.5) == BARS[0] * 2


def test_generation_and_scoring_are_told_together() -> None:
    """The generator's cost, the reward model's, and the sum of what both know."""
    cost = {
        "generation": {"candidates": 8, "tokens": 400, "generated_tokens": 800, "seconds": 4.0},
        "prm": {"candidates": 8, "tokens": 900, "padded_tokens": 1000, "seconds": 2.0},
    }
    grading = {"no_answer": 0, "disagreements": [], "candidates": 8}
    out = io.StringIO()
    results = {
        "metrics": rows([1, 2]),
        "warnings": [],
        "comparisons": [],
        "unscored": [],
        "grading": grading,
        "cost": cost,
    }
    print_tables(results, Console(width=80, file=out))
    assert "generation: 400 tokens read, 800 generated, 4.0 s" in out.getvalue()
    assert "generation and prm together: 1,300 tokens read, 800 generated, 6.0 s" in out.getvalue()
