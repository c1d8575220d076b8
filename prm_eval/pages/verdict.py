"""Who won, and whether it is real: one sentence or two per run, or why there is no verdict.

Invariant: a winner is named only where both classes hold enough evidence, and a difference is called
real only when it stands after Holm's correction for all comparisons made with the winner.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prm_eval.cautions import THIN
from prm_eval.pages.parts import Row, count, interval, signed
from prm_eval.pages.runs import Run
from prm_eval.report import curves, label

REFERENCES = ("mean", "pass_at_k", "oracle")
_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """`real`: a difference that is there; `open`: not shown to be; `withheld`: too little evidence."""

    kind: Literal["real", "open", "withheld"]
    words: str


def verdict(run: Run) -> Verdict | None:
    """What a run says, in words; None of a selection or a training, which compare nothing."""
    of: dict[str, Callable[[Run], Verdict]] = {
        "best_of_n": _of_selectors, "judge": _of_judges, "stepwise": _of_steps, "sft_collect": _of_trained,
    }  # fmt: skip
    return of[run.kind](run) if run.kind in of else None


def holm(ps: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979), in the given order."""
    order = sorted(range(len(ps)), key=lambda place: ps[place])
    adjusted, most = [0.0] * len(ps), 0.0
    for rank, place in enumerate(order):
        most = max(most, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = most
    return adjusted


def against(winner: str, comparisons: Sequence[Row]) -> list[tuple[str, float, tuple[float, float], float]]:
    """(other, winner minus other, its interval, p) from the comparisons of a run, the nearest first."""
    found = []
    for c in comparisons:
        a, b = label(c["a"]), label(c["b"])
        if winner not in (a, b) or {c["a"]["metric"], c["b"]["metric"]} & {"pass_at_k", "oracle"}:
            continue
        low, high = c["ci"] or (float("-inf"), float("inf"))
        if a == winner:
            found.append((b, c["difference"], (low, high), c["p"]))
        else:
            found.append((a, -c["difference"], (-high, -low), c["p"]))
    return sorted(found, key=lambda item: item[1])


def winner(run: Run) -> tuple[str, Row, list[str]] | None:
    """The best selector at the largest k: its name, its row, and the names of its equals."""
    rows = [row for row in run.results["metrics"] if row.get("subset") is None]
    lasts = {name: points[max(points)] for name, points in curves(rows).items()}
    own = {name: row for name, row in lasts.items() if row["metric"] not in REFERENCES}
    if not own:
        return None
    best = max(own, key=lambda name: own[name]["value"])
    equals = [name for name, row in own.items() if name != best and row["value"] == own[best]["value"]]
    return best, own[best], equals


def _of_selectors(run: Run) -> Verdict:
    found = winner(run)
    if found is None:
        return Verdict("withheld", "No verdict: the run has no selector, only the mean and the oracle.")
    best, row, equals = found
    thin = _thin(run, row)
    if thin:
        return Verdict("withheld", f"No verdict: {thin}.")
    first = f"{best} is first with {row['value']:.3f} ({interval(row)}) at k={row['k']}"
    if equals:
        first += f", level with {'; '.join(equals)}"
    others = [other for other in against(best, run.results["comparisons"]) if other[0] not in equals]
    if not others:
        return Verdict("open", f"{first}. There is nothing to compare it with.")
    adjusted = holm([p for _, _, _, p in others])
    name, gap, ci, p = others[0]
    words = f"{first}. Over the next, {name}, it leads by {gap:.3f} ({signed(ci)}), p {p:.4f}"
    beaten = [other[0] for other, q in zip(others, adjusted, strict=True) if other[1] > 0 and q < _LEVEL]
    total = f"corrected for {count(len(others), 'comparison')} (Holm)"
    if name in beaten:
        return Verdict("real", f"{words}: a real difference, {total}.")
    some = f"; it is really better than {', '.join(beaten)}" if beaten else ""
    return Verdict("open", f"{words}: not shown to be real, {total}{some}.")


def _thin(run: Run, row: Row) -> str:
    """Why the evidence is too thin for a verdict; empty when it is not."""
    if not run.grades:
        return "the run folder holds no grades.jsonl, so the evidence cannot be weighed"
    model = row.get("reward_model")
    scored = run.scores.get(model, {}) if model else None
    labels: dict[bool, int] = {True: 0, False: 0}
    mixed: dict[str, set[bool]] = {}
    for candidate in run.candidates:
        correct = run.correct(candidate.key)
        if correct is None:
            continue
        mixed.setdefault(candidate.problem.id, set()).add(correct)
        if scored is None or (candidate.key in scored and scored[candidate.key].unscored is None):
            labels[correct] += 1
    who = f" that {model} scored" if model else ""
    for side, name in ((True, "right"), (False, "wrong")):
        if labels[side] < THIN:
            number = count(labels[side], f"{name} response")
            return f"only {number}{who}, where {THIN} are the least that say anything"
    contested = sum(len(own) == 2 for own in mixed.values())
    if contested < THIN:
        return f"only {count(contested, 'problem')} with both right and wrong responses to choose from"
    return ""


def _of_judges(run: Run) -> Verdict:
    lead = ("accuracy", "game_accuracy", "win_rate")
    rows = [row for row in run.results["metrics"] if row["metric"] in lead and not _scoped(row)]
    rows = [row for row in rows if row["value"] is not None]
    if not rows:
        return Verdict("withheld", "No verdict: no overall accuracy is defined.")
    best = max(rows, key=lambda row: row["value"])
    if best["n_pairs"] < 2 * THIN:
        return Verdict("withheld", f"No verdict: {count(best['n_pairs'], 'pair')} are too few.")
    words = f"{best['judge']}: {best['metric'].replace('_', ' ')} {best['value']:.3f} ({interval(best)})"
    if len({row["judge"] for row in rows}) > 1:
        return _pairwise(words, run.results["comparisons"], "judge", best)
    low, high = best.get("ci") or (0.0, 1.0)
    if low > 0.5 or high < 0.5:
        return Verdict("real", f"{words}: really {'better' if low > 0.5 else 'worse'} than tossing a coin.")
    return Verdict("open", f"{words}: not shown to differ from tossing a coin.")


def _of_steps(run: Run) -> Verdict:
    metric = run.results["headline"]
    rows = [row for row in run.results["metrics"] if row["metric"] == metric and not _scoped(row)]
    rows = [row for row in rows if row["value"] is not None]
    if not rows:
        return Verdict("withheld", f"No verdict: {metric} is not defined over all items.")
    subsets = run.results.get("data", {}).get("subsets", {}).values()
    for side in ("right_steps", "wrong_steps"):
        number = sum(subset.get(side, 0) for subset in subsets)
        if number < THIN:
            return Verdict("withheld", f"No verdict: only {count(number, side[:5] + ' step')} labelled.")
    best = max(rows, key=lambda row: row["value"])
    words = f"{best['reward_model']}: {metric} {best['value']:.3f} ({interval(best)})"
    if len({row["reward_model"] for row in rows}) > 1:
        return _pairwise(words, run.results["comparisons"], "reward_model", best)
    return Verdict("open", f"{words}. There is nothing to compare it with.")


def _of_trained(run: Run) -> Verdict:
    """Models trained on other rows: what `sft collect` keeps cannot be paired over problems."""
    rows = [row for row in run.results["metrics"] if row["value"] is not None]
    if len({(row.get("policy"), row.get("task")) for row in rows}) != 1:
        return Verdict("withheld", "No verdict: the models are of several policies or tasks.")
    first, *others = sorted(rows, key=lambda row: -float(row["value"]))
    words = (
        f"{first['selector']} on {first['train_samples']:,} rows: {first['value']:.3f} ({interval(first)})"
    )
    if not others:
        return Verdict("open", f"{words}. There is nothing to compare it with.")
    second = others[0]
    words += f", before {second['selector']} on {second['train_samples']:,} with {second['value']:.3f}"
    tail = "Put their best-of-N runs on a page of their own: those are compared problem by problem."
    return Verdict("open", f"{words} ({interval(second)}). Whether that is real was not tested here. {tail}")


def _pairwise(words: str, comparisons: Sequence[Row], who: str, best: Row) -> Verdict:
    """The first against the nearest of those that it was compared with on the same metric."""
    found: list[tuple[float, Any, str, float]] = []
    for c in comparisons:
        a, b = c["a"], c["b"]
        if a["metric"] != best["metric"] or best[who] not in (a[who], b[who]) or a[who] == b[who]:
            continue
        sign = 1 if a[who] == best[who] else -1
        other = (b if sign == 1 else a)[who]
        ci = sorted(sign * edge for edge in c["ci"]) if c["ci"] else None
        found.append((sign * c["difference"], ci, other, c["p"]))
    if not found:
        return Verdict("open", f"{words}. It was compared with nothing.")
    gap, ci, other, p = min(found)
    q = holm([each[3] for each in found])[found.index(min(found))]
    words += f". Over {other} it leads by {gap:.3f} ({signed(ci)}), p {p:.4f}"
    if gap > 0 and q < _LEVEL:
        return Verdict(
            "real", f"{words}: a real difference, corrected for {count(len(found), 'comparison')} (Holm)."
        )
    return Verdict("open", f"{words}: not shown to be real.")


def _scoped(row: Row) -> bool:
    return any(row.get(scope) for scope in ("subset", "section", "tags"))
