"""The data sets of the tasks: where they are looked for, what they look like, the order of choices."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness_support import SHARED, problems, write_jsonl

from prm_eval.errors import DataError, UsageError
from prm_eval.harness.choices import lettered
from prm_eval.harness.data import AIME24, GPQA_DIAMOND, MATH500, Source, dataset, load


def choice_rows(count: int) -> list[dict[str, Any]]:
    """Made-up questions in the columns of GPQA's own files."""
    return [
        {
            "Question": f"Which number follows {i}?",
            "Correct Answer": f"{i + 1}",
            "Incorrect Answer 1": f"{i + 2}",
            "Incorrect Answer 2": f"{i + 3}",
            "Incorrect Answer 3": f"{i - 1}",
            "Record ID": f"rec{i}",
            "High-level domain": "Counting",
        }
        for i in range(count)
    ]


def test_recorded_math500() -> None:
    """The recorded MATH-500 file gives its 500 problems, with subject as subset."""
    path = SHARED / "math500.jsonl"
    if not path.is_file():
        pytest.skip("no ../shared/data/math500.jsonl")
    rows = load(MATH500, {"data": str(path)})
    raw = [json.loads(line) for line in path.open(encoding="utf-8")]
    assert [row["problem"] for row in rows] == [row["problem"].strip() for row in raw]
    assert rows[0] | {"subset": raw[0]["subject"], "level": str(raw[0]["level"])} == rows[0]
    assert len({row["problem_id"] for row in rows}) == 500


def test_hub_columns_of_aime(tmp_path: Path) -> None:
    """The AIME set's own column names are understood; a numeric answer becomes text."""
    rows = [{"ID": "2024-I-1", "Problem": "1 + 32?", "Solution": "33", "Answer": 33}]
    found = load(AIME24, {"data": str(write_jsonl(tmp_path / "a.jsonl", rows))})
    assert (found[0]["problem_id"], found[0]["problem"], found[0]["answer"]) == ("2024-I-1", "1 + 32?", "33")


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_file_kinds(tmp_path: Path, kind: str) -> None:
    """Every kind of local file gives the same rows, U+2028 and newlines included."""
    rows = [{**row, "problem": row["problem"] + "\u2028\nsecond, line"} for row in problems(3)]
    path = tmp_path / f"data.{kind}"
    if kind == "jsonl":
        write_jsonl(path, rows)
    elif kind == "json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        import pandas as pd

        frame = pd.DataFrame(rows)
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    found = load(MATH500, {"data": str(path)})
    assert [(r["problem_id"], r["problem"], r["answer"]) for r in found] == [
        (r["problem_id"], r["problem"], r["answer"]) for r in rows
    ]


def test_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`data` wins over the environment variable; the variable is used without it."""
    one = write_jsonl(tmp_path / "one.jsonl", problems(1))
    two = write_jsonl(tmp_path / "two.jsonl", problems(2))
    monkeypatch.setenv("PRM_EVAL_DATA_MATH500", str(two))
    assert len(load(MATH500, {})) == 2
    assert len(load(MATH500, {"data": str(one)})) == 1


def test_nothing_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without file and hub, one line says what was tried and how to give a file."""
    monkeypatch.delenv("PRM_EVAL_DATA_MATH500", raising=False)
    nowhere = Source("math500", "prm-eval-tests/no-such-set", None, "test")
    with pytest.raises(UsageError) as caught:
        load(nowhere, {})
    text = str(caught.value)
    assert "\n" not in text
    assert "prm-eval-tests/no-such-set" in text
    assert "PRM_EVAL_DATA_MATH500=FILE" in text
    assert "--metadata data=FILE" in text


def test_metadata_does_not_cut_the_data(tmp_path: Path) -> None:
    """`--metadata n=3`, meant for the samples, and lm-eval's own keys leave the problems alone."""
    path = write_jsonl(tmp_path / "data.jsonl", problems(7))
    metadata = {
        "data": str(path),
        "n": 3,
        "limit": 2,
        "version": 1.0,
        "pretrained": "x",
        "config_source": "y",
    }
    assert dataset(MATH500, metadata)["test"].num_rows == 7


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"problem": "x", "answer": ""}], "data.jsonl:1: no answer: expected text in one of the columns"),
        ([{"answer": "1"}], "data.jsonl:1: no problem"),
        ([*problems(1), *problems(1)], "data.jsonl:2: the problem_id 'sum/0' stands at"),
    ],
)
def test_wrong_rows(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    """A wrong row is refused with its place and the field."""
    path = write_jsonl(tmp_path / "data.jsonl", rows)
    with pytest.raises(DataError, match=message):
        load(MATH500, {"data": str(path)})


def test_wrong_file(tmp_path: Path) -> None:
    """A missing file and a kind that is not read are refused, and the hub is not asked instead."""
    with pytest.raises(DataError, match="no such file"):
        load(MATH500, {"data": str(tmp_path / "none.jsonl")})
    with pytest.raises(DataError, match="expected one of"):
        load(MATH500, {"data": str(tmp_path / "data.xlsx")})


def test_choices_are_the_same_every_time(tmp_path: Path) -> None:
    """Order and gold letter do not change between accesses, seeds or the order of the file."""
    rows = choice_rows(40)
    first = load(GPQA_DIAMOND, {"data": str(write_jsonl(tmp_path / "a.jsonl", rows))})
    random.seed(1)
    random.shuffle(rows)
    second = load(GPQA_DIAMOND, {"data": str(write_jsonl(tmp_path / "b.jsonl", rows))})
    by_id = {row["problem_id"]: row for row in second}
    assert all(by_id[row["problem_id"]] == row for row in first)


def test_gold_letters_spread(tmp_path: Path) -> None:
    """All four letters are gold about equally often, and the letter names the right text."""
    path = write_jsonl(tmp_path / "a.jsonl", choice_rows(400))
    rows = load(GPQA_DIAMOND, {"data": str(path)})
    for raw, row in zip(choice_rows(400), rows, strict=True):
        assert f"({row['answer']}) {raw['Correct Answer']}\n" in row["problem"] + "\n"
    letters = Counter(row["answer"] for row in rows)
    # 100 expected each; five standard deviations of a binomial are 43
    assert set(letters) == set("ABCD")
    assert all(57 < count < 143 for count in letters.values())
    assert {row["answer_kind"] for row in rows} == {"choice"}


def test_choice_order_is_pinned() -> None:
    """The order of one example, worked out by hand from sha256, so that no version moves it."""
    import hashlib

    options = ["red", "green", "blue", "white"]
    by_hand = sorted(options, key=lambda text: hashlib.sha256(f"Which colour?\0{text}".encode()).hexdigest())
    problem, letter = lettered("Which colour?", "red", ["green", "blue", "white"])
    assert problem.splitlines()[2:] == [f"({'ABCD'[i]}) {text}" for i, text in enumerate(by_hand)]
    assert "ABCD"[by_hand.index("red")] == letter


def test_choice_without_options_is_refused(tmp_path: Path) -> None:
    """A row without wrong answers is taken only when its answer is a letter already."""
    path = write_jsonl(tmp_path / "a.jsonl", [{"problem": "Which?\n\n(A) x\n(B) y", "answer": "B"}])
    assert load(GPQA_DIAMOND, {"data": str(path)})[0]["answer"] == "B"
    path = write_jsonl(tmp_path / "b.jsonl", [{"problem": "Which?", "answer": "seven"}])
    with pytest.raises(DataError, match="Incorrect Answer 1"):
        load(GPQA_DIAMOND, {"data": str(path)})


def test_demo_data() -> None:
    """The demo's data set holds its held-out problems, whatever the metadata say; `data` is refused."""
    demo = pytest.importorskip("prm_eval_demo.lm_eval_data")
    assert demo.dataset(version=1.0, n=3)["test"].num_rows >= 200
    with pytest.raises(UsageError, match="makes its own problems"):
        demo.dataset(data="x.jsonl")
