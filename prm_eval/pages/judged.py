"""The parts of a judge run: numbers, groups of pairs, consistency, comparisons, calibration.

Invariant: shows what `results.json` holds and computes nothing but the layout.
"""

from prm_eval.judging_report import who
from prm_eval.pages import charts
from prm_eval.pages.generators import of_pairs
from prm_eval.pages.parts import Figure, Legend, Row, Section, Table, coverage, interval, signed, value
from prm_eval.pages.runs import Run

_SCOPES = ("subset", "section", "tags")
_GROUPED = ("accuracy", "game_accuracy", "both_correct", "pair_accuracy", "win_rate", "positional_agreement")


def judge_section(run: Run, anchor: str) -> Section:
    """All of a judge run but its verdict and its cost."""
    rules = run.results.get("rules", {})
    words = [
        f"Orders: {rules.get('orders', 'not told')}. A game without a verdict counts as"
        f" {rules.get('unparsed', 'not told')}.",
        *([str(rules["source"])] if rules.get("source") else []),
    ]
    parts: list[Table | Figure] = [numbers(run)]
    parts += [table for table in (_groups(run), of_pairs(run), _games(run), _comparisons(run)) if table]
    parts += [_calibration(curve) for curve in run.results.get("calibration", [])]
    return Section(anchor, f"Judges: {run.name}", words, parts)


def _scope(row: Row) -> str:
    names = [f"section {row['section']}"] if row.get("section") else []
    names += [str(row["subset"])] if row.get("subset") else []
    return ", ".join([*names, *(f"{tag} {name}" for tag, name in (row.get("tags") or {}).items())])


def numbers(run: Run) -> Table:
    """Every value over all pairs."""
    rows = [
        [who(row), row["metric"], value(row), interval(row), coverage(row), f"{row['n_pairs']:,}"]
        for row in run.results["metrics"]
        if not _scope(row)
    ]
    columns = ["judge", "metric", "value", "95 % interval", "coverage", "pairs"]
    return Table(
        f"{run.task}: all pairs",
        columns,
        rows,
        names=2,
        note="Coverage is the share of games with a verdict.",
    )


def _groups(run: Run) -> Table | None:
    rows = [
        [
            _scope(row),
            who(row),
            row["metric"],
            value(row),
            interval(row),
            coverage(row),
            f"{row['n_pairs']:,}",
        ]
        for row in run.results["metrics"]
        if _scope(row) and row["metric"] in _GROUPED
    ]
    columns = ["group", "judge", "metric", "value", "95 % interval", "coverage", "pairs"]
    return Table("By subset, section and tag", columns, rows, names=3) if rows else None


def _games(run: Run) -> Table | None:
    rows = []
    for row in run.results.get("games", []):
        orders = row.get("orders", {})
        played = ", ".join(f"{number:,} {order}" for order, number in orders.items() if number)
        votes = " or ".join(map(str, row.get("votes_per_game", [])))
        rows.append([who(row), f"{row['pairs']:,}", f"{row['games']:,}", played, f"{row['ties']:,}", votes])
    columns = ["judge", "pairs", "games", "orders", "ties", "votes per game"]
    return Table("How the games were played", columns, rows) if rows else None


def _comparisons(run: Run) -> Table | None:
    rows = [
        [
            f"{who(c['a'])} − {who(c['b'])}",
            c["a"]["metric"],
            f"{c['difference']:+.3f}",
            signed(c["ci"]),
            f"{c['p']:.4f}",
        ]
        for c in run.results["comparisons"]
    ]
    columns = ["judges", "metric", "difference", "95 % interval", "p"]
    return Table("Differences between judges, paired", columns, rows, names=2) if rows else None


def _calibration(curve: Row) -> Figure:
    points = [(one["probability"], one["outcome"], one["count"]) for one in curve["bins"]]
    title = f"{who(curve)}: reliability"
    chart = charts.reliability(title, points, "how sure the judge is", "share that is right")
    legend = [
        Legend(charts.swatch(0), "bins of how sure"),
        Legend(charts.swatch(None), "perfectly calibrated"),
    ]
    return Figure(
        title, chart, legend, f"ECE {curve['ece']:.3f}, Brier {curve['brier']:.3f}; {curve['link']}."
    )
