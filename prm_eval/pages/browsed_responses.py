"""Responses of best-of-N runs for the browser: labels, scores, who picked them, steps with scores."""

from collections.abc import Iterator
from typing import Any

from prm_eval.pages.browsed import Source, rounded, step_range, step_scores
from prm_eval.pages.compared import picked_values
from prm_eval.pages.runs import Run
from prm_eval.report import label
from prm_eval.steps import candidate_steps
from prm_eval.types import Candidate


def _described(run: Run, kept: int) -> dict[str, Any]:
    """One run's part of the index; rows stand in the order of their problems."""
    values = picked_values(run)
    selectors = [name for name in values if name != "mean"]
    picks: dict[tuple[str, int], list[int]] = {}
    for row in run.selections:
        name = label({**row, "metric": row["strategy"]})
        for index in row["chosen"] if name in selectors else ():
            picks.setdefault((str(row["problem_id"]), index), []).append(selectors.index(name))
    problems: dict[str, int] = {}
    told: list[list[Any]] = []
    for candidate in run.candidates[:kept]:
        if candidate.problem.id not in problems:
            problem = candidate.problem
            problems[problem.id] = len(told)
            own = [values[name].get(problem.id) for name in selectors]
            told.append([problem.id, problem.subset, problem.prompt, problem.answer, own])
    rows = [_row(run, one, problems[one.problem.id], picks) for one in run.candidates[:kept]]
    ranges = [step_range(run, model) for model in run.scores]
    return {
        "models": list(run.scores),
        "ranges": ranges,
        "selectors": selectors,
        "problems": told,
        "rows": rows,
    }


def _row(run: Run, candidate: Candidate, problem: int, picks: dict[tuple[str, int], list[int]]) -> list[Any]:
    correct = run.correct(candidate.key)
    answer = run.grades.get(candidate.key, {}).get("answer")
    scores = [rounded(rows.get(candidate.key)) for rows in run.scores.values()]
    label_ = None if correct is None else int(correct)
    return [problem, candidate.index, label_, answer, scores, picks.get(candidate.key, [])]


def _texts(run: Run, kept: int) -> Iterator[list[Any]]:
    """[steps: a text, or [text] where it is thinking; per model its step scores, or why there are none]"""
    for candidate in run.candidates[:kept]:
        steps = [[step.text] if step.part == "thinking" else step.text for step in candidate_steps(candidate)]
        yield [steps, [step_scores(rows.get(candidate.key)) for rows in run.scores.values()]]


def _words(run: Run) -> Iterator[str]:
    for candidate in run.candidates:
        yield candidate.problem.prompt
        yield candidate.text
        yield from (step.text for step in candidate.steps or ())


RESPONSES = Source("responses", lambda run: len(run.candidates), _described, _texts, _words)
