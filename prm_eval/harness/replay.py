"""`prm-replay`: an lm-eval model that hands out stored responses instead of generating.

Invariant: the k-th stored response answers the k-th repeat. Problems are found by their text in the
document, never by the prompt, so templates, few-shots and `doc_id` have no say.
"""

import glob
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import lm_eval.models  # noqa: F401 - fills the model registry, which lm-eval does only while it is empty
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from prm_eval.errors import UsageError
from prm_eval.harness.docs import Replayed
from prm_eval.harness.samples import read_any
from prm_eval.types import Candidate

NAME = "prm-replay"


@register_model(NAME)
class Replay(LM):  # type: ignore[misc]
    """`--model prm-replay --model_args candidates=FILE`: candidates.jsonl or samples_*.jsonl, or a glob.

    `problem_field` and `answer_field` name the fields of a foreign task's documents. lm-eval gives
    every model its batch size and device; both are taken and of no use here.
    """

    def __init__(
        self,
        candidates: str,
        problem_field: str | None = None,
        answer_field: str | None = None,
        batch_size: int | str | None = None,  # noqa: ARG002
        max_batch_size: int | None = None,  # noqa: ARG002
        device: str | None = None,  # noqa: ARG002
    ) -> None:
        super().__init__()
        self._field = problem_field
        self._pools = _by_text(read_any(_files(candidates), problem_field, answer_field))
        self._source = candidates

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """One stored response per request; a request's n-th appearance gets the n-th response.

        Raises UsageError for a problem that is not in the file or has too few responses.
        """
        asked: Counter[tuple[Any, ...]] = Counter()
        found: list[str] = []
        for request in requests:
            # by task and document and not by object: a later lm-eval may send N separate requests
            document = (request.task_name, request.doc_id, request.idx)
            # the modulus answers the surplus with which lm-eval pads short ranks
            found.append(self.stored(request, asked[document] % (request.repeats or 1)))
            asked[document] += 1
        return found

    def stored(self, request: Instance, repeat: int) -> Replayed:
        """The response to one repeat of a request. Raises UsageError as `generate_until` does."""
        pool = self._pool(request.doc)
        repeats = request.repeats or 1
        if repeats > len(pool):
            raise UsageError(
                f"problem '{pool[0].problem.id}' has {len(pool)} responses in {self._source}, but the task"
                f" repeats {repeats} times: set PRM_EVAL_N={len(pool)}, or make a task with --n {len(pool)}"
                " (prm-eval tasks make)"
            )
        return Replayed.of(pool[repeat])

    def _pool(self, doc: Mapping[str, Any]) -> list[Candidate]:
        texts = [doc.get(self._field)] if self._field else doc.values()
        found = {text.strip() for text in texts if isinstance(text, str) and text.strip() in self._pools}
        if len(found) != 1:
            shown = next((text for text in texts if isinstance(text, str)), "")[:60]
            trouble = "has no responses" if not found else "fits two problems"
            raise UsageError(
                f"the document that begins '{shown}' {trouble} in {self._source}: is it of the same data"
                " set? (problem_field=NAME says which field holds the problem)"
            )
        pools = self._pools[found.pop()]
        if len(pools) > 1 and doc.get("problem_id") not in pools:
            raise UsageError(f"{self._source} holds one problem under the ids {', '.join(sorted(pools))}")
        return pools[doc["problem_id"]] if len(pools) > 1 else next(iter(pools.values()))

    def loglikelihood(self, requests: Sequence[Instance]) -> NoReturn:  # noqa: ARG002
        """Not stored, so refused."""
        raise UsageError(f"{NAME} holds responses and no likelihoods: use a generate_until task")

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> NoReturn:
        """Not stored, so refused."""
        self.loglikelihood(requests)

    @property
    def tokenizer_name(self) -> str:
        """A name, because lm-eval asks for one when --apply_chat_template is given."""
        return NAME

    def apply_chat_template(
        self,
        chat_history: Sequence[Mapping[str, str]],
        add_generation_prompt: bool = True,  # noqa: ARG002
    ) -> str:
        """The messages one under the other: the prompt is not looked at."""
        return "\n\n".join(message["content"] for message in chat_history)


def _files(pattern: str) -> list[Path]:
    paths = [Path(found) for found in sorted(glob.glob(str(Path(pattern).expanduser())))]  # noqa: PTH207
    if not paths:
        raise UsageError(f"{NAME}: no file fits candidates={pattern}")
    return paths


def _by_text(candidates: Sequence[Candidate]) -> dict[str, dict[str, list[Candidate]]]:
    """problem text -> problem id -> its candidates by index."""
    found: dict[str, dict[str, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
    for candidate in sorted(candidates, key=lambda candidate: candidate.index):
        found[candidate.problem.prompt.strip()][candidate.problem.id].append(candidate)
    return found
