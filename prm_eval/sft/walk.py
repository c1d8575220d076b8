"""From the best row down: each is chosen unless a chosen one stands in its way, until there are enough.

Invariant: what is chosen depends on the ranking and the rules alone. Equal ranks are ordered by lot,
drawn from the seed and the row's number. Facility location ranks anew after every choice.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from prm_eval.batching import Progress
from prm_eval.sft.diversity import Diversity
from prm_eval.sft.fields import Entry, lookup, parse_entry
from prm_eval.sft.index import Index, Row
from prm_eval.sft.near import NearDuplicates, Neighbours, unit_vector
from prm_eval.sft.plan import Plan
from prm_eval.sft.sources import Pool

Refusal = tuple[str, dict[str, Any]]  # rule, detail
Check = tuple[Callable[[Row], Refusal | None], Callable[[Row], None]]

_ORDERS = {"best": "score DESC, tie, n", "random": "tie, n", "longest": "length DESC, tie, n", "all": "n"}


def walk(
    index: Index, pool: Pool, plan: Plan, progress: Progress | None = None,
    diversity: Diversity | None = None,
) -> int:  # fmt: skip
    """Choose up to `plan.top` rows (None: all that pass) into the index; returns how many.

    `diversity`, when given, says which row comes next, after what was chosen so far.
    """
    checks = _checks(index, pool, plan)
    if diversity is not None:
        checks.append((_never, diversity.keep))
    (left,) = index.values("SELECT COUNT(*) FROM rows WHERE rule IS NULL")[0]
    chosen = 0
    index.start_walk()
    for looked, row in enumerate(diversity.rows() if diversity else _ranked(index, plan), 1):
        refusal = next((said for look, _ in checks if (said := look(row)) is not None), None)
        if refusal is not None:
            index.drop(row, *refusal)
            continue
        chosen += 1
        index.pick(row, chosen)
        for _, keep in checks:
            keep(row)
        if progress is not None and (diversity or looked % 256 == 0):
            progress(*((chosen, plan.top) if plan.top else (looked, left)))
        if chosen == plan.top:
            break
    if diversity is not None:
        index.note("diversity", diversity.facts())
    index.end_walk()
    return chosen


def _ranked(index: Index, plan: Plan) -> Iterator[Row]:
    first = "COALESCE(verified, 0) DESC, " if plan.verified == "first" else ""
    return index.rows(f"WHERE rule IS NULL ORDER BY {first}{_ORDERS[plan.by]}")


def _checks(index: Index, pool: Pool, plan: Plan) -> list[Check]:
    """The rules that are asked for, cheap ones first."""
    checks: list[Check] = []
    if not plan.duplicates:
        checks.append((_exact(index), _nothing))
    if plan.per_problem is not None:
        checks.append((_per_problem(index, plan.per_problem), _nothing))
    if plan.per_source is not None:
        checks.append(_per_source(plan.per_source))
    if plan.near is not None:
        checks.append(_near(index, pool, plan, plan.near))
    if plan.distance is not None:
        checks.append(_distance(index, pool, plan, plan.distance))
    return checks


def _nothing(_row: Row) -> None:
    """For rules that ask the index what was chosen."""


def _never(_row: Row) -> Refusal | None:
    """For what refuses no row."""
    return None


def _exact(index: Index) -> Callable[[Row], Refusal | None]:
    def look(row: Row) -> Refusal | None:
        same = index.values("SELECT n FROM picked WHERE digest = ?", (row.digest,))
        return ("exact duplicate", {"of": _name(index, same[0][0])}) if same else None

    return look


def _per_problem(index: Index, most: int) -> Callable[[Row], Refusal | None]:
    def look(row: Row) -> Refusal | None:
        ((count,),) = index.values("SELECT COUNT(*) FROM picked WHERE problem = ?", (row.problem,))
        return ("per problem", {}) if count >= most else None

    return look


def _per_source(most: int) -> Check:
    taken: Counter[str | None] = Counter()

    def look(row: Row) -> Refusal | None:
        return ("per source", {"source": row.source}) if taken[row.source] >= most else None

    def keep(row: Row) -> None:
        taken[row.source] += 1

    return look, keep


def _near(index: Index, pool: Pool, plan: Plan, threshold: float) -> Check:
    def text(n: int) -> str:
        return training_text(read_entry(pool, plan, next(index.rows("WHERE n = ?", (n,)))))

    found = NearDuplicates(threshold, text)

    def look(row: Row) -> Refusal | None:
        like = found.like(row.n, training_text(read_entry(pool, plan, row)))
        if like is None:
            return None
        return "near duplicate", {"of": _name(index, like[0]), "similarity": round(like[1], 4)}

    return look, lambda row: found.keep(row.n)


def _distance(index: Index, pool: Pool, plan: Plan, least: float) -> Check:
    found, last = Neighbours(least), {}
    size: int | None = None

    def look(row: Row) -> Refusal | None:
        nonlocal size
        column = plan.embedding or ""
        place = pool.files[row.file].given, row.line
        vector = unit_vector(lookup(pool.row(row.place), column), size, column, *place)
        size = len(vector)
        last[row.n] = vector
        like = found.like(vector)
        if like is None:
            return None
        del last[row.n]
        return "too close", {"to": _name(index, like[0]), "distance": round(like[1], 4)}

    return look, lambda row: found.keep(row.n, last.pop(row.n))


def read_entry(pool: Pool, plan: Plan, row: Row) -> Entry:
    """A row of the index out of the pool again, under the name that it has in the index."""
    return parse_entry(pool.row(row.place), plan.fields, pool.files[row.file].given, row.line)


def training_text(entry: Entry) -> str:
    """All that would be trained on."""
    return f"{entry.candidate.problem.prompt}\n{entry.thinking}\n{entry.response}"


def _name(index: Index, n: int) -> dict[str, Any]:
    return next(index.rows("WHERE n = ?", (n,))).name
