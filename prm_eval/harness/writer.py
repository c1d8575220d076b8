"""An lm-eval model as a writer: prompts in, texts out, each pass under a seed of its own.

Invariant: one answer for each prompt, in order: a text, or `Failed` with the reason. What would be cut
on its left without a word is refused before, and one failed request takes no other with it.
"""

import inspect
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from prm_eval.errors import BadOption, CheckpointError
from prm_eval.harness import seeding
from prm_eval.harness.asking import Failed, ask_local, ask_server
from prm_eval.harness.docs import mend
from prm_eval.harness.drawn import Drawn
from prm_eval.harness.meter import Meter
from prm_eval.harness.prompts import ChatTurn
from prm_eval.harness.protocol import THINK_END

# a prompt as the back end wants it: a text, or for a chat server the conversation in lm-eval's wrapping
Rendered = Any
# what chat templates are made of, for a server whose tokenizer is not at hand
_USUAL_MARKS = re.compile(
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>|<(?:start|end)_of_turn>|<(?:begin|end)▁of▁sentence>|\[/?INST\]|</?s>"
)
_PROBE = "prm-eval asks whether a system message is written"


class Writer:
    """Texts from `lm`, drawn as `drawn` says; `until` are strings at which a text ends."""

    def __init__(self, lm: LM, drawn: Drawn, until: Sequence[str] = ()) -> None:
        self._lm, self._drawn, self._until = lm, drawn, tuple(until)
        self.way = seeding.way_of(lm)
        self._marks, self._meter = _marks_of(lm), Meter(lm, self.size)
        self._cost = {"generations": 0.0, "failed_generations": 0.0}

    def prompt(self, turns: Sequence[ChatTurn]) -> Rendered:
        """The conversation in the model's chat template, open for the answer."""
        return self._lm.apply_chat_template(list(turns))

    def check_template(self, name: str) -> bool:
        """Whether the template writes a system message; some drop it, and lm-eval then says nothing.

        Raises CheckpointError naming `name` when no conversation can be written at all.
        """
        turns = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "x"}]
        try:
            try:
                return _PROBE in text_of(self.prompt(turns))
            except Exception:  # a template may refuse the system role in any way it likes
                self.prompt(turns[1:])
                return False
        except Exception as error:  # tokenizers without a template raise what they like
            reason = " ".join(str(error).split())
            raise CheckpointError(
                f"{name}: no conversation can be written ({type(error).__name__}: {reason}): add the "
                "chat template of the original checkpoint"
            ) from error

    def check_window(self, name: str) -> None:
        """Raises BadOption when the answer alone would fill all that the model reads."""
        window, new = self._window(), self._drawn.max_new_tokens
        if window is not None and window <= new:
            raise BadOption(
                f"{name} reads {window} tokens and max_new_tokens={new} are to be written: give fewer, or "
                "max_length in model_args if the model reads more"
            )

    def size(self, prompt: Rendered) -> int | None:
        """The prompt's length in tokens, None where only the server knows."""
        encode = getattr(self._lm, "tok_encode", None)
        if not callable(encode) or not isinstance(prompt, str):
            return None
        ids = encode(prompt)
        return len(ids) if isinstance(ids, list) and all(isinstance(one, int) for one in ids) else None

    def misfit(self, size: int | None) -> str | None:
        """Why a prompt of so many tokens cannot be asked, None when it fits or nobody knows."""
        window, new = self._window(), self._drawn.max_new_tokens
        if size is None or window is None or size + new <= window:
            return None
        return f"too long: {size} tokens and {new} to be written, the model reads {window}"

    def marks_in(self, texts: Iterable[str]) -> list[str]:
        """Control tokens of the model that stand in these texts, which its tokenizer takes for its own."""
        return sorted({found for text in texts for found in self._marks.findall(text)})

    def opens_thinking(self, prompt: Rendered) -> bool:
        """Whether the template has begun `<think>` for the model, so that an answer must close it."""
        if not isinstance(prompt, str) or getattr(self._lm, "think_end_token", None):
            return False
        # a tokenizer that counts </think> among its control tokens leaves it out of every text
        return prompt.rstrip().endswith("<think>") and not self._marks.fullmatch(THINK_END)

    def write(self, asked: Sequence[tuple[Rendered, int]]) -> list[str | Failed]:
        """A text or a failure for each (prompt, repeat), in order; equal repeats share a seed."""
        groups: dict[int, list[int]] = defaultdict(list)
        for place, (_, repeat) in enumerate(asked):
            groups[0 if self.way == "request" else repeat].append(place)
        answers: dict[int, str | Failed] = {}
        for places in groups.values():
            answers |= zip(places, self._pass([asked[place] for place in places]), strict=True)
        for place, answer in answers.items():
            if not isinstance(answer, Failed):
                self._meter.generated(asked[place][0], answer)
        self._cost["generations"] += len(asked)
        self._cost["failed_generations"] += sum(isinstance(one, Failed) for one in answers.values())
        return [answers[place] for place in range(len(asked))]

    def loglikelihoods(self, asked: Sequence[tuple[str, str]]) -> list[float]:
        """The log-likelihood of each continuation after its context."""
        if not asked:
            return []
        requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(asked)]
        quiet = {"disable_tqdm": True} if "disable_tqdm" in _parameters(self._lm.loglikelihood) else {}
        logs = [float(found[0]) for found in self._lm.loglikelihood(requests, **quiet)]
        for pair in asked:
            self._meter.read(*pair)
        return logs

    def seeds(self) -> list[int]:
        """The seeds of the passes, as every back end is told them."""
        return [seeding.seed_of(self._drawn.seed, repeat) for repeat in range(self._drawn.samples)]

    def cost(self) -> dict[str, float]:
        """So far: texts asked for, how many of them failed, if any did, and what `Meter` knows."""
        asked = {name: count for name, count in self._cost.items() if count or name == "generations"}
        return asked | self._meter.cost()

    def _pass(self, asked: Sequence[tuple[Rendered, int]]) -> list[str | Failed]:
        """One call of the back end, or as many as it takes for one failure to stay one failure."""
        requests = [Instance("generate_until", {}, (prompt, self._options()), 0) for prompt, _ in asked]
        seeds = [seeding.seed_of(self._drawn.seed, repeat) for _, repeat in asked]
        if self.way == "payload":
            found = ask_server(self._lm, requests, seeds[0])
        elif self.way == "request":
            seeded = [seeding.with_seed(one, seed) for one, seed in zip(requests, seeds, strict=True)]
            found = ask_local(lambda batch: self._lm.generate_until(batch, disable_tqdm=True), seeded)
        else:
            repeat, seed = asked[0][1], seeds[0]
            found = ask_local(
                lambda batch: seeding.generate(self._lm, batch, repeat, seed, quiet=True), requests
            )
        return [one if isinstance(one, Failed) else mend(one) for one in found]

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "until": list(self._until), "max_gen_toks": self._drawn.max_new_tokens,
            "do_sample": self._drawn.temperature > 0, "temperature": self._drawn.temperature,
        }  # fmt: skip
        if not options["do_sample"]:
            return options
        options["top_p"] = self._drawn.top_p
        if self._drawn.top_k or self.way == "torch":  # transformers' own default is 50
            options["top_k"] = self._drawn.top_k
        return options

    def _window(self) -> int | None:
        if self.way == "payload" and not getattr(self._lm, "tokenized_requests", False):
            return None  # lm-eval's number for a server that is sent text is a default, not its window
        window = getattr(self._lm, "max_length", None)
        return window if isinstance(window, int) else None


def text_of(prompt: Rendered) -> str:
    """A prompt as one text, to be named or looked at: what a chat server gets, as JSON."""
    if isinstance(prompt, str):
        return prompt
    inner = getattr(prompt, "prompt", None)
    return inner if isinstance(inner, str) else json.dumps(prompt, ensure_ascii=False)


def _parameters(function: Callable[..., Any]) -> Iterable[str]:
    return inspect.signature(function).parameters


def _marks_of(lm: LM) -> re.Pattern[str]:
    """A pattern of the strings that the model's tokenizer turns into control tokens."""
    tokenizer = getattr(lm, "tokenizer", None)
    added = getattr(tokenizer, "added_tokens_decoder", None)
    if not isinstance(added, dict):
        return _USUAL_MARKS
    marks = {str(token.content) for token in added.values() if token.special}
    marks |= set(map(str, getattr(tokenizer, "all_special_tokens", ())))
    longest_first = sorted(filter(str.strip, marks), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else re.compile(r"(?!)")
