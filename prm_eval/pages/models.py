"""What reward models gave to right and to wrong responses: distributions, reliability, agreement.

Invariant: unscored and ungraded responses are in no figure and are counted beside it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prm_eval.calibration import calibration
from prm_eval.metrics import auc
from prm_eval.pages import charts
from prm_eval.pages.parts import Figure, Legend, Table, count
from prm_eval.pages.runs import Run

_BINS = 20


class Evidence(NamedTuple):
    """One model's scores of graded responses, with their labels and keys, and what is missing."""

    model: str
    scores: NDArray[np.float64]
    labels: NDArray[np.bool_]
    keys: list[tuple[str, int]]
    unscored: int
    ungraded: int
    aggregation: str | None = None


def gather(run: Run) -> list[Evidence]:
    """The evidence of every reward model of a run, by its own single numbers."""
    found = []
    for model, rows in run.scores.items():
        scores, labels, keys, unscored, ungraded = [], [], [], 0, 0
        for candidate in run.candidates:
            row, correct = rows.get(candidate.key), run.correct(candidate.key)
            if row is None or row.value is None:
                unscored += 1
            elif correct is None:
                ungraded += 1
            else:
                scores.append(row.value)
                labels.append(correct)
                keys.append(candidate.key)
        given = np.array(scores, dtype=np.float64), np.array(labels, dtype=np.bool_)
        how = next((row.aggregation for row in rows.values() if row.aggregation), None)
        found.append(Evidence(model, *given, keys, unscored, ungraded, how))
    return found


def figures(evidence: Sequence[Evidence]) -> list[Figure | Table]:
    """Per model its distribution and, where its scores are probabilities, its reliability; then agreement."""
    parts: list[Figure | Table] = []
    for own in evidence:
        if not len(own.scores):
            continue
        parts.append(_distribution(own))
        if own.scores.min() >= 0 and own.scores.max() <= 1:
            parts.append(_reliability(own))
    agreement = _agreement(evidence)
    return parts + ([agreement] if agreement else [])


def _distribution(own: Evidence) -> Figure:
    low, high = float(own.scores.min()), float(own.scores.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    right, wrong = (np.histogram(own.scores[side], edges)[0] for side in (own.labels, ~own.labels))
    n_right, n_wrong = int(own.labels.sum()), int((~own.labels).sum())
    bars = [
        charts.Bar(float(a), float(b), r / max(n_right, 1), w / max(n_wrong, 1))
        for a, b, r, w in zip(edges[:-1], edges[1:], right.tolist(), wrong.tolist(), strict=True)
    ]
    area = auc(own.scores, own.labels)
    title = f"{own.model}: scores of right and wrong responses"
    chart = charts.mirrored(title, bars, "score", "right", "wrong")
    legend = [
        Legend(charts.block("right"), f"{count(n_right, 'right response')}, up"),
        Legend(charts.block("wrong"), f"{count(n_wrong, 'wrong one')}, down"),
    ]
    note = f"By {own.aggregation}. " if own.aggregation else ""
    note += "AUC " + ("is not defined: one class is empty" if area is None else f"{area:.3f}")
    note += " over the responses with a score" if own.unscored and area is not None else ""
    missing = [count(own.unscored, "response") + " without a score"] if own.unscored else []
    missing += [f"{own.ungraded:,} ungraded"] if own.ungraded else []
    return Figure(title, chart, legend, note + (f". Not shown: {', '.join(missing)}." if missing else "."))


def _reliability(own: Evidence) -> Figure:
    curve = calibration(own.scores, own.labels.astype(np.float64))
    points = [(one.probability, one.outcome, one.count) for one in curve.bins]
    title = f"{own.model}: reliability"
    chart = charts.reliability(title, points, "score", "share that is right")
    over = count(curve.count, "response")
    note = f"ECE {curve.ece:.3f}, Brier {curve.brier:.3f} over {over}. Larger marks hold more."
    legend = [
        Legend(charts.swatch(0), "ten bins of the score"),
        Legend(charts.swatch(None), "perfectly calibrated"),
    ]
    return Figure(title, chart, legend, note)


def _agreement(evidence: Sequence[Evidence]) -> Table | None:
    """Rank correlation (Spearman) of every two models over the responses that both scored."""
    rows = []
    for place, one in enumerate(evidence):
        for other in evidence[place + 1 :]:
            theirs = dict(zip(other.keys, other.scores.tolist(), strict=True))
            both = [
                (a, theirs[key])
                for key, a in zip(one.keys, one.scores.tolist(), strict=True)
                if key in theirs
            ]
            shared = np.array(both, dtype=np.float64).reshape(-1, 2)
            rho = _spearman(shared[:, 0], shared[:, 1])
            rows.append(
                [one.model, other.model, "not defined" if rho is None else f"{rho:.3f}", f"{len(shared):,}"]
            )
    if not rows:
        return None
    columns = ["one", "other", "rank correlation", "responses"]
    note = "Spearman's, over the responses that both scored."
    return Table("Agreement between reward models", columns, rows, names=2, note=note)


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean ranks: equal values share theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((2 * ends - counts - 1) / 2)[inverse]
