"""Results as tables for the terminal: every value, one interval, and a line of the curve.

Invariant: shows what `results.json` holds and computes nothing but the layout; fits 80 columns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prm_eval.costs import in_words
from prm_eval.spending import together

Row = Mapping[str, Any]

BARS = "▁▂▃▄▅▆▇█"
_MOST_K = 6
_ALWAYS = ("mean", "pass_at_k")
_DISAGREEMENTS_SHOWN = 10


def print_tables(results: Mapping[str, Any], console: Console | None = None) -> None:
    """Warnings first, then the curves, the comparisons, what was not scored, what scoring cost."""
    console = console or terminal()
    for warning in results["warnings"]:
        console.print(Text(f"! {warning}", style="yellow"))
    rows = [row for row in results["metrics"] if row.get("subset") is None]
    console.print(curve_table(rows, results.get("task")))
    _print_auc(console, rows)
    _print_comparisons(console, results["comparisons"])
    _print_notes(console, results)
    for name, cost in results["cost"].items():
        console.print(Text(f"{name}: {in_words(cost)}"), soft_wrap=True)
    for name, cost in together(results).items():
        console.print(Text(f"generation and {name} together: {in_words(cost)}"), soft_wrap=True)


def curve_table(rows: Sequence[Row], task: str | None) -> Table:
    """One line per selector, one column per k, the interval at the largest k."""
    selectors = curves(rows)
    ks = sorted({k for points in selectors.values() for k in points})
    exact = all(row["exact"] for points in selectors.values() for row in points.values())
    shown = _evenly(ks, _MOST_K if exact else _MOST_K - 1)  # ~ takes a column's room
    drawn = _evenly(ks, len(BARS))
    problems = max(row["n_problems"] for row in rows)
    table = Table(
        title=Text(f"{task or 'best of N'}: {problems:,} problems"),
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("selector", overflow="fold", min_width=14)
    for k in shown:
        table.add_column(f"k={k}", justify="right", no_wrap=True)
    table.add_column("95% interval", no_wrap=True)
    low, high = _range(selectors)
    if len(ks) > 1:
        table.add_column("curve", no_wrap=True)
    for name, points in selectors.items():
        last = points[max(points)]
        cells = [_value(points.get(k)) for k in shown]
        interval = f"{last['ci'][0]:.3f}-{last['ci'][1]:.3f}" if last.get("ci") else ""
        line = sparkline([points[k]["value"] for k in drawn if k in points], low, high)
        table.add_row(Text(name), *cells, interval, *([line] if len(ks) > 1 else []))
    return table


def curves(rows: Sequence[Row]) -> dict[str, dict[int, Row]]:
    """Selector label to its points by k, worst at the largest k first; `mean` is a flat line."""
    found: dict[str, dict[int, Row]] = {}
    flat: dict[str, Row] = {}
    for row in rows:
        if row["metric"] == "auc":
            continue
        if "k" in row:
            found.setdefault(label(row), {})[row["k"]] = row
        else:
            flat[label(row)] = row
    ks = sorted({k for points in found.values() for k in points}) or [1]
    found.update({name: dict.fromkeys(ks, row) for name, row in flat.items()})
    return dict(sorted(found.items(), key=lambda item: item[1][max(item[1])]["value"]))


def label(row: Row) -> str:
    """The selector's name: metric, and where they apply reward model and aggregation."""
    inside = [row[key] for key in ("reward_model", "aggregation") if row.get(key)]
    return f"{row['metric']} [{', '.join(inside)}]" if inside else str(row["metric"])


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """The values as block characters between low and high."""
    span = (high - low) or 1.0
    return "".join(BARS[min(len(BARS) - 1, int((value - low) / span * len(BARS)))] for value in values)


def _evenly(ks: Sequence[int], most: int) -> list[int]:
    """At most so many, evenly chosen, the first and the last among them."""
    if len(ks) <= most:
        return list(ks)
    return sorted({ks[round(place * (len(ks) - 1) / (most - 1))] for place in range(most)})


def _range(selectors: Mapping[str, Mapping[int, Row]]) -> tuple[float, float]:
    values = [row["value"] for points in selectors.values() for row in points.values()]
    return min(values), max(values)


def _value(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{row['value']:.3f}" if row["exact"] else f"~{row['value']:.3f}"


def _print_auc(console: Console, rows: Sequence[Row]) -> None:
    found = [row for row in rows if row["metric"] == "auc"]
    for row in found:
        interval = f" ({row['ci'][0]:.3f}-{row['ci'][1]:.3f})" if row.get("ci") else ""
        covered = "" if row["coverage"] == 1 else f", {row['coverage']:.1%} of candidates scored"
        value = "not defined" if row["value"] is None else f"{row['value']:.3f}"
        name = label(row).removeprefix("auc ")
        console.print(Text(f"AUC of right against wrong {name}: {value}{interval}{covered}"))


def _print_comparisons(console: Console, comparisons: Sequence[Row]) -> None:
    """The best selector against every other one; the oracle is no selector."""
    kept = [c for c in comparisons if not {c["a"]["metric"], c["b"]["metric"]} & {"pass_at_k", "oracle"}]
    if not kept:
        return
    best = _best(kept)
    table = Table(
        title=Text(f"{best} minus, at k={kept[0]['k']}"), title_justify="left", box=None, pad_edge=False
    )
    for column in ("selector", "difference", "95% interval", "p"):
        table.add_column(column, justify="left" if column == "selector" else "right", overflow="fold")
    for other, difference, low, high, p in _against(best, kept):
        table.add_row(Text(other), f"{difference:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{p:.4f}")
    console.print()
    console.print(table)


def _best(comparisons: Sequence[Row]) -> str:
    """The selector that wins the most of its comparisons by difference."""
    wins: dict[str, float] = {}
    for c in comparisons:
        for name, difference in ((label(c["a"]), c["difference"]), (label(c["b"]), -c["difference"])):
            wins[name] = wins.get(name, 0) + (difference > 0) + (difference == 0) / 2
    return max(wins, key=lambda name: wins[name])


def _against(best: str, comparisons: Sequence[Row]) -> list[tuple[str, float, float, float, float]]:
    """(other, difference, low, high, p) seen from the best, the nearest first."""
    found = []
    for c in comparisons:
        low, high = c["ci"]
        if label(c["a"]) == best:
            found.append((label(c["b"]), c["difference"], low, high, c["p"]))
        elif label(c["b"]) == best:
            found.append((label(c["a"]), -c["difference"], -high, -low, c["p"]))
    return sorted(found, key=lambda item: item[1])


def _print_notes(console: Console, results: Mapping[str, Any]) -> None:
    for entry in results["unscored"]:
        if entry["unscored"]:
            reasons = "; ".join(f"{count:,} {reason}" for reason, count in entry["reasons"].items())
            counts = f"{entry['unscored']:,} of {entry['candidates']:,} unscored"
            console.print(Text(f"{entry['reward_model']}: {counts}: {reasons}"))
    graded = results["grading"]
    if graded["no_answer"]:
        console.print(
            Text(f"no answer found in {graded['no_answer']:,} of {graded['candidates']:,} responses")
        )
    if graded["disagreements"]:
        _print_disagreements(console, graded["disagreements"])


def _print_disagreements(console: Console, found: Sequence[Row]) -> None:
    console.print(Text(f"our grading disagrees with the labels of the data on {len(found)} responses:"))
    for item in found[:_DISAGREEMENTS_SHOWN]:
        verdict = "right" if item["ours"] else "wrong"
        answer = " ".join(str(item["answer"]).split())
        line = (
            f"  {item['problem_id']} #{item['index']}: gold {item['gold']}, answer {answer}: {verdict} to us"
        )
        console.print(Text(line), no_wrap=True, overflow="ellipsis")
    if len(found) > _DISAGREEMENTS_SHOWN:
        console.print(Text(f"  and {len(found) - _DISAGREEMENTS_SHOWN} more (results.json lists all)"))


def terminal() -> Console:
    """Standard output as it is: a terminal's own width, or that of a file."""
    console = Console()
    # a pipe has no width of its own: wide enough for whole names, still readable in a file
    return console if console.is_terminal else Console(width=110)
