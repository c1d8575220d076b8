"""Right or wrong, and which answers are the same: every candidate against the gold and its siblings.

Invariant: a label that came with the data is kept and ours is set beside it; a grader that fails says
`Unscored`, never "wrong"; one grade per candidate, in their order.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from prm_eval.answers import Kind, choice_letter, closing_passage, extract_answer, right_side, unboxed_answer
from prm_eval.equality import Answer, Classes, Counts, Grader, NeedsWorker
from prm_eval.errors import BadOption
from prm_eval.types import Candidate, Unscored

__all__ = ["Disagreement", "Grade", "Grading", "Kind", "extract_answer", "grade_candidates"]

_Key = tuple[str, str | None, Kind]
_PER_WORKER = 100
_log = logging.getLogger("prm_eval")
_GRADERS = ("math-verify", "latex2sympy2_extended", "sympy")


@dataclass(frozen=True, slots=True)
class Grade:
    """The answer found, whether it is right, and the name of its class of equivalent answers.

    `answer_class` is one string for all equivalent answers to a problem, None without an answer.
    """

    answer: str | None
    label: bool | Unscored
    answer_class: str | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A label that came with the data and differs from our own grading."""

    problem_id: str
    index: int
    gold: str
    answer: str | None
    ours: bool
    theirs: bool


@dataclass(slots=True)
class Grading:
    """One grade per candidate, in their order; `ungraded` counts the labels that are Unscored.

    `provenance` holds the graders' versions, the time-out and the work counts.
    """

    grades: list[Grade]
    disagreements: list[Disagreement]
    ungraded: int
    provenance: dict[str, Any]


def grade_candidates(
    candidates: Sequence[Candidate],
    *,
    kind: Kind | None = None,
    regrade: bool = False,
    timeout: float = 3.0,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Grading:
    """Grade candidates of any number of problems; one grade per candidate, in their order.

    `kind` None takes `answer_kind` of the candidate's or the problem's meta, else "math". The label
    is `Candidate.correct` unless `regrade`; our own verdict is computed all the same, and differences
    are listed. `timeout` is in seconds per job of a worker process, of which `workers` run at once.
    `progress(done, total)` counts candidates and is called in the caller's thread. Any thread may
    call this. Raises BadOption for a bad kind or number, PrmEvalError where math-verify
    is missing or broken: answers that it would have settled are never called wrong instead.
    """
    if not timeout > 0 or workers < 1:
        raise BadOption(f"timeout {timeout} and workers {workers}: both must be positive")
    problems: dict[_Key, list[int]] = defaultdict(list)
    for place, candidate in enumerate(candidates):
        problems[candidate.problem.id, candidate.problem.answer, _kind(kind, candidate)].append(place)
    own: dict[int, Grade] = {}
    counts = Counts()
    for places, graded, work in _in_order_of_cost(candidates, problems, timeout, workers):
        own.update(zip(places, graded, strict=True))
        counts.add(work)
        if progress is not None:
            progress(len(own), len(candidates))
    ordered = [own[place] for place in range(len(candidates))]
    return _summary(candidates, ordered, regrade, _provenance(counts, timeout))


def _kind(asked: str | None, candidate: Candidate) -> Kind:
    kind = asked or candidate.meta.get("answer_kind") or candidate.problem.meta.get("answer_kind") or "math"
    if kind == "math":
        return "math"
    if kind == "choice":
        return "choice"
    raise BadOption(f"answer kind '{kind}' of {candidate.key}: use 'math' or 'choice'")


def _in_order_of_cost(
    candidates: Sequence[Candidate], problems: dict[_Key, list[int]], timeout: float, workers: int
) -> Iterator[tuple[list[int], list[Grade], Counts]]:
    """Grade what needs no worker here and now, the rest in as many threads as there are workers."""
    waiting: list[tuple[_Key, list[int]]] = []
    for (name, gold, kind), places in problems.items():
        try:
            yield (
                places,
                *_grade_problem(gold, kind, [candidates[at] for at in places], Grader(timeout, False)),
            )
        except NeedsWorker:
            waiting.append(((name, gold, kind), places))
    # A worker takes a second to start: not worth it for a few problems.
    executor = ThreadPoolExecutor(max_workers=min(workers, 1 + len(waiting) // _PER_WORKER))
    try:
        futures = {
            executor.submit(
                _grade_problem, gold, kind, [candidates[at] for at in places], Grader(timeout)
            ): places
            for (_, gold, kind), places in waiting
        }
        for future in as_completed(futures):
            yield futures[future], *future.result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _grade_problem(
    gold: str | None, kind: Kind, candidates: list[Candidate], grader: Grader
) -> tuple[list[Grade], Counts]:
    """Our own grades of one problem's candidates, whatever labels came with them."""
    with grader:
        found = [_find_answer(candidate, kind, grader) for candidate in candidates]
        distinct = {raw: Answer.of(raw) for raw in dict.fromkeys(found) if isinstance(raw, str)}
        unique = list({answer.normal: answer for answer in reversed(distinct.values())}.values())[::-1]
        if kind == "choice":
            classes = _choice_classes(gold, unique)
        else:
            classes = grader.classes(Answer.of(gold) if gold and gold.strip() else None, unique)
        return [_grade(raw, gold, distinct, classes) for raw in found], grader.counts


def _find_answer(candidate: Candidate, kind: Kind, grader: Grader) -> str | None | Unscored:
    """The answer as text, None when there is none, Unscored when looking for it failed."""
    if candidate.prediction is not None:
        given = candidate.prediction.strip() or None
        return choice_letter(given) or given if given and kind == "choice" else given
    marked = extract_answer(candidate.text, kind)
    if marked is None and kind == "math":
        marked = unboxed_answer(candidate.text)
        passage = closing_passage(candidate.text) if marked is None else None
        read = grader.extract(passage) if passage is not None else None
        return right_side(read) if isinstance(read, str) else read or marked
    return marked


def _choice_classes(gold: str | None, answers: Sequence[Answer]) -> Classes:
    """Each letter is its own class; a gold answer that names no letter cannot be graded."""
    right = choice_letter(gold) if gold else None
    why = Unscored(f"the gold answer '{gold}' is not a choice letter")
    return Classes(
        labels={answer.normal: why if right is None else answer.normal == right for answer in answers},
        names={answer.normal: answer.normal for answer in answers},
    )


def _grade(
    raw: str | None | Unscored, gold: str | None, distinct: dict[str, Answer], classes: Classes
) -> Grade:
    if isinstance(raw, Unscored):
        return Grade(None, raw, None)
    missing = Unscored("the problem has no gold answer")
    has_gold = bool(gold and gold.strip())
    if raw is None:
        return Grade(None, False if has_gold else missing, None)
    normal = distinct[raw].normal
    return Grade(raw, classes.labels[normal] if has_gold else missing, classes.names[normal])


def _summary(
    candidates: Sequence[Candidate], own: list[Grade], regrade: bool, provenance: dict[str, Any]
) -> Grading:
    grades, disagreements = [], []
    for candidate, grade in zip(candidates, own, strict=True):
        ours, theirs, gold = grade.label, candidate.correct, candidate.problem.answer
        if isinstance(ours, bool) and theirs is not None and ours != theirs:
            assert gold is not None  # else ours is Unscored
            disagreements.append(Disagreement(*candidate.key, gold, grade.answer, ours, theirs))
        kept = grade if theirs is None or regrade else Grade(grade.answer, theirs, grade.answer_class)
        grades.append(kept)
    ungraded = sum(isinstance(grade.label, Unscored) for grade in grades)
    if disagreements:
        _log.warning(
            "%d of %d given labels disagree with our grading (%s kept)",
            len(disagreements),
            sum(candidate.correct is not None for candidate in candidates),
            "ours are" if regrade else "the given ones are",
        )
    if ungraded:
        _log.warning("%d of %d candidates could not be graded", ungraded, len(candidates))
    return Grading(grades, disagreements, ungraded, provenance)


def _provenance(counts: Counts, timeout: float) -> dict[str, Any]:
    versions: dict[str, Any] = {}
    for name in _GRADERS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions | {
        "timeout": timeout,
        "worker_jobs": counts.jobs,
        "worker_failures": counts.failed,
        "class_comparisons_failed": counts.class_failures,
    }
