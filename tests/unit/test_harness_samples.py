"""lm-eval's sample files as candidates."""

import json
from pathlib import Path
from typing import Any

import pytest
from harness_support import Scripted, problems, write_jsonl

from prm_eval.candidates import candidate_row
from prm_eval.errors import DataError
from prm_eval.harness.samples import is_samples_row, read_any, read_samples


def row(number: int, responses: list[str], **more: Any) -> dict[str, Any]:
    """A line as lm-eval writes it, with what matters here."""
    doc = problems(number + 1)[number]
    return {
        "doc_id": number,
        "doc": doc,
        "target": doc["answer"],
        "resps": [responses],
        "filter": "none",
        **more,
    }


def test_written_by_lm_eval_itself(tmp_path: Path) -> None:
    """A real --predict_only --log_samples run of a generation twin comes back response by response."""
    import lm_eval
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    from prm_eval.harness.tasks import tasks_path

    data = write_jsonl(tmp_path / "data.jsonl", problems(3))
    model = Scripted(lambda doc, k: f"{doc['problem']}\u2028answer {k}")
    folder = [str(tasks_path())]
    manager = TaskManager(include_defaults=False, include_path=folder, metadata={"data": str(data)})
    results = lm_eval.simple_evaluate(
        model=model, tasks=["math500_gen"], task_manager=manager, predict_only=True
    )
    tracker = EvaluationTracker(output_path=str(tmp_path / "out"))
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    tracker.save_results_samples(task_name="math500_gen", samples=samples["math500_gen"])
    found = read_samples(list((tmp_path / "out").rglob("samples_*.jsonl")))
    assert [(c.problem.id, c.problem.answer, c.index, c.text) for c in found] == [
        (doc["problem_id"], doc["answer"], k, f"{doc['problem']}\u2028answer {k}")
        for doc in problems(3)
        for k in range(16)
    ]


def test_one_line_per_filter_counts_once(tmp_path: Path) -> None:
    """A document that stands once for every filter gives its responses once."""
    rows = [row(i, ["a", "b"], filter=name) for name in ("one", "two") for i in range(3)]
    found = read_samples([write_jsonl(tmp_path / "s.jsonl", rows)])
    assert [(c.problem.id, c.index, c.text) for c in found] == [
        (f"sum/{i}", k, "ab"[k]) for i in range(3) for k in range(2)
    ]


def test_disagreeing_lines(tmp_path: Path) -> None:
    """Two lines of one document with different responses are refused with the place of the second."""
    path = write_jsonl(tmp_path / "s.jsonl", [row(0, ["a"]), row(0, ["b"])])
    with pytest.raises(DataError, match=r"s\.jsonl:2: another line"):
        read_samples([path])


def test_two_runs(tmp_path: Path) -> None:
    """A glob that catches two runs is refused instead of doubling N."""
    paths = [write_jsonl(tmp_path / name, [row(0, ["a"])]) for name in ("s1.jsonl", "s2.jsonl")]
    with pytest.raises(DataError, match="stands"):
        read_samples(paths)
    with pytest.raises(DataError, match="give the files of one run"):
        read_any(paths)


def test_swapped_doc_ids(tmp_path: Path) -> None:
    """Unsorted --samples swaps doc_id labels in lm-eval; problem and responses stay together."""
    rows = [{**row(3, ["three"]), "doc_id": 1}, {**row(1, ["one"]), "doc_id": 3}]
    found = {c.problem.id: c.text for c in read_samples([write_jsonl(tmp_path / "s.jsonl", rows)])}
    assert found == {"sum/3": "three", "sum/1": "one"}


def test_torn_line(tmp_path: Path) -> None:
    """A torn line is an error with file and line, not a shorter list."""
    path = write_jsonl(tmp_path / "s.jsonl", [row(0, ["a"])])
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(row(1, ["b"]))[:40])
    with pytest.raises(DataError, match=r"s\.jsonl:2: not JSON"):
        read_samples([path])


@pytest.mark.parametrize("resps", [[["a"], ["b"]], ["a"], [[1]], [[["a", -1.0]]]])
def test_other_requests(tmp_path: Path, resps: Any) -> None:
    """Multiple-choice or likelihood samples hold no responses and are refused."""
    path = write_jsonl(tmp_path / "s.jsonl", [{**row(0, []), "resps": resps}])
    with pytest.raises(DataError, match="generate_until"):
        read_samples([path])


def test_lone_surrogate(tmp_path: Path) -> None:
    """A lone surrogate in a response becomes U+FFFD: no tokenizer can take it."""
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(row(0, ["a\ud800b"])) + "\n", encoding="utf-8")
    assert read_samples([path])[0].text == "a\ufffdb"


def test_foreign_task(tmp_path: Path) -> None:
    """Fields may be named; without a field the gold answer is the task's target, the id the text's hash."""
    rows = [{"doc_id": 0, "doc": {"Q": "1+1?", "sol": "#### 2"}, "target": "2", "resps": [["x"]]}]
    path = write_jsonl(tmp_path / "s.jsonl", rows)
    with pytest.raises(DataError, match=r"s\.jsonl:1: no question in a document with the fields Q, sol"):
        read_samples([path])
    one = read_samples([path], problem_field="Q")[0]
    assert (one.problem.prompt, one.problem.answer) == ("1+1?", "2")
    two = read_samples([path], problem_field="Q", answer_field="sol")[0]
    assert (two.problem.answer, two.problem.id) == ("#### 2", one.problem.id)


def test_choice_travels(tmp_path: Path) -> None:
    """The kind of answer that the document names reaches the grader."""
    line = row(0, ["x"])
    line["doc"]["answer_kind"] = "choice"
    assert read_samples([write_jsonl(tmp_path / "s.jsonl", [line])])[0].meta["answer_kind"] == "choice"


def test_both_formats(tmp_path: Path) -> None:
    """The reader tells the exchange format from lm-eval's by the first line."""
    samples = write_jsonl(tmp_path / "s.jsonl", [row(0, ["a", "b"])])
    assert is_samples_row(row(0, ["a"]))
    exchange = write_jsonl(tmp_path / "c.jsonl", [candidate_row(c) for c in read_samples([samples])])
    assert not is_samples_row(json.loads(exchange.read_text().splitlines()[0]))
    assert read_any([exchange]) == read_any([samples])
