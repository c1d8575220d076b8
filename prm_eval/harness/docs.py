"""A document of an lm-eval task as a Problem, and a response to it as a Candidate.

Invariant: the problem is read off the document, never off the prompt: few-shots, system text and
chat template belong to the policy, and a reward model must not see them.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, StrictUndefined, Template, TemplateError

from prm_eval.errors import UsageError
from prm_eval.types import Candidate, Problem

Doc = Mapping[str, Any]
_PROBLEM_FIELDS = ("problem", "question", "Problem", "Question", "prompt", "input")
_ANSWER_FIELDS = ("answer", "Answer", "target", "label")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Fields:
    """Jinja templates over a document; None takes the document's own field of the usual name."""

    question: str | None = None
    answer: str | None = None
    problem_id: str | None = None
    subset: str | None = None


class Replayed(str):
    """A response out of a file, with the candidate it came from: its steps, prediction and label."""

    __slots__ = ("candidate",)
    candidate: Candidate

    @classmethod
    def of(cls, candidate: Candidate) -> "Replayed":
        """The candidate's text."""
        text = cls(candidate.text)
        text.candidate = candidate
        return text


def problem_of(doc: Doc, fields: Fields = Fields()) -> Problem:
    """The document as a problem.

    Without an id of its own it is named by its text: `doc_id` is wrong for unsorted `--samples`.
    Raises UsageError when a template fails or no question is found.
    """
    prompt = _field(doc, fields.question, _PROBLEM_FIELDS)
    if prompt is None:
        raise UsageError(
            f"no question in a document with the fields {', '.join(doc)}:"
            " say where it is with question: '{{field}}'"
        )
    own_id = _field(doc, fields.problem_id, ("problem_id",))
    return Problem(
        id=own_id or hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:16],
        prompt=prompt,
        answer=_field(doc, fields.answer, _ANSWER_FIELDS),
        subset=_field(doc, fields.subset, ("subset",)),
    )


def candidate_of(problem: Problem, index: int, response: str, meta: Mapping[str, Any]) -> Candidate:
    """The index-th response to a problem; a replayed one keeps its own steps, prediction and label."""
    if isinstance(response, Replayed):
        stored = response.candidate
        return Candidate(
            problem,
            index,
            str(response),
            stored.steps,
            stored.prediction,
            stored.correct,
            {**stored.meta, **meta},
        )
    return Candidate(problem, index, response, meta=dict(meta))


def doc_meta(doc: Doc, kind: str | None = None) -> dict[str, Any]:
    """What is kept of the document: what the grader must know of the answer, and the level, where said."""
    found = kind or doc.get("answer_kind")
    level = doc.get("level")
    return ({"answer_kind": found} if found else {}) | ({} if level in (None, "") else {"level": level})


def field_template(name: str | None) -> str | None:
    """The template that takes one field as it is."""
    return None if name is None else "{{ " + f"doc[{name!r}]" + " }}"


def mend(text: str) -> str:
    """Surrogate pairs joined, lone surrogates replaced by U+FFFD: UTF-8 and tokenizers hold neither."""
    if not _SURROGATES.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def identical_samples(groups: Sequence[Sequence[str]]) -> str | None:
    """A warning when most problems got N equal responses, None when all looks like sampling."""
    several = [group for group in groups if len(group) > 1]
    equal = sum(len(set(group)) == 1 for group in several)
    if not several or equal <= len(several) / 2:
        return None
    return (
        f"all responses are identical for {equal} of {len(several)} problems: is sampling off (do_sample,"
        " temperature, top_k=1), or does the server get one seed for every repeat?"
    )


def _field(doc: Doc, template: str | None, usual: Sequence[str]) -> str | None:
    if template is not None:
        return _render(template, doc) or None
    return next((str(doc[name]) for name in usual if doc.get(name) not in (None, "")), None)


def _render(template: str, doc: Doc) -> str:
    try:
        return _compiled(template).render(doc, doc=doc)
    except TemplateError as error:
        raise UsageError(
            f"the template '{template}' fails: {error}; the fields are {', '.join(doc)}"
        ) from error


@cache
def _compiled(template: str) -> Template:
    # the text goes to a model and not to a browser, so nothing is escaped
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    environment.finalize = lambda value: "" if value is None else value
    return environment.from_string(template)
