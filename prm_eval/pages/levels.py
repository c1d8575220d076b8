"""Best-of-N runs by the level of their problems, which the data say in `meta.level`.

Invariant: by the labels and picks of the run alone; an interval is over the problems of its level.
"""

import re
from collections.abc import Sequence

import numpy as np

from prm_eval.intervals import bootstrap_interval
from prm_eval.metrics import auc
from prm_eval.pages.compared import picked_values
from prm_eval.pages.models import Evidence
from prm_eval.pages.parts import Table
from prm_eval.pages.runs import Run

_MOST = 12


def level_tables(run: Run, evidence: Sequence[Evidence]) -> list[Table]:
    """What each selector chose of all responses, and every model's AUC, level by level.

    Empty where the data name no levels, one, or more than a table can hold.
    """
    level_of = {
        one.problem.id: str(one.meta["level"]) for one in run.candidates if one.meta.get("level") is not None
    }
    levels = sorted(set(level_of.values()), key=_natural)
    if not 2 <= len(levels) <= _MOST:
        return []
    tables = [_accuracy(run, level_of, levels)]
    return [*tables, _auc(evidence, level_of, levels)] if evidence else tables


def _accuracy(run: Run, level_of: dict[str, str], levels: Sequence[str]) -> Table:
    rows = []
    seed = int(run.results.get("seed") or 0)
    counts = dict.fromkeys(levels, 0)
    for name, values in picked_values(run).items():
        cells = []
        for level in levels:
            own = np.array([value for problem, value in values.items() if level_of.get(problem) == level])
            counts[level] = max(counts[level], len(own))
            if not len(own):
                cells.append("")
                continue
            low, high = bootstrap_interval(own, seed=seed)
            cells.append(f"{own.mean():.3f} ({low:.3f}–{high:.3f})")
        rows.append([name, *cells])
    columns = [f"{level} ({counts[level]:,})" for level in levels]
    note = "Of all responses. In brackets behind a level its problems, behind a value its 95 % interval."
    return Table("Accuracy by level", ["selector", *columns], rows, note=note)


def _auc(evidence: Sequence[Evidence], level_of: dict[str, str], levels: Sequence[str]) -> Table:
    rows = []
    for own in evidence:
        at = np.array([level_of.get(problem) for problem, _ in own.keys], dtype=object)
        cells = []
        for level in levels:
            inside = at == level
            area = auc(own.scores[inside], own.labels[inside])
            cells.append(f"{'not defined' if area is None else f'{area:.3f}'} ({inside.sum():,})")
        rows.append([own.model, *cells])
    note = (
        "Over the graded responses with a score, in brackets how many; not defined without right and wrong."
    )
    return Table("AUC by level", ["reward model", *levels], rows, note=note)


def _natural(name: str) -> list[tuple[int, str]]:
    """Level 2 before Level 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
