"""The results of a pair evaluation as tables for the terminal.

Invariant: shows what `results.json` holds and computes nothing but the layout; fits 80 columns.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prm_eval.costs import in_words
from prm_eval.report import BARS, terminal

Row = Mapping[str, Any]

_LEAD = ("accuracy", "game_accuracy", "win_rate")
_SCOPES = ("subset", "section", "tags")
_FIXED = {"metric", "judge", "aggregation", "task", "value", "ci", "error", "n_pairs", "n_items", "coverage",
          "unparsed", *_SCOPES}  # fmt: skip
_MEASURES = {"accuracy", "game_accuracy", "both_correct", "pair_accuracy", "win_rate", "discrete_win_rate",
             "positional_agreement", "first_position_rate", "macro_precision", "macro_recall", "macro_f1",
             "ece", "brier"}  # fmt: skip
_BY_GROUP = ("accuracy", "game_accuracy", "both_correct", "pair_accuracy", "win_rate")


def print_judging(results: Mapping[str, Any], console: Console | None = None) -> None:
    """Warnings first, then each judge's numbers, groups of pairs, comparisons, calibration, cost."""
    console = console or terminal()
    for warning in results["warnings"]:
        console.print(Text(f"! {warning}", style="yellow"))
    if "data" in results:
        data = results["data"]
        count = f"{data['problems_with_pairs']:,} of {data['problems']:,} problems"
        console.print(Text(f"{count} have a right and a wrong response"))
    judges = list(dict.fromkeys(who(row) for row in results["metrics"]))
    for judge, games in zip(judges, results["games"], strict=True):
        rows = [row for row in results["metrics"] if who(row) == judge]
        console.print(_numbers(rows, f"{results['task']}: {judge}"))
        console.print(Text(_played(games)))
        groups = _groups(rows)
        if groups is not None:
            console.print(groups)
        console.print()
    _print_comparisons(console, results["comparisons"])
    for curve in results["calibration"]:
        console.print(_reliability(curve))
    for entry in results["unscored"]:
        if entry["unscored"]:
            reasons = "; ".join(f"{count:,} {reason}" for reason, count in entry["reasons"].items())
            counts = f"{entry['unscored']:,} of {entry['games']:,} games without a verdict"
            console.print(Text(f"{who(entry)}: {counts}: {reasons}"))
    for name, cost in results["cost"].items():
        console.print(Text(f"{name}: {in_words(cost)}"), soft_wrap=True)


def who(row: Row) -> str:
    """The judge that a row is about, with the aggregation where it has one."""
    return f"{row['judge']} ({row['aggregation']})" if row.get("aggregation") else str(row["judge"])


def _numbers(rows: Sequence[Row], title: str) -> Table:
    table = _table(title, "", "value", "95% interval", "pairs", "rule")
    for row in rows:
        if row["metric"] not in _MEASURES or not any(scope in row for scope in _SCOPES):
            rule = "" if row["coverage"] == 1 else f"{row['coverage']:.1%} read, {row['unparsed']}"
            table.add_row(Text(_metric(row)), *_value(row), _count(row), rule)
    return table


def _played(games: Row) -> str:
    """`419 pairs, 838 games: 419 ab, 419 ba; 12 ties; 5 votes per game`"""
    words = f"{games['pairs']:,} pairs, {games['games']:,} games"
    if "orders" in games:
        words += ": " + ", ".join(f"{count:,} {order}" for order, count in games["orders"].items() if count)
    words += f"; {games['ties']:,} ties"
    if "votes_per_game" in games:
        votes = " or ".join(map(str, games["votes_per_game"]))
        words += f"; {votes} votes per game, {games['unread_votes']:,} of them unread"
    return words


def _groups(rows: Sequence[Row]) -> Table | None:
    """Subsets, sections and tags: one line each, one column per accuracy."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if any(scope in row for scope in _SCOPES) and row["metric"] in _BY_GROUP:
            found.setdefault(_group(row), {})[row["metric"]] = row
    if not found:
        return None
    metrics = [name for name in _BY_GROUP if any(name in group for group in found.values())]
    table = _table("", "group", *metrics, "95% interval", "pairs")
    for name, group in found.items():
        lead = next(iter(group.values()))
        cells = [_value(group[metric])[0] if metric in group else "" for metric in metrics]
        table.add_row(Text(name), *cells, _value(lead)[1], _count(lead))
    return table


def _group(row: Row) -> str:
    """`= Safety` is a section; a subset stands under its name, a tag as `difficulty hard`."""
    names = [f"= {row['section']}"] if "section" in row else []
    names += [str(row["subset"])] if "subset" in row else []
    return ", ".join([*names, *(f"{tag} {value}" for tag, value in row.get("tags", {}).items())])


def _count(row: Row) -> str:
    """`80`, or `80 of 40 items`."""
    items = row.get("n_items", row["n_pairs"])
    return f"{row['n_pairs']:,}" + (f" of {items:,} items" if items != row["n_pairs"] else "")


def _metric(row: Row) -> str:
    """The metric, with whatever else a benchmark's own row says of itself."""
    more = [_group(row)] if any(scope in row for scope in _SCOPES) else []
    more += [f"{key} {value}" for key, value in row.items() if key not in _FIXED]
    return f"{row['metric']} ({', '.join(more)})" if more else str(row["metric"])


def _value(row: Row) -> tuple[str, str]:
    value = "none" if row["value"] is None else f"{row['value']:.3f}"
    if row.get("error") is not None:
        value += f" ± {row['error']:.3f}"
    return value, f"{row['ci'][0]:.3f}-{row['ci'][1]:.3f}" if row.get("ci") else ""


def _print_comparisons(console: Console, comparisons: Iterable[Row]) -> None:
    kept = [c for c in comparisons if c["a"]["metric"] in _LEAD]
    if not kept:
        return
    table = _table("differences in accuracy", "judges", "difference", "95% interval", "p")
    for c in kept:
        low, high = c["ci"]
        names = Text(f"{who(c['a'])} - {who(c['b'])}")
        table.add_row(names, f"{c['difference']:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{c['p']:.4f}")
    console.print(table)
    console.print()


def _reliability(curve: Row) -> Text:
    """One line: how often the preferred side is right, bin by bin of how sure the judge is."""
    bars = "".join(BARS[min(len(BARS) - 1, int(one["outcome"] * len(BARS)))] for one in curve["bins"])
    low, high = curve["bins"][0]["low"], curve["bins"][-1]["high"]
    return Text(
        f"{who(curve)}: right {bars} where sure {low:.1f} to {high:.1f}; ECE {curve['ece']:.3f},"
        f" Brier {curve['brier']:.3f} ({curve['link']})"
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title) if title else None, title_justify="left", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    return table
