"""Nemotron-4-340B-Reward through its own server: nine attributes, and the published scalar of them.

Invariant: a request that fails, also after `TRIES`, is Unscored with its reason, never a zero.
Sources: model card of nvidia/Nemotron-4-340B-Reward; steerlm/ and serve_reward_model.py of
NVIDIA/NeMo-Aligner. The wire format is Triton's HTTP inference protocol, version 2.
"""

import hashlib
import http.client
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import SplitResult, urlsplit

from prm_eval.cards import Card
from prm_eval.errors import BadOption
from prm_eval.readout.outcomes import response_text
from prm_eval.readout.tokens import repair
from prm_eval.types import Candidate, Score, Unscored, Work

log = logging.getLogger("prm_eval")

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
MARKER = "<extra_id_"
ATTRIBUTES = (
    "quality",
    "toxicity",
    "humor",
    "creativity",
    "helpfulness",
    "correctness",
    "coherence",
    "complexity",
    "verbosity",
)
WEIGHTS = (0.0, 0.0, 0.0, 0.0, 0.3, 0.74, 0.46, 0.47, -0.33)
TRIES = 3


class NemotronServer:
    """A `types.PreparedRewardModel` that asks a running server."""

    default_aggregation = "last"

    def __init__(self, url: str, card: Card, concurrency: int, timeout: float, pause: float = 1.0) -> None:
        """`timeout` and `pause` (doubled at each further try) are in seconds."""
        if concurrency < 1 or timeout <= 0:
            raise BadOption(f"concurrency={concurrency}, timeout={timeout}: give at least 1 and more than 0")
        self._url = _checked(url)
        self._card, self._concurrency, self._timeout, self._pause = card, concurrency, timeout, pause
        self.fingerprint = hashlib.sha256(f"nemotron-4-340b-reward/1 {WEIGHTS} {SYSTEM}".encode()).hexdigest()

    def prepare(self, candidates: Sequence[Candidate]) -> list[Work | Unscored]:
        """The text of each candidate, named by content; size in characters."""
        repaired = [repair(candidate) for candidate in candidates]
        changed = sum(new is not old for new, old in zip(repaired, candidates, strict=True))
        if changed:
            log.warning("lone surrogates replaced by U+FFFD in %d of %d candidates", changed, len(candidates))
        return [self._prepare(candidate) for candidate in repaired]

    def score_work(self, works: Sequence[Work]) -> list[Score | Unscored]:
        """One result per work, in order; up to `concurrency` requests at a time."""
        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(self._ask, [work.payload for work in works]))

    def score(self, candidates: Sequence[Candidate]) -> list[Score | Unscored]:
        """`prepare` and `score_work` in one."""
        prepared = self.prepare(candidates)
        works = {item.key: item for item in prepared if isinstance(item, Work)}
        scores = dict(zip(works, self.score_work(list(works.values())), strict=True))
        return [scores[item.key] if isinstance(item, Work) else item for item in prepared]

    def provenance(self) -> Mapping[str, Any]:
        """Which server, and the weights of the attributes."""
        return {
            "url": self._url.geturl(),
            "weights": dict(zip(ATTRIBUTES, WEIGHTS, strict=True)),
            "fingerprint": self.fingerprint,
            "proven": self._card.proven,
        }

    def _prepare(self, candidate: Candidate) -> Work | Unscored:
        response = response_text(candidate)
        if not response.strip():
            return Unscored("empty response")
        if MARKER in candidate.problem.prompt + response:
            return Unscored(
                f"reserved marker: the text holds {MARKER}, which the server would read as a turn"
            )
        text = conversation_text(candidate.problem.prompt, response)
        key = hashlib.sha256(f"{self.fingerprint}\n{text}".encode()).hexdigest()
        return Work(key, len(text), text)

    def _ask(self, text: str) -> Score | Unscored:
        """What the server says of one text, asked again when it is busy or away."""
        reason = ""
        for attempt in range(TRIES):
            time.sleep(self._pause * 2 ** (attempt - 1) if attempt else 0)
            try:
                status, body = self._post(json.dumps(request_body(text)))
            except (OSError, http.client.HTTPException) as error:
                reason = f"{type(error).__name__} {error}".strip()
                continue
            if status == 200:
                return read_answer(body)
            reason = f"status {status} {body[:200].decode('utf-8', 'replace')!r}"
            if status < 500 and status != 429:
                break
        return Unscored(f"server failure: {reason}")

    def _post(self, body: str) -> tuple[int, bytes]:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.netloc, timeout=self._timeout)
        try:
            path = f"{self._url.path.rstrip('/')}/v2/models/reward_model/infer"
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def conversation_text(problem: str, response: str) -> str:
    """SteerLM's turns, and the prefix after which the attributes would stand."""
    return (
        f"<extra_id_0>System\n{SYSTEM}\n<extra_id_1>User\n{problem}\n"
        f"<extra_id_1>Assistant\n{response}\n<extra_id_2>"
    )


def request_body(text: str) -> dict[str, Any]:
    """One sentence, no EOS added, as the authors' annotation script asks."""
    sentence = {"name": "sentences", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
    return {"inputs": [sentence, {"name": "add_EOS", "shape": [1, 1], "datatype": "BOOL", "data": [False]}]}


def read_answer(body: bytes) -> Score | Unscored:
    """The scalar of the nine attributes; Unscored when they are not there, or the text was cut."""
    try:
        outputs = {item["name"]: item["data"] for item in json.loads(body)["outputs"]}
        rewards = [float(value) for value in outputs["rewards"]]
    except (ValueError, KeyError, TypeError) as error:
        return Unscored(f"server failure: no rewards in the answer ({type(error).__name__} {error})")
    if any(outputs.get("exceeded", [])):
        return Unscored("too long: the server cut the text at its own limit")
    if len(rewards) != len(WEIGHTS) or not all(map(math.isfinite, rewards)):
        return Unscored(f"server failure: {rewards} are not {len(WEIGHTS)} finite attributes")
    return Score(math.fsum(weight * value for weight, value in zip(WEIGHTS, rewards, strict=True)))


def _checked(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise BadOption(f"url={url}: write http://HOST:PORT")
    return parts
