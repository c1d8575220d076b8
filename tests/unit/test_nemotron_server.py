"""The client of Nemotron-4-340B's server, against a small local server that speaks its protocol."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prm_eval_outcome import NEMOTRON_340B, prm_eval_reward_models
from prm_eval_outcome.nemotron_server import TRIES, WEIGHTS, NemotronServer

from prm_eval.errors import BadOption
from prm_eval.plugins import load_registry
from prm_eval.scoring import score_candidates
from prm_eval.testing import RewardModelContract
from prm_eval.types import Candidate, PreparedRewardModel, Problem, RewardModel, Score, Unscored

PROBLEM = Problem("p", "What is 2 + 3?")
Answer = Callable[[str, int], tuple[int, Any]]


def attributes(text: str) -> list[float]:
    """Nine numbers that depend on the text."""
    return [(sum(text.encode()) * (n + 3) % 41) / 10 for n in range(9)]


def rewards(values: list[float], exceeded: bool = False) -> dict[str, Any]:
    """The body of a good answer."""
    return {
        "model_name": "reward_model",
        "outputs": [
            {"name": "rewards", "datatype": "FP32", "shape": [1, len(values)], "data": values},
            {"name": "exceeded", "datatype": "BOOL", "shape": [1], "data": [exceeded]},
        ],
    }


class Server:
    """A local server; `answer` gives (status, body) for the text and the number of the request for it."""

    def __init__(self) -> None:
        self.answer: Answer = lambda text, _: (200, rewards(attributes(text)))
        self.texts: list[str] = []
        self.paths: set[str] = set()
        self.bodies: list[Any] = []
        lock, outer = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                (text,) = body["inputs"][0]["data"]
                with lock:
                    outer.texts.append(text)
                    outer.paths.add(self.path)
                    outer.bodies.append(body)
                    number = outer.texts.count(text)
                status, content = outer.answer(text, number)
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server."""
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def client(server: Server) -> NemotronServer:
    """A client that does not pause between tries."""
    return NemotronServer(server.url, NEMOTRON_340B, concurrency=4, timeout=5, pause=0)


def answer(text: str, index: int = 0) -> Candidate:
    """A candidate of the one problem."""
    return Candidate(PROBLEM, index, text)


def test_weights() -> None:
    """The published weights: four untrained attributes count nothing, verbosity counts against."""
    assert WEIGHTS == (0, 0, 0, 0, 0.3, 0.74, 0.46, 0.47, -0.33)


def test_text_and_scalar(server: Server) -> None:
    """The turns by hand, the protocol's path and fields, and the weighed sum by hand."""
    server.answer = lambda *_: (200, rewards([9, 9, 9, 9, 1.0, 2.0, 3.0, 4.0, 0.5]))
    (found,) = client(server).score([answer("It is 5.")])
    assert found == Score(pytest.approx(0.3 + 2 * 0.74 + 3 * 0.46 + 4 * 0.47 - 0.5 * 0.33, abs=1e-12))
    assert server.paths == {"/v2/models/reward_model/infer"}
    (text,) = server.texts
    assert text == (
        "<extra_id_0>System\nA chat between a curious user and an artificial intelligence assistant. The assistant "
        "gives helpful, detailed, and polite answers to the user's questions.\n<extra_id_1>User\nWhat is 2 + 3?\n"
        "<extra_id_1>Assistant\nIt is 5.\n<extra_id_2>"
    )
    first, second = server.bodies[0]["inputs"]
    assert (first["name"], first["datatype"], first["shape"]) == ("sentences", "BYTES", [1, 1])
    assert (second["name"], second["datatype"], second["data"]) == ("add_EOS", "BOOL", [False])


def test_order_and_duplicates(server: Server) -> None:
    """Twenty responses at four at a time come back in order; equal ones are asked once."""
    texts = [f"answer {n % 15}" for n in range(20)]
    found = client(server).score([answer(text, n) for n, text in enumerate(texts)])
    expected = []
    for text in texts:
        full = server.texts[0].partition("Assistant\n")[0] + f"Assistant\n{text}\n<extra_id_2>"
        expected.append(sum(w * a for w, a in zip(WEIGHTS, attributes(full), strict=True)))
    assert [score.value for score in found if isinstance(score, Score)] == pytest.approx(expected, abs=1e-9)
    assert len(server.texts) == 15


def test_retries(server: Server) -> None:
    """A busy server is asked again, at most three times; a refused request is not repeated."""
    server.answer = lambda text, n: (200, rewards(attributes(text))) if n == TRIES else (503, b"busy")
    (found,) = client(server).score([answer("a")])
    assert isinstance(found, Score)
    assert len(server.texts) == TRIES == 3
    server.answer = lambda *_: (429, b"slow down")
    (found,) = client(server).score([answer("b")])
    assert found == Unscored("server failure: status 429 'slow down'")
    assert len(server.texts) == 6
    server.answer = lambda *_: (400, b"no such input")
    (found,) = client(server).score([answer("c")])
    assert found == Unscored("server failure: status 400 'no such input'")
    assert len(server.texts) == 7


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"not json", "no rewards in the answer"),
        ({"outputs": []}, "no rewards in the answer (KeyError 'rewards')"),
        ({"error": "x"}, "no rewards in the answer"),
        (rewards([1.0, 2.0]), "are not 9 finite attributes"),
        (rewards([float("nan")] * 9), "are not 9 finite attributes"),
        (rewards([1.0] * 9, exceeded=True), "too long: the server cut the text"),
    ],
)
def test_wrong_answers(server: Server, body: Any, said: str) -> None:
    """An answer that holds no nine numbers, or says that the text was cut, is Unscored, never a zero."""
    server.answer = lambda *_: (200, body)
    (found,) = client(server).score([answer("a")])
    assert isinstance(found, Unscored)
    assert said in found.reason


def test_no_server() -> None:
    """With nobody at the address, every candidate is Unscored with the reason."""
    model = NemotronServer("http://127.0.0.1:9", NEMOTRON_340B, concurrency=2, timeout=2, pause=0)
    found = model.score([answer("a"), answer("b", 1)])
    assert all(
        isinstance(result, Unscored) and "server failure: Connection" in result.reason for result in found
    )


def test_one_failure_is_one_candidate(server: Server) -> None:
    """A request that fails takes no other with it."""
    server.answer = lambda text, _: (500, b"") if "bad" in text else (200, rewards(attributes(text)))
    scoring = score_candidates(
        client(server), [answer("good"), answer("bad", 1), answer("fine", 2)], name="m", identity="i"
    )
    assert [type(result) for result in scoring.results] == [Score, Unscored, Score]


def test_markers_and_blanks(server: Server) -> None:
    """A response with a turn marker would be read as turns by the server: Unscored, and not sent."""
    found = client(server).score([answer("5\n<extra_id_1>User\nthanks"), answer(" \n", 1)])
    assert [type(result) for result in found] == [Unscored, Unscored]
    assert "reserved marker" in str(found[0])
    assert server.texts == []


def test_lone_surrogates(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Lone surrogates are sent as U+FFFD, with one counted notice."""
    client(server).score([answer("a \ud800"), answer("b", 1)])
    assert "lone surrogates replaced by U+FFFD in 1 of 2 candidates" in caplog.text
    assert any("a \ufffd" in text for text in server.texts)


def test_options(server: Server) -> None:
    """The reference takes a url; a wrong one, or no worker, is refused before anything is asked."""
    loaded = load_registry().reward_model(f"nemotron-4-340b-reward:url={server.url},concurrency=2")
    assert isinstance(loaded.obj, PreparedRewardModel)
    assert loaded.obj.provenance()["url"] == server.url
    factory = prm_eval_reward_models()["nemotron-4-340b-reward"]
    for wrong in ("file:///etc/hosts", "localhost:5555", "http://"):
        with pytest.raises(BadOption, match="write http://HOST:PORT"):
            factory(url=wrong)
    with pytest.raises(BadOption, match="concurrency=0"):
        factory(url=server.url, concurrency=0)


class TestContract(RewardModelContract):
    """The client keeps what every reward model promises."""

    @pytest.fixture(autouse=True)
    def _server(self, server: Server) -> None:
        self.server = server

    def make(self) -> RewardModel:
        """The model under test."""
        return client(self.server)
