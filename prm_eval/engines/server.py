"""The server engine: marked rows from the /pooling endpoint of a running vLLM server.

Invariant: every input has its rows or an `Unscored` that says what the server answered; nothing is
tried more than `TRIES` times, and nothing is ever a zero. Endpoint: vLLM 0.32, task token_classify.
"""

import hashlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prm_eval.engines.picking import pick
from prm_eval.errors import MissingExtra, UsageError
from prm_eval.readout.checkpoint import Checkpoint
from prm_eval.readout.flops import Arithmetic
from prm_eval.readout.rendering import Head, Rendered, Rows
from prm_eval.types import Unscored

log = logging.getLogger("prm_eval")

CONCURRENCY = 16
TRIES = 7
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 16.0  # seconds; all pauses together are about half a minute
TIMEOUT = (10.0, 600.0)  # seconds to connect, and to wait for an answer
PASSING = frozenset({408, 429, 500, 502, 503, 504})  # statuses that may be gone the next time


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one request came to: an array, or a reason; may it pass, and did a server answer at all?"""

    raw: NDArray[Any] | None
    reason: str = ""
    passing: bool = False
    reached: bool = True


class ServerEngine:
    """One server at `url`; the checkpoint's folder is needed for its configuration only."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        head: Head,
        url: str,
        *,
        first_pause: float = FIRST_PAUSE,
        timeout: tuple[float, float] = TIMEOUT,
    ) -> None:
        self._url, self._outputs = url.rstrip("/").removesuffix("/v1"), head.outputs
        self._first_pause, self._timeout = first_pause, timeout
        self._requests = _requests()
        self._local = threading.local()
        self._lost = False
        model = self._ask_model()
        self.served = str(model["id"])
        config = checkpoint.config()
        self.max_tokens = int(model.get("max_model_len") or config["max_position_embeddings"])
        self.vocabulary = int(config["vocab_size"])
        known = hashlib.sha256((checkpoint.folder / "config.json").read_bytes()).hexdigest()
        self.identity = f"server {self.served} {model.get('root')} {known} {head}"
        self._path = checkpoint.name
        self._arithmetic = Arithmetic.of(config)
        self._tokens = self._flops = self._retries = 0
        self._seconds = 0.0

    def rows(self, inputs: Sequence[Rendered]) -> list[Rows | Unscored]:
        """One float32 array [n_marks, outputs] per input, in order, or why there is none."""
        started = time.perf_counter()
        reasons: Counter[str] = Counter()
        with ThreadPoolExecutor(CONCURRENCY) as threads:
            found = list(threads.map(lambda item: self._one(item, reasons), inputs))
        self._seconds += time.perf_counter() - started
        self._tokens += sum(len(item) for item in inputs)
        if self._arithmetic is not None:
            self._flops += sum(self._arithmetic.flops(1, len(item)) for item in inputs)
        if reasons:
            self._retries += reasons.total()
            (reason, _), *_ = reasons.most_common(1)
            log.warning("%s: %d requests were tried again (%s)", self._url, reasons.total(), reason)
        return found

    def provenance(self) -> dict[str, str]:
        """What ran: the server, the model as it calls it, its version of vLLM."""
        try:
            version = str(self._get("/version").get("version", ""))
        except UsageError:  # an old server, or one that is gone by now
            version = ""
        return {
            "path": self._path,
            "engine": "server",
            "url": self._url,
            "served_model": self.served,
            "vllm": version,
        }

    def cost(self) -> dict[str, float]:
        """So far: tokens sent, the same as padded_tokens, seconds of waiting, requests repeated, flops."""
        cost = {
            "tokens": self._tokens,
            "padded_tokens": self._tokens,
            "seconds": self._seconds,
            "retries": self._retries,
        }
        return cost if self._arithmetic is None else cost | {"flops": self._flops}

    def _one(self, item: Rendered, reasons: Counter[str]) -> Rows | Unscored:
        once = self._lost  # a server that was given up gets one try per input until it answers
        pause = self._first_pause
        for left in reversed(range(1 if once else TRIES)):
            answer = self._ask(item)
            self._lost = self._lost and not answer.reached
            if answer.raw is not None:
                return pick(answer.raw, item, self._outputs)
            if not answer.passing:
                return Unscored(f"server refused: {answer.reason}")
            if left:
                reasons[answer.reason] += 1
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        self._lost = not answer.reached
        return Unscored(f"server failed: {answer.reason}")

    def _ask(self, item: Rendered) -> "_Answer":
        body = {
            "model": self.served,
            "input": item.ids.tolist(),
            "task": "token_classify",
            "use_activation": False,  # softmax is the family's, in float32
        }
        try:
            answer = self._session().post(f"{self._url}/pooling", json=body, timeout=self._timeout)
        except self._requests.RequestException as error:
            return _Answer(None, type(error).__name__, passing=True, reached=False)
        if answer.status_code != 200:
            told = f"status {answer.status_code} {_message(answer)}".rstrip()
            return _Answer(None, told, passing=answer.status_code in PASSING)
        try:
            (data,) = answer.json()["data"]
            return _Answer(np.asarray(data["data"], dtype=np.float32))
        except (ValueError, KeyError, TypeError) as error:
            return _Answer(None, f"an answer that is not vLLM's ({type(error).__name__})", passing=True)

    def _ask_model(self) -> dict[str, Any]:
        models = self._get("/v1/models").get("data")
        if not isinstance(models, list) or not models or "id" not in models[0]:
            raise UsageError(
                f"{self._url} lists no model: give the url of a `vllm serve`, such as http://HOST:8000"
            )
        first: dict[str, Any] = models[0]
        return first

    def _get(self, path: str) -> dict[str, Any]:
        try:
            answer = self._session().get(self._url + path, timeout=self._timeout[0])
            answer.raise_for_status()
            found = answer.json()
        except (self._requests.RequestException, ValueError) as error:
            raise UsageError(
                f"no vLLM server answers at {self._url}{path} ({type(error).__name__}): start it "
                "(docs/engines.md has the command), or correct url="
            ) from error
        return found if isinstance(found, dict) else {}

    def _session(self) -> Any:
        """One connection per thread; VLLM_API_KEY, vLLM's own variable, is sent when it is set."""
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._requests.Session()
            if key := os.environ.get("VLLM_API_KEY"):
                session.headers["Authorization"] = f"Bearer {key}"
            self._local.session = session
        return session


def _message(answer: Any) -> str:
    """The server's own first words on an error, one line."""
    try:
        content = answer.json()
        content = content.get("error", content)
        told = content.get("message", content)
    except (ValueError, AttributeError):
        told = answer.text
    return " ".join(str(told).split())[:200]


def _requests() -> Any:
    try:
        import requests
    except ModuleNotFoundError as error:
        raise MissingExtra("requests", "server") from error
    return requests
