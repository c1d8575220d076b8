"""What a selection was asked to do.

Invariant: everything here changes what is chosen, and nothing else does: batch sizes, workers and the
output's format stand elsewhere.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from prm_eval.sft.contamination import GRAM, EvaluationSet
from prm_eval.sft.fields import Fields

By = Literal["best", "random", "longest", "all", "facility-location"]
Unit = Literal["words", "characters", "tokens"]

STAGES = (
    ("contaminated", "decontamination"),
    ("empty response", "empty responses"),
    ("too short", "--min-length"),
    ("too long", "--max-length"),
    ("not verified", "--verified only"),
    ("unscored", "unscored"),
    ("low score", "--min-score"),
    ("exact duplicate", "exact duplicates"),
    ("per problem", "--per-problem"),
    ("per source", "--per-source"),
    ("near duplicate", "--near-duplicates"),
    ("too close", "--min-distance"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The options that decide; lengths in `unit`, `near` a Jaccard similarity, `distance` 1 - cosine.

    `score_weight` in [0, 1] is that of the scores beside the diversity of facility location.

    `threshold` None: one shared 8-gram contaminates. `whole_row`: thinking and response are searched
    for evaluation questions too.
    """

    fields: Fields
    by: By = "all"
    top: int | None = None
    min_score: float | None = None
    per_problem: int | None = None
    per_source: int | None = None
    verified: Literal["first", "only"] | None = None
    answer_kind: Literal["math", "choice"] | None = None
    min_length: int | None = None
    max_length: int | None = None
    unit: Unit = "words"
    duplicates: bool = False
    near: float | None = None
    embedding: str | None = None
    distance: float | None = None
    score_weight: float | None = None
    threshold: float | None = None
    whole_row: bool = False
    limit: int | None = None
    seed: int = 0

    @property
    def needs_scores(self) -> bool:
        """Whether a row without a score is of no use."""
        return self.by == "best" or self.min_score is not None or bool(self.score_weight)

    def asks(self, rule: str) -> bool:
        """Whether a stage, by the name of its rule, is told of even when it removed nothing."""
        given = {
            "contaminated": False, "empty response": True, "too short": self.min_length,
            "too long": self.max_length, "not verified": self.verified == "only",
            "unscored": self.needs_scores, "low score": self.min_score is not None,
            "exact duplicate": not self.duplicates, "per problem": self.per_problem,
            "per source": self.per_source, "near duplicate": self.near, "too close": self.distance,
        }  # fmt: skip
        return bool(given[rule])

    def options(self, pool: Sequence[Any], sets: Sequence[EvaluationSet], scores: Any) -> dict[str, Any]:
        """Everything that an earlier run must agree on to be gone on with."""
        return {
            **asdict(self),
            "pool": [(file.given, file.sha256) for file in pool],
            "decontaminate": sets_of(sets),
            "scores": scores,
        }


def sets_of(sets: Sequence[EvaluationSet]) -> list[dict[str, Any]]:
    """The evaluation sets by name, source, size and hash; no text of theirs."""
    return [
        {
            "name": one.name,
            "source": one.source,
            "questions": len(one.questions),
            "sha256": hashlib.sha256(
                "\n".join(f"{name}\0{text}" for name, text in one.questions).encode("utf-8", "surrogatepass")
            ).hexdigest(),
            "ngram": GRAM,
        }
        for one in sets
    ]
