"""A generative PRM as a reward model, on any back end of lm-eval.

Invariant: a chain whose text has no decision gives no probability: it is Unscored with the tail of
its text, or counted in a notice where other chains decided. Never one half, never zero.
"""

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lm_eval.api.model import LM

from prm_eval.aggregate import minimum
from prm_eval.harness.asking import Failed
from prm_eval.harness.drawn import Drawn
from prm_eval.harness.writer import Writer
from prm_eval.steps import candidate_steps
from prm_eval.types import Candidate, Score, Unscored, Work
from prm_eval_generative_prms.formats import Format

log = logging.getLogger("prm_eval")
TAIL = 80


@dataclass(slots=True)
class _Chain:
    """One critique of one candidate: what it said of each step so far."""

    problem: str
    steps: list[str]
    asked: list[int]
    answers: list[str] = field(default_factory=list)
    good: list[float] = field(default_factory=list)
    failure: str | None = None


class Critic:
    """A `types.PreparedRewardModel`. With `stepwise` one score per step, else one per response."""

    def __init__(self, lm: LM, form: Format, drawn: Drawn, stepwise: bool, source: Mapping[str, str]) -> None:
        self._lm, self._form, self._drawn = lm, form, drawn
        self._stepwise, self._source = stepwise, source
        self._writer = Writer(lm, drawn, form.until)
        self._decisions = 0.0
        self.default_aggregation = "min" if stepwise else "last"
        named = [form.name, form.text, repr(drawn), stepwise, dict(source)]
        self.fingerprint = hashlib.sha256(json.dumps(named).encode()).hexdigest()

    def prepare(self, candidates: Sequence[Candidate]) -> list[Work | Unscored]:
        """Problem and steps, named by content; a response without steps is Unscored."""
        return [self._prepare(candidate) for candidate in candidates]

    def score(self, candidates: Sequence[Candidate]) -> list[Score | Unscored]:
        """`prepare` and `score_work` in one; equal contents are criticised once."""
        prepared = self.prepare(candidates)
        unique = {work.key: work for work in prepared if isinstance(work, Work)}
        scores = dict(zip(unique, self.score_work(list(unique.values())), strict=True))
        return [scores[item.key] if isinstance(item, Work) else item for item in prepared]

    def score_work(self, works: Sequence[Work]) -> list[Score | Unscored]:
        """One result per work, in order: probabilities averaged over the chains."""
        by_chain = [self._run(works, number) for number in range(self._drawn.samples)]
        return [self._result(list(chains)) for chains in zip(*by_chain, strict=True)]

    def provenance(self) -> Mapping[str, Any]:
        """What ran: back end, prompt, sampling, and how the format is known."""
        return {**self._source, "family": self._form.name, "fingerprint": self.fingerprint,
                "drawn": repr(self._drawn), "seeded_by": self._writer.way}  # fmt: skip

    def cost(self) -> Mapping[str, float]:
        """So far: texts generated, decisions read, and the tokens, FLOPs and memory that are known."""
        return {**self._writer.cost(), "decisions": self._decisions}

    def _prepare(self, candidate: Candidate) -> Work | Unscored:
        steps = [step.text for step in candidate_steps(candidate)]
        if not steps:
            return Unscored("empty response")
        content = [self.fingerprint, candidate.problem.prompt, steps]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        return Work(key, len(candidate.problem.prompt) + sum(map(len, steps)), content[1:])

    def _run(self, works: Sequence[Work], number: int) -> list[_Chain]:
        """The number-th chain of every work."""
        chains = [self._chain(*work.payload) for work in works]
        if not self._form.in_turn:
            self._wave([(chain, step) for chain in chains for step in chain.asked], number)
            return chains
        for step in range(max((len(chain.asked) for chain in chains), default=0)):
            live = [chain for chain in chains if chain.failure is None and step < len(chain.asked)]
            self._wave([(chain, step) for chain in live], number + self._drawn.samples * step)
        return chains

    def _chain(self, problem: str, steps: list[str]) -> _Chain:
        return _Chain(problem, steps, list(range(len(steps))) if self._stepwise else [len(steps) - 1])

    def _wave(self, asked: Sequence[tuple[_Chain, int]], repeat: int) -> None:
        """Generate for all, then read both labels of all that decided."""
        prompts = [self._prompt(chain, step) for chain, step in asked]
        fitting = [k for k, prompt in enumerate(prompts) if self._fits(asked[k][0], prompt)]
        texts = self._writer.write([(prompts[k], repeat) for k in fitting])
        decided: list[tuple[_Chain, str, str]] = []
        for k, text in zip(fitting, texts, strict=True):
            chain, step = asked[k]
            if isinstance(text, Failed):
                chain.failure = chain.failure or text.reason
                continue
            found = self._form.decision(text)
            if found is None:
                chain.failure = chain.failure or f"no decision: about step {step + 1}: ...{text[-TAIL:]!r}"
            else:
                opening = self._form.ask(chain.problem, chain.steps, step, chain.answers).opening
                decided.append((chain, prompts[k] + found, opening + found))
        for (chain, _, answer), good in zip(decided, self._read([d[1] for d in decided]), strict=True):
            chain.good.append(good)
            chain.answers.append(answer + self._form.labels[good < 0.5])

    def _prompt(self, chain: _Chain, step: int) -> str:
        asked = self._form.ask(chain.problem, chain.steps, step, chain.answers)
        if not asked.bare:
            return str(self._writer.prompt(asked.turns)) + asked.opening
        begun = asked.opening.rstrip()
        turns = [*asked.turns, {"role": "assistant", "content": begun}]
        text = str(self._lm.apply_chat_template(turns, add_generation_prompt=False))
        return text[: text.rindex(begun)] + asked.opening

    def _fits(self, chain: _Chain, prompt: str) -> bool:
        """Back ends cut a long prompt on its left without a word: such a chain fails instead."""
        reason = self._writer.misfit(self._writer.size(prompt))
        chain.failure = reason or chain.failure
        return reason is None

    def _read(self, contexts: Sequence[str]) -> list[float]:
        """P(good) against P(bad), from the log-likelihoods of the two continuations."""
        pairs = [(context, label) for context in contexts for label in self._form.labels]
        logs = self._writer.loglikelihoods(pairs)
        self._decisions += len(contexts)
        return [_against(good, bad) for good, bad in zip(logs[::2], logs[1::2], strict=True)]

    def _result(self, chains: Sequence[_Chain]) -> Score | Unscored:
        whole = [chain for chain in chains if chain.failure is None]
        if not whole:
            return Unscored(str(chains[0].failure))
        if len(whole) < len(chains):
            log.warning(
                "%s: %d of %d chains gave no decision", self._form.name, len(chains) - len(whole), len(chains)
            )
        steps = tuple(math.fsum(values) / len(whole) for values in zip(*(c.good for c in whole), strict=True))
        return Score(minimum(steps), steps) if self._stepwise else Score(steps[0])


def _against(good: float, bad: float) -> float:
    """exp(good) / (exp(good) + exp(bad)), without overflow."""
    return 1 / (1 + math.exp(bad - good)) if good >= bad else 1 - 1 / (1 + math.exp(good - bad))
