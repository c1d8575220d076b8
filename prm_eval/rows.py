"""Per-problem values to rows of results.json: means with intervals, per subset, and comparisons.

Invariant: a row's value is the plain mean of its problems' values; fields that do not apply are
absent, and every number is a JSON number or null.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from prm_eval.intervals import bootstrap_interval, paired_difference
from prm_eval.metrics import Bools, Floats, Pool, auc, auc_by_problem
from prm_eval.pools import View
from prm_eval.types import Problem

Row = dict[str, Any]


class MetricKey(NamedTuple):
    """What a number is of; None where a field does not apply."""

    metric: str
    k: int | None = None
    reward_model: str | None = None
    aggregation: str | None = None


class Value(NamedTuple):
    """One problem's expected label in [0, 1], its standard error and whether it is exact."""

    value: float
    error: float
    exact: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One entry per measured problem; every problem has the same views and metric keys."""

    problems: Sequence[Problem]
    pools: Sequence[Mapping[View, Pool]]
    values: Sequence[Mapping[MetricKey, Value]]

    def only(self, subset: str) -> "Table":
        """The problems of one subset."""
        at = [place for place, problem in enumerate(self.problems) if problem.subset == subset]
        return Table(
            [self.problems[place] for place in at],
            [self.pools[place] for place in at],
            [self.values[place] for place in at],
        )


def metric_rows(table: Table, task: str | None, resamples: int, seed: int) -> list[Row]:
    """Rows over all problems, then over each subset that problems name, by first appearance."""
    rows = _rows(table, {"task": task}, resamples, seed)
    for subset in dict.fromkeys(problem.subset for problem in table.problems if problem.subset is not None):
        rows += _rows(table.only(subset), {"task": task, "subset": subset}, resamples, seed)
    return rows


def comparison_rows(table: Table, k: int, resamples: int, seed: int) -> list[Row]:
    """Paired differences a - b between every two selectors at k, `mean` and `pass_at_k` among them."""
    keys = [key for key in table.values[0] if key.k in (None, k)]
    columns = np.array([[values[key].value for key in keys] for values in table.values])
    pairs = list(combinations(range(len(keys)), 2))
    first, second = (columns[:, [pair[side] for pair in pairs]] for side in (0, 1))
    found = paired_difference(first, second, resamples=resamples, seed=seed)
    return [
        {
            "a": _present(keys[a]._asdict()),
            "b": _present(keys[b]._asdict()),
            "k": k,
            "difference": float(found.difference[place]),
            "ci": [float(found.low[place]), float(found.high[place])],
            "p": float(found.p[place]),
            "n_problems": len(columns),
        }
        for place, (a, b) in enumerate(pairs)
    ]


def evidence(pools: Iterable[Pool]) -> tuple[Floats, Bools, list[int]]:
    """(score, label, problem) of every scored candidate: what an AUC is made of."""
    given = list(pools)
    scores = np.concatenate([pool.scores[pool.scored] for pool in given])
    labels = np.concatenate([pool.labels[pool.scored] for pool in given]) > 0
    return scores, labels, [place for place, pool in enumerate(given) for _ in range(int(pool.scored.sum()))]


def _rows(table: Table, scope: Mapping[str, str | None], resamples: int, seed: int) -> list[Row]:
    keys = list(table.values[0])
    columns = np.array([[values[key].value for key in keys] for values in table.values])
    errors = np.array([[values[key].error for key in keys] for values in table.values])
    low, high = bootstrap_interval(columns, resamples=resamples, seed=seed)
    rows = []
    for place, key in enumerate(keys):
        exact = all(values[key].exact for values in table.values)
        row = _present({**key._asdict(), **scope}) | {
            "value": float(columns[:, place].mean()),
            "ci": [float(low[place]), float(high[place])],
            "n_problems": len(columns),
            "coverage": _coverage(table, key.reward_model, key.aggregation),
            "exact": exact,
        }
        if len(columns) > 1:
            row["stderr"] = float(columns[:, place].std(ddof=1) / np.sqrt(len(columns)))
        if not exact:
            row["error"] = float(np.sqrt((errors[:, place] ** 2).sum()) / len(columns))
        rows.append(row)
    return rows + [_auc_row(table, view, scope, resamples, seed) for view in table.pools[0]]


def _auc_row(table: Table, view: View, scope: Mapping[str, str | None], resamples: int, seed: int) -> Row:
    """The AUC over all scored candidates of all problems; value null when a class is empty."""
    scores, labels, places = evidence(pools[view] for pools in table.pools)
    used, problems = np.unique(np.array(places, dtype=np.int64), return_inverse=True)
    key = MetricKey("auc", None, *view)
    row = _present({**key._asdict(), **scope}) | {"value": auc(scores, labels)}
    pseudo = auc_by_problem(scores, labels, problems)
    if pseudo is not None:
        low, high = bootstrap_interval(pseudo, resamples=resamples, seed=seed)
        row["ci"] = [max(0.0, float(low)), min(1.0, float(high))]
    return row | {"n_problems": len(used), "coverage": _coverage(table, *view), "exact": True}


def _coverage(table: Table, model: str | None, aggregation: str | None) -> float:
    if model is None:
        return 1.0
    given = [pools[model, aggregation].scored for pools in table.pools]
    return sum(int(known.sum()) for known in given) / sum(len(known) for known in given)


def _present(fields: Mapping[str, Any]) -> Row:
    return {name: value for name, value in fields.items() if value is not None}
