"""Step numbers as tables for the terminal: one per reward model and threshold.

Invariant: shows what `results.json` holds and computes nothing but the layout; fits 80 columns.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prm_eval.costs import in_words

Row = Mapping[str, Any]

_WIDTH = 80
_LEAD = {"f1": "F1", "prm_score": "PRMScore", "step_f1": "step F1"}
_BESIDE = {
    "f1": {"error_accuracy": "error", "correct_accuracy": "correct"},
    "prm_score": {"positive_f1": "F1 right", "negative_f1": "F1 wrong"},
    "step_f1": {"positive_f1": "F1 right", "negative_f1": "F1 wrong"},
}
"""The columns beside a headline: of solutions with an error and without, of right and wrong steps."""


def print_stepwise(results: Mapping[str, Any], console: Console | None = None) -> None:
    """Warnings first, then each model's tables, the comparisons, what was not scored, what it cost."""
    console = console or _console()
    for warning in results["warnings"]:
        console.print(Text(f"! {warning}", style="yellow"))
    for model, thresholds in results["thresholds"].items():
        for threshold in thresholds:
            console.print()
            console.print(Text(_title(results, model, threshold)))
            console.print(_table(results, model, threshold))
        for line in _beside(results, model):
            console.print(Text(line))
    if results["comparisons"]:
        console.print()
    for comparison in results["comparisons"]:
        console.print(Text(_comparison(comparison)))
    for entry in results["unscored"]:
        if entry["unscored"]:
            reasons = "; ".join(f"{count:,} {reason}" for reason, count in entry["reasons"].items())
            counts = f"{entry['unscored']:,} of {entry['candidates']:,} unscored"
            console.print(Text(f"{entry['reward_model']}: {counts}: {reasons}"))
    for name, cost in results["cost"].items():
        if cost:
            console.print(Text(f"{name}: {in_words(cost)}"), soft_wrap=True)


def _title(results: Mapping[str, Any], model: str, threshold: Row) -> str:
    side = "at or below" if results["inverted"] else "at or above"
    at = f"{threshold['threshold']:.6g}{_tuned(threshold)}"
    return f"{results['task']}, {model}: steps {side} {at} are accepted"


def _table(results: Mapping[str, Any], model: str, threshold: Row) -> Table:
    headline = results["headline"]
    beside = _BESIDE[headline]
    table = Table(box=None, pad_edge=False)
    table.add_column("subset", overflow="fold", min_width=8)
    for name in (_LEAD[headline], "95% interval", *beside.values(), "AUC", "scored"):
        table.add_column(name, justify="right", no_wrap=True)
    for scope, found in _scopes(results, model, threshold.get("tuned_on")).items():
        lead = found.get(headline)
        any_ = lead or next(iter(found.values()))
        table.add_row(
            Text(scope, style="bold" if scope == "overall" else ""),
            _value(lead),
            _interval(lead),
            *(_value(found.get(name)) for name in beside),
            _value(found.get("step_auc")),
            _scored(any_),
        )
    return table


def _scopes(results: Mapping[str, Any], model: str, tuned_on: str | None) -> dict[str, dict[str, Row]]:
    """Scope to metric to row: the subsets, the sections, then all; solutions are told beside the table."""
    found: dict[str, dict[str, Row]] = {}
    for row in results["metrics"]:
        timeless = "threshold" not in row
        if row["reward_model"] != model or not (timeless or row.get("tuned_on") == tuned_on):
            continue
        if not row["metric"].startswith("solution"):
            scope = row.get("subset") or row.get("section") or "overall"
            found.setdefault(scope, {})[row["metric"]] = row
    sections = {row["section"] for row in results["metrics"] if row.get("section")}
    order = {scope: (scope == "overall", scope in sections) for scope in found}
    return {scope: found[scope] for scope in sorted(found, key=lambda scope: order[scope])}


def _beside(results: Mapping[str, Any], model: str) -> Iterator[str]:
    """Over all: whole solutions by each aggregation, and how far the scores are calibrated."""
    rows = [
        row
        for row in results["metrics"]
        if row["reward_model"] == model and "subset" not in row and row["metric"].startswith("solution")
    ]
    for row in rows:
        if row["value"] is None:
            continue
        what = {"solution_f1": "F1", "solution_auc": "AUC"}[row["metric"]]
        at = f" at {row['threshold']:.6g}{_tuned(row)}" if "threshold" in row else ""
        yield f"whole solutions by {row['aggregation']}: {what}{at} {_value(row)} ({_interval(row)})"
    for entry in results["calibration"]:
        if entry["reward_model"] == model:
            yield (
                f"calibration over {entry['n_steps']:,} labelled steps: ECE {entry['ece']:.3f},"
                f" Brier {entry['brier']:.3f}"
            )


def _comparison(row: Row) -> str:
    low, high = row["ci"] or (float("nan"), float("nan"))
    a, b = row["a"], row["b"]
    return (
        f"{a['metric']}{_tuned(a)}: {a['reward_model']} minus {b['reward_model']}:"
        f" {row['difference']:+.3f} ({low:+.3f} to {high:+.3f}), p {row['p']:.4f},"
        f" on {row['n_solutions']:,} solutions that both scored"
    )


def _tuned(fields: Row) -> str:
    return f" (tuned on {fields['tuned_on']})" if "tuned_on" in fields else ""


def _scored(row: Row) -> str:
    """Solutions scored, of all."""
    if not row["coverage"]:
        return "none"
    return f"{row['n_solutions']}/{round(row['n_solutions'] / row['coverage'])}"


def _value(row: Row | None) -> str:
    if row is None:
        return ""
    return "-" if row["value"] is None else f"{row['value']:.3f}"


def _interval(row: Row | None) -> str:
    return f"{row['ci'][0]:.3f}-{row['ci'][1]:.3f}" if row and row.get("ci") else ""


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)
