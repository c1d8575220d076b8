"""`prm-eval report`: what the page says of a run, and what it does with folders that are none."""

import base64
import csv
import gzip
import hashlib
import io
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from prm_eval.pages import build_page, read_run
from prm_eval.pages.browser import packed, script_json
from prm_eval.pages.compared import picked_values
from prm_eval.pages.exports import latex, markdown
from prm_eval.pages.parts import Table
from prm_eval.pages.verdict import holm, verdict
from prm_eval.report import label

from .conftest import Done, candidate_rows, write_candidates

Shell = Callable[..., Done]


@pytest.fixture
def made(shell: Shell) -> Shell:
    """A run folder `run` of 24 problems, scored by a model that knows the answer and by one that does not."""
    write_candidates(Path("c.jsonl"), candidate_rows(problems=24))
    done = shell("best-of-n", "--candidates", "c.jsonl", "--plugin", "plugin.py", "--reward-model", "gold",
                 "--reward-model", "fake", "--bootstrap", "200", "--out", "run")  # fmt: skip
    assert done.status == 0, done.err
    return shell


class Reader(HTMLParser):
    """The texts of all cells and notes, every tag's attributes, and the content of scripts by id."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._script: dict[str, str | None] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "script":
            self._script = dict(attrs)
            self.scripts.append((self._script, ""))

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        else:
            self.words.append(data.strip())


def read(path: str | Path) -> Reader:
    reader = Reader()
    reader.feed(Path(path).read_text(encoding="utf-8"))
    return reader


def unpacked(text: str) -> object:
    return json.loads(gzip.decompress(base64.b64decode(json.loads(text))))


def test_every_value_stands_on_the_page(made: Shell) -> None:
    """Every overall value of results.json, with its interval and coverage, is in a table of the page."""
    assert made("report", "run", "--out", "page.html").status == 0
    words = read("page.html").words
    for row in json.loads(Path("run/results.json").read_text())["metrics"]:
        assert f"{row['value']:.3f}" in words
        if row.get("k") == 4 or row["metric"] == "auc":
            assert f"{row['ci'][0]:.3f}–{row['ci'][1]:.3f}" in words
            assert f"{row['coverage']:.1%}" in words
            assert label(row) in words or row["metric"] == "auc"


def test_page_loads_nothing_and_allows_its_own_scripts_only(made: Shell) -> None:
    """No element refers to anything outside; the policy's hashes are those of the page's scripts and sheets."""
    made("report", "run", "--out", "page.html")
    reader, text = read("page.html"), Path("page.html").read_text(encoding="utf-8")
    for tag, name, value in reader.attributes:
        assert name not in ("src", "srcset", "action", "style") and not name.startswith("on"), (tag, name)
        assert name != "href" or (value or "").startswith("#")
    policy = next(
        value or "" for tag, name, value in reader.attributes if name == "content" and "-src" in (value or "")
    )
    assert "unsafe" not in policy and "default-src 'none'" in policy
    scripts = [body for given, body in reader.scripts if given.get("type") is None]
    sheets = re.findall(r"<style>(.*?)</style>", text, re.S)
    assert scripts and sheets
    for body in (*scripts, *sheets):
        assert base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() in policy


def test_the_browser_holds_every_response(made: Shell) -> None:
    """The packed index and blocks give back all responses, their labels, scores and who picked them."""
    made("report", "run", "--out", "page.html")
    scripts = {given.get("id"): body for given, body in read("page.html").scripts}
    index = unpacked(scripts["index"])
    own = index["runs"][0]  # type: ignore[index]
    rows = candidate_rows(problems=24)
    blocks = [unpacked(scripts[f"block-0-{number}"]) for number in range(math.ceil(len(rows) / 50))]
    texts = ["\n\n".join(steps) for block in blocks for steps, _ in block]  # type: ignore[attr-defined]
    assert texts == [row["response"] for row in rows]
    assert [row[2] for row in own["rows"]] == [
        int(str(row["answer"]) in row["response"].split("boxed")[1]) for row in rows
    ]
    assert own["models"] == ["gold", "fake"]
    picks = [json.loads(line) for line in Path("run/selections.jsonl").read_text().splitlines()]
    chosen = sum(len(one["chosen"]) for one in picks)
    assert sum(len(row[5]) for row in own["rows"]) == chosen


def test_same_run_same_bytes(made: Shell) -> None:
    """A page does not depend on when or where it was made."""
    made("report", "run", "--out", "a.html")
    made("report", "run", "--out", "deeper/b.html")
    assert Path("a.html").read_bytes() == Path("deeper/b.html").read_bytes()


def test_picked_values_are_those_of_the_results(made: Shell) -> None:
    """The mean of what each selector chose of all N is its value at k = N, ties shared."""
    results = json.loads(Path("run/results.json").read_text())
    values = picked_values(read_run(Path("run")))
    checked = 0
    for row in results["metrics"]:
        if row.get("k") == 4 and row["metric"] != "pass_at_k":
            assert np.mean(list(values[label(row)].values())) == pytest.approx(row["value"], abs=1e-12)
            checked += 1
    assert checked == 5


def test_max_candidates_is_told(made: Shell) -> None:
    """A page that keeps fewer responses says so on the page and on standard error, and keeps all numbers."""
    done = made("report", "run", "--out", "page.html", "--max-candidates", "7", "--json")
    assert json.loads(done.out) == {
        "out": "page.html", "bytes": Path("page.html").stat().st_size, "candidates": 96, "candidates_shown": 7,
    }  # fmt: skip
    assert "7 of 96" in done.err
    assert any("the first 7 of 96 can be browsed" in words for words in read("page.html").words)


def test_no_verdict_on_thin_evidence(shell: Shell) -> None:
    """Three problems hold too few right and wrong responses to name a winner; twenty-four do not."""
    write_candidates(Path("c.jsonl"), candidate_rows(problems=3))
    shell(
        "best-of-n",
        "--candidates",
        "c.jsonl",
        "--plugin",
        "plugin.py",
        "--reward-model",
        "gold",
        "--out",
        "run",
    )
    found = verdict(read_run(Path("run")))
    assert found.kind == "withheld" and "only 6 right responses" in found.words


def test_a_perfect_model_really_wins(made: Shell) -> None:
    """Where one model knows the answer and the vote is no better than chance, the difference is called real."""
    found = verdict(read_run(Path("run")))
    assert found.kind in ("real", "open")
    assert "gold" in found.words.split(" is first with 1.000")[0]


def test_holm_by_hand() -> None:
    """Holm's step-down: p(1) times 3, p(2) times 2, p(3) times 1, never falling, at most 1."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_runs_on_other_problems_are_compared_on_the_common_ones(shell: Shell) -> None:
    """Two runs that share 20 of 28 problems are compared on those 20, and the page says so."""
    rows = candidate_rows(problems=24)
    for name, kept in (("one", range(24)), ("two", range(4, 24))):
        mine = [row for row in rows if int(row["problem_id"][1:]) in kept]
        if name == "two":
            mine += [{**row, "problem_id": f"q{row['problem_id']}"} for row in rows[:16]]
        write_candidates(Path(f"{name}.jsonl"), mine)
        shell("best-of-n", "--candidates", f"{name}.jsonl", "--plugin", "plugin.py", "--reward-model", "gold",
              "--bootstrap", "200", "--out", name)  # fmt: skip
    page = build_page([read_run(Path("one")), read_run(Path("two"))]).html
    assert "one and two share 20 problems; the other 8 of either are left out of their comparison." in page
    Path("p.html").write_text(page, encoding="utf-8")
    assert "+0.000 to +0.000" in read("p.html").words  # the same responses, the same picks


def test_run_without_scores(shell: Shell) -> None:
    """A run with no reward model has curves and responses, and the page says that there are no scores."""
    shell("best-of-n", "--candidates", "c.jsonl", "--strategy", "majority", "--out", "run")
    assert shell("report", "run").status == 0
    assert any("the run has no scores" in words for words in read("run/report.html").words)


def test_run_with_one_problem(shell: Shell) -> None:
    """One problem makes a page, without a verdict."""
    write_candidates(Path("c.jsonl"), candidate_rows(problems=1))
    shell(
        "best-of-n",
        "--candidates",
        "c.jsonl",
        "--plugin",
        "plugin.py",
        "--reward-model",
        "fake",
        "--out",
        "run",
    )
    assert shell("report", "run").status == 0
    assert "no verdict" in read("run/report.html").words


def test_select_save_makes_a_run_folder(shell: Shell) -> None:
    """Recorded scores become a run folder whose page has the numbers that select printed."""
    rows = [{"problem_id": row["problem_id"], "index": row["index"], "model": "recorded", "score": row["index"] / 4}
            for row in candidate_rows()]  # fmt: skip
    Path("s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = shell("select", "--candidates", "c.jsonl", "--scores", "s.jsonl", "--save", "kept", "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["metrics"] == json.loads(Path("kept/results.json").read_text())["metrics"]
    assert shell("report", "kept").status == 0
    assert "recorded: scores of right and wrong responses" in read("kept/report.html").words


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: None, "there is no such folder"),
        (lambda folder: folder.mkdir(), "holds no results.json"),
        (lambda folder: _write(folder, "not json"), "cannot be read as JSON"),
        (lambda folder: _write(folder, "[1]"), "expected a JSON object"),
        (lambda folder: _write(folder, '{"schema": "prm-eval/results/2"}'), "a newer prm-eval wrote it"),
        (lambda folder: _write(folder, '{"schema": "prm-eval/results/0"}'), "an older prm-eval wrote it"),
        (lambda folder: _write(folder, '{"results": {}}'), "not the results of a run"),
        (lambda folder: _write(folder, '{"schema": "prm-eval/results/1"}'), "field 'metrics' is missing"),
    ],
)
def test_no_run(shell: Shell, spoil: Callable[[Path], None], said: str) -> None:
    """A folder that is no run, or one of another schema, is one line that says why, and exit 2."""
    spoil(Path("no"))
    done = shell("report", "no")
    assert done.status == 2
    assert said in done.err and len(done.err.strip().splitlines()) == 1
    assert "Traceback" not in done.err


def test_export_holds_the_values(made: Shell) -> None:
    """CSV, Markdown and LaTeX hold every value at k = 4 with its interval, in as many columns as the head."""
    rows = [r for r in json.loads(Path("run/results.json").read_text())["metrics"] if r.get("k") == 4]
    given = list(csv.DictReader(io.StringIO(made("report", "run", "--format", "csv").out)))
    shown = {row["selector"]: (row["k=4"], row["95 % interval"]) for row in given}
    for row in rows:
        assert shown[label(row)] == (f"{row['value']:.3f}", f"{row['ci'][0]:.3f}–{row['ci'][1]:.3f}")
    pipes = made("report", "run", "--format", "markdown").out.splitlines()
    assert len(pipes) == len(given) + 2 and len({line.count(" | ") for line in pipes}) == 1
    tabular = made("report", "run", "--format", "latex").out
    assert tabular.count(r"\\") == len(given) + 1 and r"best\_of\_n [gold]" in tabular
    assert r"100.0\%" in tabular and not Path("run/report.html").exists()


def test_export_escapes() -> None:
    """What LaTeX or Markdown would read as markup is text in the tables."""
    table = Table("t", ["name", "value"], [["a_b|c&d%$#{}~^\\", "1"]])
    assert r"a\_b|c\&d\%\$\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{} & 1" in latex(table)
    assert r"| a\_b\|c&d%$#{}~^\\ | 1 |" in markdown(table)


def test_judges_and_steps_stand_on_the_page(shell: Shell) -> None:
    """A judge run and a step run share a page: every value stands there, and neither gets a verdict on so little."""
    pairs = [
        {"id": f"q{i}", "subset": f"s{i % 2}", "prompt": "p", "chosen": f"a{i}", "rejected": f"b{i}"}
        for i in range(6)
    ]
    labels = [
        {"id": f"l{i}", "subset": f"t{i % 2}", "problem": "p", "steps": ["x", "y"], "label": i % 3 - 1}
        for i in range(6)
    ]
    sides = [
        {"problem_id": f"q{i}", "index": j, "model": "m", "score": (i + 2 * j) % 5 / 5}
        for i in range(6)
        for j in (0, 1)
    ]
    steps = [
        {"problem_id": f"l{i}", "index": 0, "model": "m", "score": 0.3, "steps": [i / 6, 0.7]}
        for i in range(6)
    ]
    for name, rows in (("pairs", pairs), ("labels", labels), ("sides", sides), ("steps", steps)):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert (
        shell(
            "judge", "--pairs", "pairs.jsonl", "--scores", "sides.jsonl", "--bootstrap", "100", "--out", "j"
        ).status
        == 0
    )
    assert (
        shell(
            "stepwise",
            "--labels",
            "labels.jsonl",
            "--scores",
            "steps.jsonl",
            "--bootstrap",
            "100",
            "--out",
            "s",
        ).status
        == 0
    )
    assert shell("report", "j", "s", "--out", "page.html").status == 0
    words = read("page.html").words
    for run in ("j", "s"):
        for row in json.loads(Path(run, "results.json").read_text())["metrics"]:
            assert row["value"] is None or f"{row['value']:.3f}" in words, row
    assert words.count("no verdict") == 2
    for run, n in (("j", "n_pairs"), ("s", "n_solutions")):
        given = json.loads(shell("report", run, "--format", "lm-eval").out)
        rows = json.loads(Path(run, "results.json").read_text())["metrics"]
        numbers = [
            value for task in given["results"].values() for name, value in task.items()
            if name.endswith(",prm_eval") and "_stderr," not in name
        ]  # fmt: skip
        assert sorted(map(str, numbers)) == sorted(str(row["value"]) for row in rows)
        assert (
            given["model_name"]
            and max(task["sample_len"] for task in given["results"].values()) == rows[0][n]
        )
    assert "m: reliability of step scores" in words
    assert "Pairs, labelled steps" in words


def test_export_to_a_file(made: Shell) -> None:
    """--out takes what standard output would have been, and one line says so."""
    shown = made("report", "run", "--format", "csv").out
    done = made("report", "run", "--format", "csv", "--out", "deep/t.csv")
    assert (done.status, done.out) == (0, "") and "written: deep/t.csv" in done.err
    assert Path("deep/t.csv").read_text(encoding="utf-8") == shown


def test_parquet_holds_every_score(shell: Shell) -> None:
    """Row by row what scores.jsonl and grades.jsonl say, to the last bit, of two runs with their versions."""
    from pyarrow import parquet

    for name in ("one", "two"):
        options = ["--plugin", "plugin.py", "--reward-model", "gold", "--reward-model", "fake"]
        shell("best-of-n", "--candidates", "c.jsonl", *options, "--out", name)
    scores = Path("two/scores.jsonl").read_text().splitlines()
    third = json.dumps(
        json.loads(scores[3]) | {"score": None, "steps": None, "unscored": "too long: 9 tokens"}
    )
    odd = json.dumps(json.loads(scores[30]) | {"score": 0.1 + 0.2, "steps": [1e-308, 1 / 3, -0.0]})
    Path("two/scores.jsonl").write_text(
        "\n".join([*scores[:3], third, *scores[4:30], odd, *scores[31:-1]]) + "\n"
    )
    assert shell("report", "one", "two", "--format", "parquet", "--out", "s.parquet").status == 0
    table = parquet.read_table("s.parquet")
    rows = table.to_pylist()
    assert table.schema.metadata[b"schema"] == b"prm-eval/item-scores/1"
    assert [row["run"] for row in rows] == ["one"] * 48 + ["two"] * 48
    manifest = json.loads(Path("two/manifest.json").read_text())
    for run, own in (("one", rows[:48]), ("two", rows[48:])):
        lines = [json.loads(line) for line in Path(run, "scores.jsonl").read_text().splitlines()]
        grades = {(g["problem_id"], g["index"]): g
                  for g in map(json.loads, Path(run, "grades.jsonl").read_text().splitlines())}  # fmt: skip
        for row, line in zip(own, lines, strict=run == "one"):
            assert {name: row[name] for name in line} == line
            grade = grades[row["problem_id"], row["index"]]
            assert (row["correct"], row["prediction"]) == (grade["correct"], grade["answer"])
            assert row["gold"] == str(2 * int(row["problem_id"][1:]))
            assert dict(row["versions"]) == manifest["versions"]
    last = rows[-1]
    assert (last["model"], last["score"], last["unscored"]) == ("fake", None, "no line in the scores file")
    shell("report", "one", "two", "--format", "parquet", "--out", "again.parquet")
    assert Path("again.parquet").read_bytes() == Path("s.parquet").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["run", "--format", "parquet"], "name it with --out FILE.parquet"),
        (["run", "run", "--format", "lm-eval"], "takes one RUN, and 2 were given"),
        (["run", "--format", "csv", "--title", "x"], "--title is of the page"),
        (["run", "--format", "csv", "--max-candidates", "3"], "--max-candidates is of the page"),
        (["run", "--format", "lm-eval", "--json"], "--json is of the page"),
        (["bare", "--format", "parquet", "--out", "x.parquet"], "bare holds no scores"),
        (["games", "--format", "parquet", "--out", "x.parquet"], "games is a run of judge"),
    ],
)
def test_what_cannot_be_exported(made: Shell, options: list[str], said: str) -> None:
    """One line, exit 2, and no file."""
    if options[0] == "bare":
        made("best-of-n", "--candidates", "c.jsonl", "--strategy", "majority", "--out", "bare")
    if options[0] == "games":
        made("judge", "--candidates", "c.jsonl", "--judge", "length", "--bootstrap", "100", "--out", "games")
    done = made("report", *options)
    assert done.status == 2 and said in done.err and len(done.err.strip().splitlines()) == 1
    assert not Path("x.parquet").exists()


def test_lm_eval_export_says_that_the_model_is_not_known(made: Shell) -> None:
    """Stored responses name no model: the file's name stands for it, with a notice; the JSON is alone on stdout."""
    done = made("report", "run", "--format", "lm-eval")
    assert json.loads(done.out)["model_name"] == "c"
    assert "does not say which model wrote the responses: model_name is 'c'" in done.err


def test_json_in_a_script_cannot_end_it() -> None:
    """No sign that HTML or an old script parser knows is left, and the JSON is the same value."""
    hostile = {"</script><!--": "<script>\u2028\u2029&amp;]]>", "x": ["<", ">", "&"]}
    text = str(script_json(hostile))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == hostile
    assert unpacked(str(packed(hostile))) == hostile


def _write(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "results.json").write_text(text)


def test_levels_and_subsets_have_their_tables(shell: Shell) -> None:
    """Accuracy and AUC by `meta.level`, by hand, in natural order; subsets as in results.json."""
    rows = candidate_rows(problems=24)
    for row in rows:
        number = int(str(row["problem_id"])[1:])
        row |= {
            "meta": {"level": f"Level {10 if number % 3 else 2}"},
            "subset": "odd" if number % 2 else "even",
        }
    write_candidates(Path("c.jsonl"), rows)
    done = shell("best-of-n", "--candidates", "c.jsonl", "--plugin", "plugin.py", "--reward-model", "gold",
                 "--bootstrap", "200", "--out", "run")  # fmt: skip
    assert done.status == 0 and shell("report", "run").status == 0
    words = [word for word in read("run/report.html").words if word]
    at = words.index("Accuracy by level")
    assert words[at : at + 4] == ["Accuracy by level", "selector", "Level 2 (8)", "Level 10 (16)"]
    best = words.index("best_of_n [gold]", at)
    assert words[best + 1 : best + 3] == ["1.000 (1.000–1.000)", "1.000 (1.000–1.000)"]
    mean = words.index("mean", at)
    assert [word.split()[0] for word in words[mean + 1 : mean + 3]] == ["0.500", "0.500"]
    at = words.index("AUC by level")
    assert words[at + 4 : at + 7] == ["gold", "1.000 (32)", "1.000 (64)"]
    assert "AUC by subset" in words and "Accuracy by subset, at the largest k" in words


def test_run_with_nothing_graded(shell: Shell) -> None:
    """Pairs that nobody labelled have win rates and no accuracy: the page says so and gives no verdict."""
    pairs = [{"id": f"q{i}", "prompt": "p", "first": "a", "second": f"b{i}", "label": None} for i in range(4)]
    sides = [
        {"problem_id": f"q{i}", "index": j, "model": "m", "score": i + j} for i in range(4) for j in (0, 1)
    ]
    for name, rows in (("pairs", pairs), ("sides", sides)):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = shell(
        "judge", "--pairs", "pairs.jsonl", "--scores", "sides.jsonl", "--bootstrap", "100", "--out", "j"
    )
    assert done.status == 0, done.err
    assert shell("report", "j").status == 0
    words = read("j/report.html").words
    assert "win_rate" in words and "accuracy" not in words and "no verdict" in words


def test_responses_without_a_label(shell: Shell) -> None:
    """Not one gold answer: nothing can be measured, in one line; a folder without a number is no page."""
    write_candidates(Path("c.jsonl"), [{**row, "answer": None} for row in candidate_rows(problems=3)])
    done = shell(
        "best-of-n",
        "--candidates",
        "c.jsonl",
        "--plugin",
        "plugin.py",
        "--reward-model",
        "fake",
        "--out",
        "r",
    )
    assert done.status == 2 and "there is nothing to measure" in done.err
    done = shell("report", "r")
    assert done.status == 2 and "r is no run folder: it holds no results.json" in done.err


@pytest.mark.parametrize("spoiled", ["grades", "scores", "selections"])
def test_a_run_of_which_a_file_is_gone(made: Shell, spoiled: str) -> None:
    """The page is made of what is left, without a number that would need the rest."""
    Path(f"run/{spoiled}.jsonl").unlink()
    assert made("report", "run").status == 0
    words = " ".join(read("run/report.html").words)
    if spoiled == "grades":
        assert "holds no grades.jsonl, so the evidence cannot be weighed" in words
    if spoiled == "scores":
        assert "the run has no scores" in words


def test_figures_beside_the_page(made: Shell, tmp_path: Path) -> None:
    """--figures writes what `prm-eval figures` does, byte for byte, and with --format it is refused."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'prm-eval[figures]'")
    assert made("report", "run", "--figures", "beside").status == 0
    assert made("figures", "run", "--out", "apart").status == 0
    names = sorted(path.name for path in (tmp_path / "apart").iterdir())
    assert "curves.svg" in names and names == sorted(path.name for path in (tmp_path / "beside").iterdir())
    assert all(
        (tmp_path / "beside" / name).read_bytes() == (tmp_path / "apart" / name).read_bytes()
        for name in names
    )
    done = made("report", "run", "--figures", "beside", "--format", "csv")
    assert done.status == 2 and "--figures is of the page" in done.err
