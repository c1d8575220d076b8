"""What a reader of a run must know before any number: its warnings, what is missing, what disagrees.

Invariant: every count stands in the run's own files; nothing is judged here but what is absent.
"""

from collections.abc import Iterator

from prm_eval.pages.parts import Row
from prm_eval.pages.runs import Run


def warnings_of(run: Run) -> Iterator[str]:
    """The run's own warnings, then counts of what was not scored, not graded or is not there."""
    yield from run.results["warnings"]
    for entry in run.results["unscored"]:
        if entry["unscored"] and (run.kind == "best_of_n" or not _told(run, _who(entry))):
            yield _unscored(entry)
    if run.kind == "sft_select":
        yield from _of_selection(run.results["card"])
    if run.kind == "sft_train":
        yield from _of_training(run.results["training"])
    if run.kind != "best_of_n":
        return
    graded = run.results.get("grading", {})
    if graded.get("ungraded"):
        yield f"{graded['ungraded']:,} of {graded['candidates']:,} responses could not be graded"
    if graded.get("no_answer"):
        yield f"no answer was found in {graded['no_answer']:,} of {graded['candidates']:,} responses"
    if graded.get("disagreements"):
        number = len(graded["disagreements"])
        yield f"our grading disagrees with the labels of the data on {number:,} responses (the labels count)"
    if not run.candidates:
        yield "the run folder holds no candidates.jsonl: no distributions, and no responses to browse"
    elif not run.scores:
        yield "the run has no scores: only selectors that look at none are compared"


def _of_selection(card: Row) -> Iterator[str]:
    if not card["decontamination"]["sets"]:
        yield "nothing was decontaminated: the rows may hold questions of evaluation sets"
    for stage in card["stages"]:
        if stage["stage"] == "unscored" and stage["removed"]:
            yield f"{stage['removed']:,} rows of the pool could not be scored and are left out"


def _of_training(made: Row | None) -> Iterator[str]:
    if made is None:
        yield "the training is not finished: the folder holds no train_manifest.json, only its curve so far"
    elif (made.get("left_out") or {}).get("count"):
        yield f"{made['left_out']['count']:,} rows were left out as too long"


def _who(entry: Row) -> str:
    return str(entry.get("reward_model") or entry.get("judge"))


def _told(run: Run, who: str) -> bool:
    """Whether the run's own warnings say already what its judge or model left out."""
    return any(warning.startswith((f"{who} gave", f"{who} left")) for warning in run.results["warnings"])


def _unscored(entry: Row) -> str:
    whole, what = (entry["candidates"], "responses") if "candidates" in entry else (entry["games"], "games")
    reasons = "; ".join(f"{number:,} {reason}" for reason, number in entry["reasons"].items())
    return f"{_who(entry)}: {entry['unscored']:,} of {whole:,} {what} unscored: {reasons}"
