"""lm-eval driven from here: real generation with a tiny model, its cures, resume and refusals."""

import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from harness_support import Scripted, problems, tiny_model, write_jsonl

from prm_eval.candidates import read_candidates
from prm_eval.errors import DataError, UnknownName, UsageError
from prm_eval.harness.runner import generate
from prm_eval.harness.seeding import seed_of
from prm_eval.harness.tasks import tasks_path
from prm_eval.types import Candidate

SHORT = {"max_gen_toks": 5, "temperature": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model whose own generation config says top_k 1, as a real checkpoint's may."""
    return tiny_model(tmp_path_factory.mktemp("tiny"), top_k=1)


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Five additions in a file."""
    return str(write_jsonl(tmp_path / "data.jsonl", problems(5)))


def run(folder: Path, out: Path, data: str, n: int = 3, **options: Any) -> list[Candidate]:
    """Samples of the tiny model on the CPU."""
    options = {"gen_kwargs": SHORT, "seed": 1, **options}
    return generate("math500", "hf", f"pretrained={folder},device=cpu", n, out=out, data=data, **options)


def settings(out: Path) -> Mapping[str, Any]:
    """What the run wrote down about itself."""
    found: Mapping[str, Any] = json.loads((out / "generation.json").read_text(encoding="utf-8"))
    return found


def test_samples(folder: Path, tmp_path: Path, data: str) -> None:
    """N different samples for every problem, in order, with their seeds; the checkpoint's top_k is off."""
    found = run(folder, tmp_path / "run", data)
    assert [c.key for c in found] == [(f"sum/{i}", k) for i in range(5) for k in range(3)]
    assert [c.problem.answer for c in found[::3]] == [doc["answer"] for doc in problems(5)]
    assert len({c.text for c in found}) > 12
    assert [c.meta["seed"] for c in found] == [seed_of(1, k) for k in range(3)] * 5
    assert read_candidates(tmp_path / "run" / "candidates.jsonl") == found
    told = settings(tmp_path / "run")
    assert told["gen_kwargs"] | {"top_k": 0, "repetition_penalty": 1.0} == told["gen_kwargs"]
    assert told["batch_size"] > 1
    assert told["apply_chat_template"] is True
    assert told["seeded_by"] == "torch"


def test_same_seed_same_bytes(folder: Path, tmp_path: Path, data: str) -> None:
    """The same call gives the same bytes; another seed gives other samples."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(folder, tmp_path / name, data, seed=seed)
    one, two, three = ((tmp_path / name / "candidates.jsonl").read_bytes() for name in "abc")
    assert one == two
    assert one != three


def test_interrupted_run_continues(folder: Path, tmp_path: Path, data: str) -> None:
    """A run stopped after two passes and started again equals one that was never stopped."""

    def stop(done: int, total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    whole = run(folder, tmp_path / "whole", data, n=4)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "run", data, n=4, progress=stop)
    assert not (tmp_path / "run" / "candidates.jsonl").exists()
    assert run(folder, tmp_path / "run", data, n=4) == whole
    for name in ("candidates.jsonl", "generations.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_other_settings_are_refused(folder: Path, tmp_path: Path, data: str) -> None:
    """A folder with samples of another temperature is not continued, and the difference is named."""
    run(folder, tmp_path / "run", data, n=1)
    with pytest.raises(
        UsageError, match=r"holds samples made with gen_kwargs .*temperature.* choose another"
    ):
        run(folder, tmp_path / "run", data, n=1, gen_kwargs={**SHORT, "temperature": 0.5})


def test_options_as_text(folder: Path, tmp_path: Path, data: str) -> None:
    """Sampling options written as lm-eval takes them do the same as a mapping."""
    one = run(folder, tmp_path / "one", data, n=1)
    text = ",".join(f"{name}={value}" for name, value in SHORT.items())
    assert run(folder, tmp_path / "two", data, n=1, gen_kwargs=text) == one


def test_chat_template_off(folder: Path, tmp_path: Path, data: str) -> None:
    """The chat template changes the samples and can be switched off."""
    on = run(folder, tmp_path / "on", data, n=1)
    off = run(folder, tmp_path / "off", data, n=1, apply_chat_template=False)
    assert [c.meta["prompt_hash"] for c in on] != [c.meta["prompt_hash"] for c in off]


def test_limit_and_progress(folder: Path, tmp_path: Path, data: str) -> None:
    """`limit` takes the first problems; progress ends at the number of responses."""
    seen: list[tuple[int, int]] = []
    run(folder, tmp_path / "run", data, n=2, limit=2, progress=lambda a, b: seen.append((a, b)))
    assert seen == [(2, 4), (4, 4)]


def test_greedy_is_warned_of(
    folder: Path, tmp_path: Path, data: str, caplog: pytest.LogCaptureFixture
) -> None:
    """N equal samples, here from a top_k of 1, raise a warning."""
    run(folder, tmp_path / "run", data, n=2, gen_kwargs={**SHORT, "top_k": 1})
    assert "all responses are identical for 5 of 5 problems" in caplog.text


def test_quiet(folder: Path, tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing goes to standard output, and lm-eval's logger is as loud afterwards as before."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    run(folder, tmp_path / "run", data, n=1)
    assert capsys.readouterr().out == ""
    assert logger.level == before


def test_replay_through_the_runner(tmp_path: Path, data: str) -> None:
    """Stored responses keep their steps, prediction and label on the way through lm-eval."""
    rows = [
        {**doc, "index": k, "response": f"r{k}", "correct": True, "steps": ["a", "b"], "prediction": "1"}
        for doc in problems(5)
        for k in range(2)
    ]
    path = write_jsonl(tmp_path / "stored.jsonl", rows)
    found = generate(
        "math500_bon", "prm-replay", {"candidates": str(path)}, 2, out=tmp_path / "run", data=data
    )
    assert [(c.problem.id, c.index, c.text, c.correct, c.prediction, len(c.steps or ())) for c in found] == [
        (row["problem_id"], row["index"], row["response"], True, "1", 2) for row in rows
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gen_kwargs": {"seed": 3}}, "would give every repeat the same seed"),
        ({"gen_kwargs": "temperature=0.5,seed=3"}, "would give every repeat the same seed"),
        ({"gen_kwargs": "temperature"}, "'temperature' is no option: write name=value"),
        ({"gen_kwargs": {"n": 4}}, "use the run's own n"),
        ({"gen_kwargs": {"num_return_sequences": 4}}, "use the run's own n"),
        ({"gen_kwargs": {"max_gen_toks": 600}}, "window has 512: lower it with gen_kwargs max_gen_toks=384"),
        ({"n": 0}, "n is 0"),
    ],
)
def test_refusals(folder: Path, tmp_path: Path, data: str, options: dict[str, Any], message: str) -> None:
    """What would spoil the samples is refused before any is made."""
    with pytest.raises(UsageError, match=message):
        run(folder, tmp_path / "run", data, **options)
    assert not (tmp_path / "run" / "generations.jsonl").exists()


def test_several_processes_are_refused(tmp_path: Path) -> None:
    """A model that shares the work with other processes is refused instead of saving a part."""
    from lm_eval.api.registry import register_model

    @register_model("runner-test-two-ranks")
    class TwoRanks(Scripted):
        world_size = 2

        def __init__(self, batch_size: int | None = None) -> None:
            super().__init__(lambda doc, k: "x")

    with pytest.raises(UsageError, match="2 processes were started and generation runs in one"):
        generate("demo", "runner-test-two-ranks", "", 1, out=tmp_path / "run")


def test_unknown_names(tmp_path: Path) -> None:
    """Unknown task and model are told with near names; a model that does not load in one line."""
    with pytest.raises(UnknownName, match="math500"):
        generate("maths500", "hf", "", 1, out=tmp_path)
    with pytest.raises(UnknownName, match="prm-replay"):
        generate("demo", "prm-reply", "", 1, out=tmp_path)
    with pytest.raises(UsageError, match="cannot load the model hf") as caught:
        generate("demo", "hf", f"pretrained={tmp_path}/nowhere", 1, out=tmp_path)
    assert "\n" not in str(caught.value)


def test_wrong_data(tmp_path: Path, folder: Path) -> None:
    """A data file that is not there is told as such."""
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        run(folder, tmp_path / "run", str(tmp_path / "none.jsonl"))


@pytest.mark.slow
def test_plain_lm_eval_by_name(folder: Path, tmp_path: Path, data: str) -> None:
    """The command of the README: `lm_eval run --include_path FOLDER --tasks math500_bon`, real generation."""
    command = [
        sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={folder}",
        "--device", "cpu", "--batch_size", "16", "--include_path", str(tasks_path()),
        "--tasks", "math500_bon", "--metadata", f"data={data}", "--limit", "2",
        "--gen_kwargs", "max_gen_toks=5,top_k=0", "--apply_chat_template",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(name in done.stdout for name in ("mean@1", "pass@16", "maj@8"))
    (kept,) = tmp_path.glob("prm_eval_runs/math500_bon/*/candidates.jsonl")
    found = read_candidates(kept)
    assert [c.key for c in found] == [(f"sum/{i}", k) for i in range(2) for k in range(16)]
    assert len({c.text for c in found}) > 24
