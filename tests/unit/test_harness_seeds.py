"""Seeds per repeat: distinct, recorded, resumable, on every kind of back end."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from harness_support import Scripted, problems, tiny_model
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from prm_eval.errors import UsageError
from prm_eval.harness import seeding
from prm_eval.harness.seeds import RepeatSeeds
from prm_eval.records import read_rows

SAMPLING = {"do_sample": True, "temperature": 1.0, "top_p": 1.0, "max_gen_toks": 6, "until": ["<|im_end|>"]}


def requests(count: int, n: int, sampling: Mapping[str, Any] = SAMPLING) -> list[Instance]:
    """What lm-eval sends: every request n times in a row, as one object."""
    found: list[Instance] = []
    for place, doc in enumerate(problems(count)):
        one = Instance("generate_until", doc, (doc["problem"], dict(sampling)), 0, ("t", place, n))
        found += [one] * n
    return found


class Torch(Scripted):
    """An in-process model that draws its answers from torch's generator, as HF generation does."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__(self._draw)
        self._left = stop_after

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        if self._left == 0:
            raise KeyboardInterrupt
        self._left = None if self._left is None else self._left - 1
        return super().generate_until(requests)

    def _draw(self, doc: Mapping[str, Any], count: int) -> str:
        import torch

        return f"{doc['problem']} {torch.randint(10**9, ()).item()}"


def responses(path: Path) -> list[tuple[str, int, str, int]]:
    """(problem, index, response, seed) of every line of a file."""
    return [(r["problem_id"], r["index"], r["response"], r["meta"]["seed"]) for _, r in read_rows(path)]


def test_every_repeat_has_its_own_recorded_seed(tmp_path: Path) -> None:
    """N passes of one request each; the seeds are distinct, recorded, and make the samples differ."""
    inner = Torch()
    model = RepeatSeeds(inner, seed=7, path=tmp_path / "g.jsonl")
    answers = model.generate_until(requests(3, 4))
    assert inner.batches == [3, 3, 3, 3]
    rows = responses(tmp_path / "g.jsonl")
    assert len({seed for *_, seed in rows}) == 4
    assert [seed for *_, seed in rows] == [seeding.seed_of(7, k) for k in range(4) for _ in range(3)]
    assert [answers[4 * i + k] for i in range(3) for k in range(4)] == [
        text for i in range(3) for name, _, text, _ in sorted(rows) if name == f"sum/{i}"
    ]
    assert len(set(answers)) == 12


def test_seeds_never_meet() -> None:
    """Different for 4,096 repeats of any run, and small enough for every back end."""
    for run in (0, 1, 2**40):
        seeds = {seeding.seed_of(run, k) for k in range(4096)}
        assert len(seeds) == 4096
        assert all(0 <= seed < 2**31 for seed in seeds)


def test_interrupted_run_continues(tmp_path: Path) -> None:
    """Killed after pass 3 and started again: the file is that of an uninterrupted run, byte for byte."""
    RepeatSeeds(Torch(), seed=1, path=tmp_path / "whole.jsonl").generate_until(requests(5, 6))
    with pytest.raises(KeyboardInterrupt):
        RepeatSeeds(Torch(stop_after=3), seed=1, path=tmp_path / "g.jsonl").generate_until(requests(5, 6))
    assert len(responses(tmp_path / "g.jsonl")) == 15
    again = Torch()
    model = RepeatSeeds(again, seed=1, path=tmp_path / "g.jsonl")
    model.generate_until(requests(5, 6))
    assert again.batches == [5, 5, 5]
    assert (tmp_path / "g.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert [c.key for c in model.candidates] == [(f"sum/{i}", k) for i in range(5) for k in range(6)]


@pytest.mark.parametrize("kept", [1, 7, 8, 13])
def test_torn_pass_continues(tmp_path: Path, kept: int) -> None:
    """A crash in the middle of writing a pass, and of a line, gives the same file in the end."""
    RepeatSeeds(Torch(), seed=1, path=tmp_path / "whole.jsonl").generate_until(requests(5, 3))
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "g.jsonl").write_bytes(b"".join(lines[:kept]) + lines[kept][:30])
    RepeatSeeds(Torch(), seed=1, path=tmp_path / "g.jsonl").generate_until(requests(5, 3))
    assert (tmp_path / "g.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_larger_n_adds_passes(tmp_path: Path) -> None:
    """Asked for more samples, the stored passes are kept and only the new ones run."""
    RepeatSeeds(Torch(), seed=1, path=tmp_path / "g.jsonl").generate_until(requests(2, 2))
    before = (tmp_path / "g.jsonl").read_bytes()
    more = Torch()
    RepeatSeeds(more, seed=1, path=tmp_path / "g.jsonl").generate_until(requests(2, 5))
    assert more.batches == [2, 2, 2]
    assert (tmp_path / "g.jsonl").read_bytes().startswith(before)


@pytest.mark.parametrize("change", ["prompt", "sampling", "seed"])
def test_other_run_is_refused(tmp_path: Path, change: str) -> None:
    """A file with samples of another prompt, temperature or seed is never mixed with new ones."""
    RepeatSeeds(Torch(), seed=1, path=tmp_path / "g.jsonl").generate_until(requests(2, 2))
    asked = requests(2, 2, {**SAMPLING, "temperature": 0.5} if change == "sampling" else SAMPLING)
    if change == "prompt":
        for one in asked:
            one.arguments = ("Please: " + one.arguments[0].removeprefix("Please: "), one.arguments[1])
    model = RepeatSeeds(Torch(), seed=2 if change == "seed" else 1, path=tmp_path / "g.jsonl")
    with pytest.raises(UsageError, match="another prompt, other sampling options or another seed"):
        model.generate_until(asked)


def test_padded_ranks_are_copied(tmp_path: Path) -> None:
    """The surplus with which lm-eval pads a short rank costs no generation and adds no sample."""
    inner = Torch()
    asked = requests(2, 4)
    asked += [asked[-1]] * 4
    answers = RepeatSeeds(inner, seed=1, path=tmp_path / "g.jsonl").generate_until(asked)
    assert inner.batches == [2, 2, 2, 2]
    assert answers[8:] == answers[4:8]
    assert len(responses(tmp_path / "g.jsonl")) == 8


def test_progress(tmp_path: Path) -> None:
    """Progress counts responses, whether new or found in the file."""
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        model = RepeatSeeds(
            Torch(), seed=1, path=tmp_path / "g.jsonl", progress=lambda a, b: seen.append((a, b))
        )
        model.generate_until(requests(3, 2))
    assert seen == [(3, 6), (6, 6)] * 2


def test_lone_surrogates_are_mended(tmp_path: Path) -> None:
    """A lone surrogate, which would end lm-eval's log, becomes U+FFFD in file and answer."""
    model = RepeatSeeds(Scripted(lambda doc, k: "a\udc00b"), seed=1, path=tmp_path / "g.jsonl")
    assert model.generate_until(requests(1, 2)) == ["a\ufffdb", "a\ufffdb"]


def test_two_documents_of_one_id(tmp_path: Path) -> None:
    """Two documents that would share their stored responses are refused."""
    asked = requests(1, 1) + requests(1, 1)
    with pytest.raises(UsageError, match="two documents of the task have the id 'sum/0'"):
        RepeatSeeds(Torch(), seed=1, path=tmp_path / "g.jsonl").generate_until(asked)


def test_everything_else_is_the_models_own(tmp_path: Path) -> None:
    """Rank, tokenizer, chat template, likelihoods and unknown attributes are passed through."""

    class Inner(Torch):
        rank, world_size, tokenizer_name, batch_size = 3, 4, "tok", 9

        def apply_chat_template(self, chat_history: Any, add_generation_prompt: bool = True) -> str:
            return "templated"

        def chat_template(self, chat_template: Any = False) -> str:
            return "template"

        def get_model_info(self) -> dict[str, int]:
            return {"parameters": 5}

    model: Any = RepeatSeeds(Inner(), seed=1, path=tmp_path / "g.jsonl")
    assert isinstance(model, LM)
    assert (model.rank, model.world_size, model.tokenizer_name, model.batch_size) == (3, 4, "tok", 9)
    assert (model.apply_chat_template([]), model.chat_template()) == ("templated", "template")
    assert model.get_model_info() == {"parameters": 5}
    assert model.loglikelihood([None]) == [(0.0, False)]
    assert not hasattr(model, "no_such_attribute")


# ---- a real model -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2 on disk."""
    return tiny_model(tmp_path_factory.mktemp("tiny"))


def test_real_model_resumes_byte_for_byte(tmp_path: Path, hf_folder: Path) -> None:
    """HF generation killed after pass 2 of 4 and continued equals an uninterrupted run."""
    from lm_eval.models.huggingface import HFLM

    class Dying(HFLM):  # type: ignore[misc]
        left = 2

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            return list(super().generate_until(requests, disable_tqdm))

    def load(kind: type[LM]) -> LM:
        return kind(pretrained=str(hf_folder), device="cpu", batch_size=3)  # type: ignore[call-arg]

    RepeatSeeds(load(HFLM), seed=5, path=tmp_path / "whole.jsonl").generate_until(requests(4, 4))
    with pytest.raises(KeyboardInterrupt):
        RepeatSeeds(load(Dying), seed=5, path=tmp_path / "g.jsonl").generate_until(requests(4, 4))
    RepeatSeeds(load(HFLM), seed=5, path=tmp_path / "g.jsonl").generate_until(requests(4, 4))
    assert (tmp_path / "g.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert len({text for *_, text, _ in responses(tmp_path / "g.jsonl")}) == 16


# ---- an API server that honours seeds ---------------------------------------------------------


class Completions(http.server.BaseHTTPRequestHandler):
    """As vLLM's server: the same prompt with the same seed gives the same text."""

    seen: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(body)
        said = json.dumps([body.get("prompt") or body.get("messages"), body.get("seed")])
        text = hashlib.sha256(said.encode()).hexdigest()[:12]
        choice = {"index": 0, "text": text, "message": {"role": "assistant", "content": text}}
        answer = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a completions server in a thread."""
    Completions.seen.clear()
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Completions)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}/v1/completions"
    httpd.shutdown()
    thread.join()


def api_model(server: str, concurrent: int) -> LM:
    """lm-eval's own client for that server."""
    pytest.importorskip("tenacity", reason="lm-eval[api] is not installed")
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    model: LM = LocalCompletionsAPI(
        base_url=server, model="m", tokenizer_backend="none", num_concurrent=concurrent
    )
    return model


@pytest.mark.parametrize("concurrent", [1, 4])
def test_api_samples_differ(tmp_path: Path, server: str, concurrent: int) -> None:
    """Alone, lm-eval's client gets one text four times from a seeded server; wrapped, four texts."""
    api = api_model(server, concurrent)
    assert len(set(api.generate_until(requests(1, 4)))) == 1
    Completions.seen.clear()
    answers = RepeatSeeds(api, seed=3, path=tmp_path / "g.jsonl").generate_until(requests(2, 4))
    assert len(set(answers)) == 8
    assert {body["seed"] for body in Completions.seen} == {seeding.seed_of(3, k) for k in range(4)}
    assert {seed for *_, seed in responses(tmp_path / "g.jsonl")} == {
        body["seed"] for body in Completions.seen
    }


def test_seed_with_each_request() -> None:
    """vLLM is given the pass's seed among the sampling options; the task's own request stays as it was."""
    asked = requests(1, 1)[0]
    seeded = seeding.with_seed(asked, 12)
    assert seeded.args == (asked.args[0], {**SAMPLING, "seed": 12})
    assert (seeded.doc, seeded.repeats, seeded.doc_id) == (asked.doc, 1, 0)
    assert asked.args[1] == SAMPLING


def test_vllm_takes_seeds_by_request() -> None:
    """lm-eval's vLLM class is told the seed with each request."""
    pytest.importorskip("vllm", reason="vLLM is not installed")
    from lm_eval.models.vllm_causallms import VLLM

    assert seeding.way_of(VLLM.__new__(VLLM)) == "request"
