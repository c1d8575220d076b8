"""Every score of best-of-N runs as one Parquet table: a row per response and reward model.

Invariant: numbers are those of scores.jsonl and grades.jsonl to the last bit; nothing is left out, so
an unscored or ungraded response is a row that says why.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prm_eval.errors import UsageError
from prm_eval.pages.runs import Run
from prm_eval.types import Candidate

SCHEMA = "prm-eval/item-scores/1"
_NO_LINE = "no line in the scores file"
_TEXTS = ("run", "task", "problem_id", "subset", "gold", "model", "aggregation", "unscored", "key",
          "prediction", "answer_class", "ungraded", "revision", "fingerprint", "dtype")  # fmt: skip


def item_scores(runs: Sequence[Run]) -> bytes:
    """A Parquet file; docs/report.md says what stands in it. The same runs give the same bytes.

    Raises UsageError for a run that is none of best-of-N, or that holds no scores.
    """
    import pyarrow.parquet  # type: ignore[import-untyped]

    rows = [row for run in runs for row in _rows(run)]
    table = pyarrow.Table.from_pylist(rows, schema=_schema())
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out, compression="zstd")
    return out.getvalue()


def _schema() -> Any:
    import pyarrow as pa

    kinds = dict.fromkeys(_TEXTS, pa.string()) | {
        "index": pa.int64(),
        "score": pa.float64(),
        "steps": pa.list_(pa.float64()),
        "correct": pa.bool_(),
        "versions": pa.map_(pa.string(), pa.string()),
    }
    order = ("run", "task", "problem_id", "index", "subset", "gold", "model", "score", "steps", "aggregation",
             "unscored", "key", "prediction", "answer_class", "correct", "ungraded", "revision",
             "fingerprint", "dtype", "versions")  # fmt: skip
    return pa.schema([(name, kinds[name]) for name in order], metadata={"schema": SCHEMA})


def _rows(run: Run) -> Iterator[Mapping[str, Any]]:
    if run.kind != "best_of_n":
        raise UsageError(
            f"{run.path} is a run of {run.kind}: a Parquet file holds the scores of responses, of runs of"
            " best-of-n or select --save; what each item of this one got stands in its JSON Lines files"
        )
    if not run.scores:
        raise UsageError(
            f"{run.path} holds no scores: there is nothing to write; was a --reward-model given?"
        )
    for model, scores in run.scores.items():
        origin = _origin(run, model)
        for candidate in run.candidates:
            row = scores.get(candidate.key)
            yield {
                **_candidate(run, candidate),
                "model": model,
                "score": row.value if row else None,
                "steps": row.steps if row else None,
                "aggregation": row.aggregation if row else None,
                "unscored": row.unscored if row else _NO_LINE,
                "key": row.key if row else None,
                **origin,
            }


def _candidate(run: Run, candidate: Candidate) -> dict[str, Any]:
    grade = run.grades.get(candidate.key, {})
    return {
        "run": run.name,
        "task": run.task,
        "problem_id": candidate.problem.id,
        "index": candidate.index,
        "subset": candidate.problem.subset,
        "gold": candidate.problem.answer,
        "prediction": grade.get("answer"),
        "answer_class": grade.get("answer_class"),
        "correct": grade.get("correct"),
        "ungraded": grade.get("ungraded"),
    }


def _origin(run: Run, model: str) -> dict[str, Any]:
    """Which weights and versions made the scores, as far as the run says; empty text is not a revision."""
    known = run.results.get("provenance", {}).get(model) or run.manifest.get("reward_models", {}).get(model)
    named = {name: (known or {}).get(name) or None for name in ("revision", "fingerprint", "dtype")}
    texts = {name: None if value is None else str(value) for name, value in named.items()}
    return {**texts, "versions": sorted(run.manifest.get("versions", {}).items())}
