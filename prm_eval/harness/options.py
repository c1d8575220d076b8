"""The options of the lm-eval filter, as they stand in a task's YAML.

Invariant: reading them never loads a model. lm-eval builds a filter only after everything was
generated, so a wrong option must not be found before the samples are saved.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from prm_eval.answers import Kind
from prm_eval.errors import BadOption
from prm_eval.harness.docs import Fields

REWARD_MODELS = "PRM_EVAL_REWARD_MODELS"


@dataclass(frozen=True, slots=True)
class Options:
    """What the filter may be told.

    `n` responses of each problem are used; None takes all. `question`, `answer`, `problem_id` and
    `subset` are Jinja templates over the document, None its field of that name. `reward_models`,
    `aggregations` and `strategies` are references; without reward models those of the environment
    variable PRM_EVAL_REWARD_MODELS are used, separated by `;` or blanks. `ks` is a list or `all`,
    None the powers of two. A folder per run is made in `out`.
    """

    task: str = "task"
    n: int | None = None
    question: str | None = None
    answer: str | None = None
    problem_id: str | None = None
    subset: str | None = None
    answer_kind: Kind | None = None
    reward_models: Sequence[str] = ()
    aggregations: Sequence[str] = ()
    strategies: Sequence[str] = ()
    ks: Sequence[int] | Literal["all"] | None = None
    out: str | None = None
    seed: int = 0

    @property
    def fields(self) -> Fields:
        """Where the parts of a problem are found in a document."""
        return Fields(self.question, self.answer, self.problem_id, self.subset)


def read_options(given: Mapping[str, Any]) -> Options:
    """The options of a YAML file. Raises BadOption for an unknown name or a value of the wrong kind."""
    known = [field.name for field in fields(Options)]
    for name in given:
        if name not in known:
            raise BadOption(f"the filter BestOfN takes no option '{name}': it takes {', '.join(known)}")
    values = dict(given)
    for name in ("reward_models", "aggregations", "strategies"):
        values[name] = _references(name, values.get(name))
    for name, kind, expected in (("n", int, "a whole number from 1"), ("seed", int, "a whole number")):
        value = values.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise BadOption(f"the filter's {name} is {value!r}: expected {expected}")
    if values.get("n") is not None and values["n"] < 1:
        raise BadOption(f"the filter's n is {values['n']}: expected a whole number from 1")
    if not values["reward_models"]:
        values["reward_models"] = _split(os.environ.get(REWARD_MODELS, ""))
    return Options(**values)


def _references(name: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return _split(value)
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise BadOption(f"the filter's {name} is {value!r}: expected a list of names")


def _split(text: str) -> tuple[str, ...]:
    """References separated by `;` or blanks: a comma belongs to a reference's own options."""
    return tuple(text.replace(";", " ").split())
