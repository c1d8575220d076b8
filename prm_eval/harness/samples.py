"""lm-eval's `samples_*.jsonl` as candidates.

Invariant: one line per document and filter, each with all N responses: a document counts once, and
two lines that disagree about its responses are an error.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prm_eval.candidates import mend_surrogates, read_candidates
from prm_eval.errors import DataError, UsageError
from prm_eval.harness.docs import Fields, candidate_of, doc_meta, field_template, problem_of
from prm_eval.records import Field, read_rows
from prm_eval.types import Candidate, Problem

__all__ = ["is_samples_row", "read_any", "read_samples"]


def is_samples_row(row: Mapping[str, Any]) -> bool:
    """Whether a line was written by lm-eval (`--log_samples`) and not in the exchange format."""
    return "resps" in row and "doc" in row


def read_any(
    paths: Sequence[Path], problem_field: str | None = None, answer_field: str | None = None
) -> list[Candidate]:
    """Candidates out of files of either kind, told apart by their first line.

    The two fields say where a foreign task's documents hold problem and answer. Raises DataError as
    the readers do, and when two files hold the same candidate.
    """
    found: list[Candidate] = []
    owner: dict[tuple[str, int], Path] = {}
    for path in paths:
        first = next(read_rows(path, drop_torn_tail=True), None)
        mine = (
            read_samples([path], problem_field, answer_field)
            if first and is_samples_row(first[1])
            else read_candidates(path)
        )
        for candidate in mine:
            if candidate.key in owner:
                raise DataError(
                    path,
                    f"problem_id '{candidate.problem.id}' index {candidate.index} stands in"
                    f" {owner[candidate.key]} too: give the files of one run",
                )
            owner[candidate.key] = path
        found += mine
    return found


def read_samples(
    paths: Sequence[Path], problem_field: str | None = None, answer_field: str | None = None
) -> list[Candidate]:
    """All candidates of lm-eval's sample files, in their order; index = place among the responses.

    The two fields say where problem and answer are for tasks that name them unusually. Raises
    DataError with file and line for a torn or foreign line, and for a problem that stands twice.
    """
    fields = Fields(field_template(problem_field), field_template(answer_field))
    found: list[Candidate] = []
    problems: dict[str, str] = {}
    for path in paths:
        seen: dict[str, list[str]] = {}
        for line, row in read_rows(path):
            document, responses = _document(path, line, row), _responses(path, line, row)
            known = seen.setdefault(document, responses)
            if known is not responses:
                if known != responses:
                    raise DataError(path, "another line of this document has other responses", line)
                continue
            problem = _problem(path, line, row, fields)
            if problem.id in problems:
                raise DataError(path, f"problem '{problem.id}' stands at {problems[problem.id]} too", line)
            problems[problem.id] = f"{path}:{line}"
            meta = doc_meta(row["doc"])
            found += [candidate_of(problem, index, text, meta) for index, text in enumerate(responses)]
        if not seen:
            raise DataError(path, "no samples in it")
    return mend_surrogates(found, ", ".join(map(str, paths)))


def _document(path: Path, line: int, row: Mapping[str, Any]) -> str:
    """The identity of a document within one file: its number and its content."""
    doc = Field(row, path, line).need("doc", dict, "the task's document, an object")
    return f"{row.get('doc_id')} {json.dumps(doc, sort_keys=True)}"


def _responses(path: Path, line: int, row: Mapping[str, Any]) -> list[str]:
    found = Field(row, path, line).need("resps", list, "a list with the list of responses")
    if (
        len(found) != 1
        or not isinstance(found[0], list)
        or not all(isinstance(text, str) for text in found[0])
    ):
        raise DataError(
            path, "field 'resps': expected [[text, ...]], one request of a generate_until task", line
        )
    return list(found[0])


def _problem(path: Path, line: int, row: Mapping[str, Any], fields: Fields) -> Problem:
    doc = row["doc"]
    target = row.get("target")
    if fields.answer is None and "answer" not in doc and isinstance(target, str | int | float):
        doc = {**doc, "answer": target}  # what the task itself holds for the gold answer
    try:
        return problem_of(doc, fields)
    except UsageError as error:
        raise DataError(path, str(error), line) from error
