"""`RepeatSeeds`: any lm-eval model, asked once per repeat under a recorded seed of that repeat.

Invariant: after every pass its responses are on the disk, so an interrupted run goes on at the first
pass that is missing, with the same seeds and therefore (where the back end allows) the same bytes.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from prm_eval.candidates import candidate_row, parse_candidate
from prm_eval.errors import DataError, UsageError
from prm_eval.harness import seeding
from prm_eval.harness.docs import Replayed, candidate_of, doc_meta, mend, problem_of
from prm_eval.harness.generation_cost import Meter
from prm_eval.records import Appender, read_rows
from prm_eval.types import Candidate

Progress = Callable[[int, int], None]  # (responses done, responses in all)


def _forwarded(name: str) -> Any:
    """An attribute that LM defines itself, so that `__getattr__` would not see it."""
    return property(lambda self: getattr(self._lm, name))


class RepeatSeeds(LM):  # type: ignore[misc]
    """Wraps `lm`; `candidates` holds what was generated, by document and then by index.

    `path` is a candidates file that grows by one pass at a time; `meter` keeps what the passes cost.
    Everything that is not generation is the wrapped model's own.
    """

    rank = _forwarded("rank")
    world_size = _forwarded("world_size")
    device = _forwarded("device")
    tokenizer_name = _forwarded("tokenizer_name")
    chat_template = _forwarded("chat_template")
    apply_chat_template = _forwarded("apply_chat_template")
    all_gather = _forwarded("all_gather")
    gather_object = _forwarded("gather_object")
    barrier = _forwarded("barrier")
    set_cache_hook = _forwarded("set_cache_hook")

    def __init__(
        self, lm: LM, *, seed: int, path: Path, progress: Progress | None = None, meter: Meter | None = None
    ) -> None:
        super().__init__()
        self._lm, self._seed_of_run, self._path, self._progress = lm, seed, path, progress
        self._meter = meter
        self.candidates: list[Candidate] = []

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """lm-eval sends each request N times in a row; the k-th of them is answered by pass k.

        Appearances beyond N, with which lm-eval pads short ranks, are answered by a copy.
        Raises UsageError when the file holds responses to other prompts or of other seeds.
        """
        unique = list({id(request): request for request in requests}.values())
        order = _places(unique)
        stored = _read(self._path)
        answers: dict[tuple[int, int], str] = {}
        done, total = 0, sum(_repeats(request) for request in unique)
        found: list[Candidate] = []
        with Appender(self._path) as appender:
            for repeat in range(max(map(_repeats, unique), default=0)):
                batch = [request for request in unique if repeat < _repeats(request)]
                for request, candidate in zip(
                    batch, self._pass(batch, repeat, stored, appender), strict=True
                ):
                    answers[id(request), repeat] = Replayed.of(candidate)
                    found.append(candidate)
                done += len(batch)
                if self._progress is not None:
                    self._progress(done, total)
        self.candidates = sorted(found, key=lambda one: (order[one.problem.id], one.index))
        asked: Counter[int] = Counter()
        return [answers[_next(request, asked)] for request in requests]

    def _pass(
        self,
        batch: Sequence[Instance],
        repeat: int,
        stored: dict[tuple[str, int], Candidate],
        appender: Appender,
    ) -> list[Candidate]:
        """The repeat-th response to every request of the batch: from the file, else from the model."""
        seed = seeding.seed_of(self._seed_of_run, repeat)
        known = [self._known(request, repeat, seed, stored) for request in batch]
        missing = [place for place, candidate in enumerate(known) if candidate is None]
        if not missing:
            return [candidate for candidate in known if candidate is not None]
        # the whole pass again, even if a crash left half of it: batches shape what a seed draws
        if self._meter is not None:
            self._meter.start()
        texts = seeding.generate(self._lm, batch, repeat, seed, quiet=self._progress is not None)
        if self._meter is not None:
            self._meter.stop(repeat, batch, [mend(text) for text in texts])
        fresh = [
            candidate_of(
                problem_of(request.doc),
                repeat,
                text if isinstance(text, Replayed) else mend(text),
                {**doc_meta(request.doc), "seed": seed, "prompt_hash": _prompt_hash(request)},
            )
            for request, text in zip(batch, texts, strict=True)
        ]
        appender.append(candidate_row(fresh[place]) for place in missing)
        return [old or new for old, new in zip(known, fresh, strict=True)]

    def _known(
        self, request: Instance, repeat: int, seed: int, stored: dict[tuple[str, int], Candidate]
    ) -> Candidate | None:
        candidate = stored.get((problem_of(request.doc).id, repeat))
        if candidate is None:
            return None
        if (candidate.meta.get("seed"), candidate.meta.get("prompt_hash")) != (seed, _prompt_hash(request)):
            raise UsageError(
                f"{self._path} holds responses to problem '{candidate.problem.id}' from another prompt, other"
                " sampling options or another seed: choose another folder, or repeat the same command"
            )
        return candidate

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """The wrapped model's own."""
        return list(self._lm.loglikelihood(requests))

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        """The wrapped model's own."""
        return list(self._lm.loglikelihood_rolling(requests))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_lm"], name)


def _places(requests: Sequence[Instance]) -> dict[str, int]:
    """problem id -> place. Raises UsageError when two documents have one id."""
    places: dict[str, int] = {}
    for place, request in enumerate(requests):
        name = problem_of(request.doc).id
        if places.setdefault(name, place) != place:
            raise UsageError(f"two documents of the task have the id '{name}': give them a problem_id each")
    return places


def _repeats(request: Instance) -> int:
    return request.repeats or 1


def _next(request: Instance, asked: Counter[int]) -> tuple[int, int]:
    """(request, repeat) of one more appearance of the request."""
    repeat = asked[id(request)] % _repeats(request)
    asked[id(request)] += 1
    return id(request), repeat


def _prompt_hash(request: Instance) -> str:
    """Names what was asked and how: the prompt and the sampling options."""
    return hashlib.sha256(json.dumps(request.arguments, sort_keys=True).encode()).hexdigest()[:16]


def _read(path: Path) -> dict[tuple[str, int], Candidate]:
    if not path.exists():
        return {}
    found: dict[tuple[str, int], Candidate] = {}
    for line, row in read_rows(path, drop_torn_tail=True):
        candidate = parse_candidate(row, path, line)
        if candidate.key in found:
            raise DataError(path, f"problem_id '{candidate.problem.id}' index {candidate.index} twice", line)
        found[candidate.key] = candidate
    return found
