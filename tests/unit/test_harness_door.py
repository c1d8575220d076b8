"""Best-of-N inside lm-eval: the numbers, and every way to lose or spoil the samples."""

import json
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness_support import SHARED, Scripted, evaluate, problems, write_jsonl

from prm_eval import best_of_n as job
from prm_eval.candidates import read_candidates
from prm_eval.errors import BadOption, PluginError, UnknownName, UsageError
from prm_eval.grading import grade_candidates
from prm_eval.harness.door import BestOfN, process_results
from prm_eval.harness.measure import Outcome
from prm_eval.harness.replay import Replay
from prm_eval.harness.samples import read_samples
from prm_eval.harness.tasks import make_stub
from prm_eval.hooks import hookimpl
from prm_eval.plugins import Owner, installed
from prm_eval.scoring import score_candidates
from prm_eval.selection import ScoreSet
from prm_eval.selection import evaluate as measured
from prm_eval.testing import FakeRewardModel
from prm_eval.types import Candidate, Score, Unscored

LOADED: list[str] = []


class TooFew:
    """A reward model that breaks its contract."""

    def score(self, candidates: Sequence[Candidate]) -> list[Score | Unscored]:
        return []


class Plugin:
    """Reward models of these tests, offered as any plugin offers its own."""

    @hookimpl
    def prm_eval_reward_models(self) -> Mapping[str, Callable[..., Any]]:
        return {"door-steps": self.steps, "door-whole": self.whole, "door-too-few": TooFew}

    def steps(self, size: int = 1) -> FakeRewardModel:
        """A process reward model."""
        LOADED.append(f"steps {size}")
        return FakeRewardModel()

    def whole(self) -> FakeRewardModel:
        """An outcome reward model."""
        LOADED.append("whole")
        return FakeRewardModel(steps=False)


@pytest.fixture(scope="module", autouse=True)
def offered() -> None:
    """The tests' plugin, known to the process as if it were installed."""
    installed().register(Plugin(), Owner("harness-door-tests", "tests", "0"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Runs go to ./prm_eval_runs of an empty folder; no variable of the machine interferes."""
    for name in ("PRM_EVAL_REWARD_MODELS", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path  # type: ignore[return-value]


def answers(doc: Mapping[str, Any], index: int) -> str:
    """Three of four right, in steps that differ by index."""
    value = int(doc["answer"]) + (index % 4 == 3)
    return f"Step one {index}.\n\nStep two, so \\boxed{{{value}}}"


def rows(count: int, n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Random candidates: right, wrong, without an answer, empty, and doubled texts."""
    rng = random.Random(seed)
    found = []
    for doc in problems(count):
        for index in range(n):
            value = int(doc["answer"]) + rng.choice([0, 0, 1, 2])
            text = f"Think {rng.randint(0, 5)}.\n\nSo \\boxed{{{value}}}"
            found.append({**doc, "index": index, "response": rng.choice([text, text, text, "No idea.", ""])})
    return found


def stub(folder: Path, n: int, models: Sequence[str], strategies: Sequence[str] = (), aggregations: Sequence[str] = (),
         count: int = 6) -> Path:  # fmt: skip
    """A task over additions with these options."""
    data = write_jsonl(folder / "data.jsonl", problems(count))
    path = folder / "stub.yaml"
    path.write_text(make_stub("math500", n, models, strategies, aggregations, str(data)), encoding="utf-8")
    return path


def numbers(results: Mapping[str, Any]) -> dict[str, float]:
    """metric -> value of the one task."""
    (found,) = results["results"].values()
    return {
        key.partition(",")[0]: value
        for key, value in found.items()
        if key.endswith(",prm_eval") and "_stderr" not in key
    }


def run_folder(folder: Path) -> Path:
    """The one run that was made."""
    (found,) = folder.glob("prm_eval_runs/*/*")
    return found


# ---- the numbers ------------------------------------------------------------------------------


def expected(candidates: Sequence[Candidate], references: Sequence[str], strategies: Sequence[str],
             aggregations: Sequence[str]) -> dict[str, float]:  # fmt: skip
    """The same numbers by the road without lm-eval, under the names that lm-eval shows."""
    registry = installed()
    sets = []
    for reference in references:
        loaded = registry.reward_model(reference)
        found = score_candidates(loaded.obj, candidates, name=loaded.name, identity=reference)
        sets.append(ScoreSet(loaded.name, found.results, found.default_aggregation))
    selectors = job.resolve_selectors(registry, strategies, aggregations, None, 0, 100)
    grades = grade_candidates(candidates).grades
    result = measured(
        candidates,
        grades,
        sets,
        strategies=selectors.strategies,
        aggregations=selectors.aggregations,
        bootstrap=100,
    )
    short = {"majority": "maj@", "best_of_n": "best_of_", "pass_at_k": "pass@", "mean": "mean@"}
    named = {}
    for row in result["metrics"]:
        if row["metric"] != "auc":
            name = short.get(row["metric"], row["metric"] + "@") + str(row.get("k", 1))
            model = ":".join(row[key] for key in ("reward_model", "aggregation") if row.get(key))
            named[(name + (f"[{model}]" if model else "")).replace(",", ";")] = row["value"]
    return named


def test_same_numbers_as_without_lm_eval(folder: Path) -> None:
    """Two reward models, two aggregations, all k: replayed through lm-eval equals `selection.evaluate`."""
    path = write_jsonl(folder / "candidates.jsonl", rows(6, 8))
    references = ["door-steps", "door-steps:size=2", "door-whole"]
    strategies = ["best_of_n", "weighted", "majority", "first"]
    task = stub(folder, 8, references[:2], strategies, ["min", "product"])
    found = numbers(evaluate(Replay(str(path)), task))
    wanted = expected(read_candidates(path), references[:2], strategies, ["min", "product"])
    assert found == pytest.approx(wanted, abs=1e-12)
    assert {
        "mean@1",
        "pass@8",
        "maj@4",
        "best_of_8[door-steps:min]",
        "weighted@2[door-steps:size=2:product]",
    } <= set(found)


def test_numbers_by_hand(folder: Path) -> None:
    """Three of four right each: mean 3/4, pass@1 3/4, pass@2 1, majority of four 1."""
    task = stub(folder, 4, [])
    found = numbers(evaluate(Scripted(answers), task))
    assert found["mean@1"] == found["pass@1"] == 0.75
    assert found["pass@2"] == found["pass@4"] == found["maj@4"] == 1.0
    assert not [name for name in found if name.startswith(("best_of", "weighted"))]


def test_results_file_has_the_same_numbers(folder: Path) -> None:
    """The run folder's results.json agrees with what lm-eval prints, and everything else is there."""
    found = numbers(
        evaluate(Replay(str(write_jsonl(folder / "c.jsonl", rows(6, 4)))), stub(folder, 4, ["door-steps"]))
    )
    run = run_folder(folder)
    best = [
        m for m in json.loads((run / "results.json").read_text())["metrics"] if m["metric"] == "best_of_n"
    ]
    (name,) = {n.partition("[")[2] for n in found if n.startswith("best_of")}
    assert {f"best_of_{m['k']}[{name}": m["value"] for m in best} == pytest.approx(
        {n: v for n, v in found.items() if n.startswith("best_of")}
    )
    for file in (
        "candidates.jsonl",
        "scores.jsonl",
        "grades.jsonl",
        "selections.jsonl",
        "manifest.json",
        "store.jsonl",
    ):
        assert (run / file).is_file()


def test_labels_and_steps_travel_with_a_replay(folder: Path) -> None:
    """Given labels and given steps of stored candidates count as they do without lm-eval."""
    stored = [
        {**row, "correct": row["index"] == 1, "steps": ["one", "two"], "prediction": "7"}
        for row in rows(3, 2)
    ]
    found = numbers(
        evaluate(
            Replay(str(write_jsonl(folder / "c.jsonl", stored))), stub(folder, 2, ["door-steps"], count=3)
        )
    )
    assert found["mean@1"] == 0.5
    assert found["pass@2"] == 1.0
    kept = read_candidates(run_folder(folder) / "candidates.jsonl")
    assert {(c.correct, c.prediction, len(c.steps or ())) for c in kept} == {(True, "7", 2), (False, "7", 2)}


@pytest.mark.slow
def test_recorded_responses(folder: Path) -> None:
    """The recorded MATH-500 responses give the same numbers through lm-eval and without it."""
    source = SHARED / "math500-candidates.jsonl"
    if not source.is_file():
        pytest.skip("no ../shared/data/math500-candidates.jsonl")
    path = folder / "stub.yaml"
    path.write_text(
        make_stub("math500", 3, ["door-steps"], [], [], str(SHARED / "math500.jsonl")), encoding="utf-8"
    )
    found = numbers(evaluate(Replay(str(source)), path))
    assert found == pytest.approx(expected(read_candidates(source), ["door-steps"], [], []), abs=1e-12)


def test_unsorted_samples(folder: Path) -> None:
    """With unsorted --samples every number stays with its problem, whatever doc_id says."""
    path = write_jsonl(folder / "c.jsonl", rows(6, 4))
    task = stub(folder, 4, ["door-steps"])

    def by_problem(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        (samples,) = results["samples"].values()
        return {s["doc"]["problem_id"]: {name: s[name] for name in s["metrics"]} for s in samples}

    plain = by_problem(evaluate(Replay(str(path)), task))
    swapped = by_problem(evaluate(Replay(str(path)), task, samples={"math500_bon_4": [5, 2, 3]}))
    assert swapped == {name: plain[name] for name in ("sum/5", "sum/2", "sum/3")}


def test_models_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PRM_EVAL_REWARD_MODELS holds references, whose commas are their own; the YAML's win over it."""
    monkeypatch.setenv("PRM_EVAL_REWARD_MODELS", "door-whole; door-steps:size=3")
    found = numbers(evaluate(Scripted(answers), stub(folder, 4, [])))
    models = {name.partition("[")[2].rstrip("]") for name in found if name.startswith("best_of_4")}
    assert {model.partition(":")[0] for model in models} == {"door-whole", "door-steps"}
    found = numbers(evaluate(Scripted(answers), stub(folder, 4, ["door-whole"])))
    assert not [name for name in found if "door-steps" in name]


def test_reward_model_is_loaded_once(folder: Path) -> None:
    """lm-eval makes every filter anew; the reward model is not loaded again."""
    LOADED.clear()
    task = stub(folder, 4, ["door-steps:size=71"])
    for _ in range(2):
        evaluate(Scripted(answers), task)
    assert LOADED == ["steps 71"]


def test_no_comma_in_metric_names(folder: Path) -> None:
    """lm-eval splits `metric,filter` at the first comma, so options of a reference show a semicolon."""
    from lm_eval.utils import make_table

    results = evaluate(Scripted(answers), stub(folder, 2, ["door-steps:size=4"]))
    outcome = BestOfN(task="t", n=2, reward_models=["door-steps:size=4"]).apply([["a", "b"]], problems(1))[0][
        0
    ]
    assert not [name for name in outcome.metrics if "," in name]
    assert "best_of_2[door-steps:size=4" in make_table(results)


def test_ungraded_documents_have_no_numbers(folder: Path) -> None:
    """A document without gold answer counts for nothing, here as in `evaluate`, and is no zero."""
    docs = problems(2)
    docs[1]["answer"] = None
    one, two = BestOfN(task="t", n=2).apply([[answers(docs[0], 0)] * 2, ["x", "y"]], docs)
    assert process_results(docs[0], one)["mean@1"] == 1.0
    assert process_results(docs[1], two) == {}
    assert two[0].correct == [None, None]


def test_as_a_metric(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The registered metric `prm_eval` gives the same numbers, and lm-eval knows how to average them."""
    path = write_jsonl(folder / "c.jsonl", rows(6, 4))
    task = stub(folder, 4, ["door-steps"])
    plain = numbers(evaluate(Replay(str(path)), task))
    assert "No aggregation function defined" in caplog.text
    caplog.clear()
    metric = "process_results: null\nmetric_list:\n- metric: prm_eval\n  aggregation: mean\n  higher_is_better: true\n"
    task.write_text(task.read_text(encoding="utf-8") + metric, encoding="utf-8")
    assert numbers(evaluate(Replay(str(path)), task)) == plain
    assert "No aggregation function defined" not in caplog.text


def test_unwrapping(folder: Path) -> None:
    """The result may be one list deeper, as the coming lm-eval makes it; a missing filter is told."""
    outcome = Outcome({"mean@1": 0.5}, {}, [], [])
    assert process_results({}, [[[outcome]]]) == process_results({}, [outcome]) == {"mean@1": 0.5}
    with pytest.raises(UsageError, match="needs the filter"):
        process_results({}, ["text"])


# ---- nothing is lost --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "error"), [(["no-such-model"], UnknownName), (["door-too-few"], PluginError)]
)
def test_saved_before_scored(
    folder: Path, caplog: pytest.LogCaptureFixture, models: list[str], error: type[Exception]
) -> None:
    """A reward model that fails costs no sample: candidates.jsonl is there and the log says where."""
    with pytest.raises(error):
        evaluate(Scripted(answers), stub(folder, 4, models))
    saved = run_folder(folder) / "candidates.jsonl"
    assert [c.text for c in read_candidates(saved)] == [
        answers(doc, k) for doc in problems(6) for k in range(4)
    ]
    assert f"prm-eval best-of-n --candidates {saved.relative_to(folder)}" in caplog.text


@pytest.mark.parametrize(
    "wrong", [{"nn": 4}, {"n": "4"}, {"n": 0}, {"reward_models": 3}, {"question": "{{ nope }}"}]
)
def test_saved_before_options_are_read(folder: Path, wrong: dict[str, Any]) -> None:
    """Even an option that is wrong costs no sample: what was generated can be read back."""
    with pytest.raises((BadOption, UsageError)):
        BestOfN(task="t", **wrong).apply([["a\u2028", "b"], ["c", "d"]], problems(2))
    found = read_samples([run_folder(folder) / "responses.jsonl"])
    assert [(c.problem.id, c.text) for c in found] == [
        ("sum/0", "a\u2028"),
        ("sum/0", "b"),
        ("sum/1", "c"),
        ("sum/1", "d"),
    ]


def test_fewer_than_n(folder: Path) -> None:
    """n larger than repeats is an error that names both, and the samples are kept."""
    with pytest.raises(UsageError, match=r"n is 4, but 1 documents have fewer responses \(the fewest 3\)"):
        BestOfN(task="t", n=4).apply([["a"] * 4, ["b"] * 3], problems(2))
    assert len(read_samples([run_folder(folder) / "responses.jsonl"])) == 7


def test_two_documents_of_one_id(folder: Path) -> None:
    """Documents that cannot be told apart are refused with a way out."""
    with pytest.raises(UsageError, match="set problem_id"):
        BestOfN(task="t", n=1).apply([["a"], ["b"]], problems(1) * 2)


def test_runs_do_not_meet(folder: Path) -> None:
    """Two runs within one second get two folders."""
    for _ in range(2):
        BestOfN(task="t", n=1).apply([["a"]], problems(1))
    assert len(list(folder.glob("prm_eval_runs/t/*/results.json"))) == 2


def test_out_is_a_parent(folder: Path) -> None:
    """`out` holds one folder per run."""
    BestOfN(task="t", n=1, out=str(folder / "mine")).apply([["a"]], problems(1))
    assert len(list(folder.glob("mine/*/results.json"))) == 1


# ---- traps of lm-eval -------------------------------------------------------------------------


class SecondRank(Scripted):
    """Rank 1 of 2 with two of five documents: lm-eval pads it with one more request."""

    rank, world_size = 1, 2

    def all_gather(self, tensor: Any) -> Any:
        import torch

        return torch.tensor([3, 2])

    def gather_object(self, obj: Any, dst: int = 0) -> None:
        return None


def test_padded_rank(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The eight responses that a padded rank collects for its last document are four again."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    model = SecondRank(answers)
    evaluate(model, stub(folder, 4, ["door-steps"], count=5))
    assert model.batches == [12]  # 2 documents and one of padding, four times
    run = run_folder(folder)
    kept = read_candidates(run / "candidates.jsonl")
    assert [c.key for c in kept] == [(f"sum/{i}", k) for i in (1, 3) for k in range(4)]
    assert run.name.endswith("-rank1")


def test_surplus_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """repeats above n, which is no padding, is not cut in silence."""
    BestOfN(task="t", n=2).apply([["a", "b", "c"]] * 2, problems(2))
    assert "gave more responses, which are not used" in caplog.text


def test_sample_log_is_whole_and_small(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A lone surrogate, which ends lm-eval's own log, is mended; U+2028 stays; responses stand once."""
    from lm_eval.loggers import EvaluationTracker

    texts = ["a \ud800 surrogate", "a\u2028line", "\ud835\udc00 pair", "long " * 200]
    results = evaluate(
        Scripted(lambda doc, k: f"{texts[k]} \\boxed{{{doc['answer']}}}"), stub(folder, 4, ["door-steps"])
    )
    assert "12 responses hold surrogates" in caplog.text
    tracker = EvaluationTracker(output_path=str(folder / "out"))
    tracker.save_results_aggregated(results={"config": {}, "results": {}}, samples=results["samples"])
    (task,) = results["samples"]
    tracker.save_results_samples(task_name=task, samples=results["samples"][task])
    (path,) = (folder / "out").rglob("samples_*.jsonl")
    found = read_samples([path])
    assert len(found) == 24
    assert found[0].text.startswith("a \ufffd surrogate")
    assert found[1].text.startswith("a\u2028line")
    assert found[2].text.startswith("\U0001d400 pair")
    with path.open(encoding="utf-8") as handle:
        lines = [json.loads(line) for line in handle]
    assert all("long" not in str(line["filtered_resps"]) for line in lines)
    assert json.loads(lines[0]["filtered_resps"][0][0])["correct"] == [True] * 4


def test_identical_samples(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """N equal samples for most problems raise a warning."""
    BestOfN(task="t", n=3).apply([["same"] * 3] * 3 + [["a", "b", "c"]], problems(4))
    assert "3 of 4 problems (75.0%) have identical responses only" in caplog.text


def test_generation_twin_loads_no_reward_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--predict_only with the twin runs no filter of ours, although reward models are named."""
    monkeypatch.setenv("PRM_EVAL_REWARD_MODELS", "door-steps:size=99")
    LOADED.clear()
    data = write_jsonl(folder / "data.jsonl", problems(2))
    evaluate(Scripted(answers), "math500_gen", predict_only=True, metadata={"data": str(data)})
    assert LOADED == []
    assert not (folder / "prm_eval_runs").exists()


def test_generation_twin_wants_its_samples_logged(folder: Path) -> None:
    """Without --log_samples the twin is refused before it generates what nobody would see."""
    data = write_jsonl(folder / "data.jsonl", problems(2))
    model = Scripted(answers)
    with pytest.raises(ValueError, match="log_samples must be True"):
        evaluate(model, "math500_gen", metadata={"data": str(data)}, log_samples=False)
    assert model.batches == []


def test_use_cache_does_not_collapse_repeats(folder: Path) -> None:
    """With lm-eval's response cache our tasks' samples stay different, in the second run as well.

    The cache has no repeat index and is bypassed only for a literal `do_sample: true`.
    """
    pytest.importorskip("sqlitedict")
    from lm_eval.api.model import CachingLM

    class Cached(Scripted):
        def generate_until(self, requests: Any) -> list[str]:
            found = super().generate_until(requests)
            for request, text in zip(requests, found, strict=True):
                self.cache_hook.add_partial("generate_until", request.args, text)
            return found

    def distinct(sampling: Mapping[str, Any] | None = None) -> int:
        model = CachingLM(Cached(answers), str(folder / f"cache{bool(sampling)}.db"))
        results = evaluate(model, stub(folder, 4, []), gen_kwargs=sampling, limit=1)
        return len(set(results["samples"]["math500_bon_4"][0]["resps"][0]))

    assert [distinct(), distinct()] == [4, 4]
    # the trap is real: without the literal the second run repeats one answer
    assert [distinct({"do_sample": None}), distinct({"do_sample": None})] == [4, 1]


def test_choices_are_drawn_once(folder: Path) -> None:
    """A model that answers with the letter it saw in the prompt is graded by that very letter."""
    questions = [
        {"Question": f"Which follows {i}?", "Correct Answer": f"{i + 1}", "Incorrect Answer 1": f"{i + 5}",
         "Incorrect Answer 2": f"{i + 6}", "Incorrect Answer 3": f"{i + 7}", "Record ID": f"r{i}"}
        for i in range(12)
    ]  # fmt: skip
    data = write_jsonl(folder / "gpqa.jsonl", questions)

    class Oracle(Scripted):
        def generate_until(self, requests: Any) -> list[str]:
            self.batches.append(len(requests))
            return [self.pick(request.args[0]) for request in requests]

        def pick(self, prompt: str) -> str:
            number = int(prompt.partition("follows ")[2].partition("?")[0])
            line = next(line for line in prompt.splitlines() if line.endswith(f") {number + 1}"))
            return f"I count one up, so \\boxed{{{line[1]}}}"

    path = folder / "stub.yaml"
    path.write_text(make_stub("gpqa_diamond", 2, [], [], [], str(data)), encoding="utf-8")
    assert numbers(evaluate(Oracle(answers), path))["mean@1"] == 1.0


def test_notice_names_the_folder(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the results went is said."""
    with caplog.at_level(logging.WARNING, logger="prm_eval"):
        BestOfN(task="t", n=1).apply([["a"]], problems(1))
    assert f"candidates, scores and results are in {run_folder(folder).relative_to(folder)}" in caplog.text
