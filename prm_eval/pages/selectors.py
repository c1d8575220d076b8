"""The parts of a best-of-N run: its curves, the values at every k, the comparisons, the subsets.

Invariant: shows what `results.json` holds and computes nothing but the layout.
"""

from collections.abc import Mapping

from prm_eval.pages import charts
from prm_eval.pages.parts import Figure, Legend, Row, Table, coverage, interval, signed, value
from prm_eval.pages.runs import Run
from prm_eval.pages.svg import engineering, log_ticks
from prm_eval.pages.verdict import REFERENCES, against, holm, winner
from prm_eval.report import curves, label
from prm_eval.spending import UNITS, cost_units, costed, counts_generation, per_response

WORDS = {"mean": "mean@1: the mean of all responses", "pass_at_k": "pass@k: a perfect selector"}


def found_curves(run: Run, subset: str | None = None) -> dict[str, dict[int, Row]]:
    """Selector to its points by k, best first, of all problems or of a subset."""
    rows = [row for row in run.results["metrics"] if row.get("subset") == subset]
    return dict(reversed(curves(rows).items()))


def curve_figure(run: Run) -> Figure:
    """Accuracy against k for every selector between mean@1 and pass@k, with bands."""
    series, legend, place = [], [], 0
    for name, points in found_curves(run).items():
        ks = sorted(points)
        rows = [points[k] for k in ks]
        reference = rows[0]["metric"] in REFERENCES
        banded = all(row.get("ci") for row in rows)
        series.append(charts.Series(
            WORDS.get(name, name), None if reference else place, [float(k) for k in ks],
            [row["value"] for row in rows],
            [row["ci"][0] for row in rows if banded], [row["ci"][1] for row in rows if banded],
        ))  # fmt: skip
        legend.append(Legend(charts.swatch(series[-1].place), f"{WORDS.get(name, name)}, {value(rows[-1])}"))
        place += not reference
    title = f"{run.task}: accuracy against responses per problem"
    chart = charts.lines(title, series, "responses per problem, k", "accuracy", log=True)
    return Figure(
        title, chart, legend, "Bands are 95 % intervals over problems. Values are at the largest k."
    )


def cost_figures(run: Run) -> list[Figure]:
    """Accuracy against what k responses cost, generated and scored together: tokens, FLOPs, seconds."""
    return [figure for unit in cost_units(run.results) if (figure := _cost_figure(run, unit))]


def _cost_figure(run: Run, unit: str) -> Figure | None:
    series: list[charts.Series] = []
    place = 0
    for name, points in found_curves(run).items():
        ks = costed(points)
        if points[ks[0]]["metric"] in REFERENCES:
            continue
        each = per_response(run.results, points[ks[0]].get("reward_model"), unit)
        if each is not None:
            series.append(
                charts.Series(name, place, [k * each for k in ks], [points[k]["value"] for k in ks])
            )
        place += 1  # the same mark as in the curves above
    if not series:
        return None
    whole = counts_generation(run.results, unit)
    what = "generation and scoring" if whole else "scoring alone"
    title = f"{run.task}: accuracy against {UNITS[unit]}, {what}"
    xs = [x for one in series for x in one.xs]
    chart = charts.lines(title, series, f"{UNITS[unit]} per problem", "accuracy", log=True,
                         x_ticks=log_ticks(min(xs), max(xs)), x_words=engineering)  # fmt: skip
    note = "k of N responses cost the k/N-th part."
    if not whole:
        note += " What generating them cost is not recorded, so it is not counted."
    legend = [Legend(charts.swatch(one.place), one.name) for one in series]
    return Figure(title, chart, legend, note)


def value_table(run: Run) -> Table:
    """Every selector at every k, with interval, coverage and number of problems at the largest."""
    found = found_curves(run)
    ks = sorted({k for points in found.values() for k in points})
    rows = []
    for name, points in found.items():
        last = points[max(points)]
        rows.append([name, *(value(points.get(k)) for k in ks), interval(last), coverage(last),
                     f"{last['n_problems']:,}"])  # fmt: skip
    columns = ["selector", *(f"k={k}" for k in ks), "95 % interval", "coverage", "problems"]
    estimates = any(row[1:-3] and any(cell.startswith("~") for cell in row) for row in rows)
    note = "The interval is of the largest k; coverage is the share of responses with a score."
    note += " ~ marks a seeded estimate, the others are exact." if estimates else ""
    return Table("Accuracy of every selector", columns, rows, note=note)


def comparison_table(run: Run) -> Table | None:
    """The winner against every other selector, paired over problems."""
    found = winner(run)
    if found is None:
        return None
    others = against(found[0], run.results["comparisons"])
    if not others:
        return None
    adjusted = holm([p for _, _, _, p in others])
    rows = [
        [name, f"{gap:+.3f}", signed(ci), f"{p:.4f}", f"{q:.4f}"]
        for (name, gap, ci, p), q in zip(others, adjusted, strict=True)
    ]
    columns = ["selector", "difference", "95 % interval", "p", "p (Holm)"]
    return Table(f"{found[0]} minus every other selector, at k={found[1]['k']}", columns, rows,
                 note="Paired over problems. Holm's p is corrected for all rows of this table.")  # fmt: skip


def subset_table(run: Run) -> Table | None:
    """Every selector at the largest k of each subset."""
    subsets = list(dict.fromkeys(row["subset"] for row in run.results["metrics"] if row.get("subset")))
    if not subsets:
        return None
    by_subset: Mapping[str, dict[str, dict[int, Row]]] = {name: found_curves(run, name) for name in subsets}
    rows = []
    for name in found_curves(run):
        cells = []
        for subset in subsets:
            points = by_subset[subset].get(name, {})
            last = points[max(points)] if points else None
            cells.append(f"{value(last)} ({interval(last)})")
        rows.append([name, *cells])
    problems = {name: next(iter(by_subset[name].values())) for name in subsets}
    columns = [f"{name} ({next(iter(problems[name].values()))['n_problems']:,})" for name in subsets]
    note = "In brackets behind a subset its problems, behind a value its 95 % interval."
    return Table("Accuracy by subset, at the largest k", ["selector", *columns], rows, note=note)


def auc_tables(run: Run) -> list[Table]:
    """AUC of every model and aggregation, with what its best-of-k gives; then by subset."""
    tops = {label(points[max(points)]): points[max(points)] for points in found_curves(run).values()}
    rows, by_subset = [], []
    for row in run.results["metrics"]:
        if row["metric"] != "auc":
            continue
        names = [row["reward_model"], row.get("aggregation") or "the model's own"]
        if row.get("subset"):
            by_subset.append([row["subset"], *names, value(row), interval(row), coverage(row)])
            continue
        best = tops.get(label({**row, "metric": "best_of_n"}))
        rows.append([*names, value(row), interval(row), coverage(row), value(best), interval(best)])
    tables = []
    if rows:
        columns = [
            "reward model",
            "aggregation",
            "AUC",
            "95 % interval",
            "coverage",
            "best of N",
            "95 % interval",
        ]
        tables.append(
            Table("Aggregations compared: AUC of right against wrong responses", columns, rows, names=2)
        )
    if by_subset:
        columns = ["subset", "reward model", "aggregation", "AUC", "95 % interval", "coverage"]
        tables.append(Table("AUC by subset", columns, by_subset, names=3))
    return tables
