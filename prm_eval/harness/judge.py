r"""`GenerativeJudge`: any model of lm-eval that reads two answers, writes, and names the better one.

    protocol = JudgeProtocol("my-judge/1", judge_prompt(Path("prompt.txt")), boxed("First", "Second"))
    drawn = Drawn(samples=1, temperature=0.0, top_p=1.0, top_k=0, max_new_tokens=256)
    judge = load_judge(protocol, drawn, Runs("hf", "pretrained=./my-judge"))

(`JudgeProtocol` from `harness.protocol`, `judge_prompt` from `.prompts`, `boxed` from `.verdicts`, `Drawn`
and `Runs` from `.drawn`: all of them light.) Invariant: a verdict is read only from what the judge wrote;
what could not be read is Unscored or a counted vote of nobody, never a guess.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lm_eval.api.model import LM

from prm_eval.errors import BadOption
from prm_eval.harness.asking import Failed
from prm_eval.harness.drawn import Drawn, Runs
from prm_eval.harness.gate import ControlTokens, Gate
from prm_eval.harness.models import load_model
from prm_eval.harness.protocol import THINK_END, JudgeProtocol
from prm_eval.harness.rendering import Ask, Renderer, key_of
from prm_eval.harness.verdicts import Reading, mirrored
from prm_eval.harness.writer import Rendered, Writer
from prm_eval.types import Pair, Unscored, Verdict, Winner, Work

log = logging.getLogger("prm_eval")
TAIL = 80


@dataclass(frozen=True, slots=True)
class Vote:
    """A text about a pair as it stood in the prompt; `reading` is in the pair's own order, None if unread."""

    pair: Pair
    text: str
    reading: Reading | None


class Sift(Protocol):
    """Chooses which votes of each game count, a meta reward model for one.

    `identity` goes into the judge's fingerprint. `keep` gets the votes that were read, of each game, and
    gives those to count, or Unscored.
    """

    @property
    def identity(self) -> str: ...

    def keep(self, games: Sequence[Sequence[Vote]]) -> Sequence[Sequence[Vote] | Unscored]: ...

    def cost(self) -> Mapping[str, float]: ...


class GenerativeJudge:
    """A `types.PreparedJudge`. `drawn.samples` votes are drawn for each pair and counted by the protocol.

    `runner` goes into the fingerprint and the results: what runs, and with which arguments. `notes` go
    into the results only. `example`, the better response first, is what `plugins check` asks about.
    `control_tokens` "refuse" makes a pair Unscored whose texts hold control tokens of the judge; "keep"
    asks anyway, which is what every other harness does, and counts them.
    """

    def __init__(
        self,
        lm: LM,
        protocol: JudgeProtocol,
        drawn: Drawn,
        runner: Mapping[str, str],
        *,
        notes: Mapping[str, str] | None = None,
        control_tokens: ControlTokens = "keep",
        sift: Sift | None = None,
        example: Pair | None = None,
    ) -> None:
        self.example = example
        self._writer, self._protocol, self._drawn = Writer(lm, drawn), protocol, drawn
        self._runner, self._notes, self._sift = dict(runner), dict(notes or {}), sift
        self._folds = protocol.chat and not self._writes_system()
        self._renderer = Renderer(self._writer, protocol, drawn, folds=self._folds)
        self._gate = Gate(self._writer, protocol.name, control_tokens)
        self._unparsed = 0.0
        prompt = protocol.prompt
        named = [protocol.name, prompt.system, prompt.user, repr(drawn), self._runner, self._folds]
        named.append(sift.identity if sift is not None else None)
        self.fingerprint = hashlib.sha256(json.dumps(named).encode()).hexdigest()

    def prepare(self, pairs: Sequence[Pair]) -> list[Work | Unscored]:
        """The rendered prompts, named by content; over-long and multi-turn pairs are Unscored already."""
        return [self._prepare(pair) for pair in pairs]

    def compare(self, pairs: Sequence[Pair]) -> list[Verdict | Unscored]:
        """`prepare` and `judge_work` in one; equal prompts are judged once."""
        prepared = self.prepare(pairs)
        unique = {work.key: work for work in prepared if isinstance(work, Work)}
        verdicts = dict(zip(unique, self.judge_work(list(unique.values())), strict=True))
        return [verdicts[item.key] if isinstance(item, Work) else item for item in prepared]

    def judge_work(self, works: Sequence[Work]) -> list[Verdict | Unscored]:
        """One result per work, in order: all votes of all games, each vote under its own seed."""
        passes = range(self._drawn.samples)
        asked = [(work.payload[vote].prompt, vote) for vote in passes for work in works]
        texts = self._writer.write(asked)
        by_vote = [texts[vote * len(works) : (vote + 1) * len(works)] for vote in passes]
        return self.read(works, list(zip(*by_vote, strict=True)))

    def prompts(self, work: Work) -> list[Rendered]:
        """The prompt of each vote, for a host that generates by itself and gives the texts to `read`."""
        return [ask.prompt for ask in work.payload]

    def read(
        self, works: Sequence[Work], texts: Sequence[Sequence[str | Failed]]
    ) -> list[Verdict | Unscored]:
        """One result per work, in order, from the texts of its votes."""
        return self._verdicts(
            [self._votes(work.payload, own) for work, own in zip(works, texts, strict=True)]
        )

    def provenance(self) -> Mapping[str, Any]:
        """What ran: back end, prompt file and its hash, sampling, seeds, and how a vote is read."""
        prompt = self._protocol.prompt
        system = "before the user's text" if self._folds else "a turn of its own"
        sifted = {} if self._sift is None else {"votes_kept_by": self._sift.identity}
        return {
            **self._runner, **self._notes, "protocol": self._protocol.name, "fingerprint": self.fingerprint,
            "prompt": prompt.name, "prompt_sha256": prompt.sha256,
            "system_message": system if prompt.system else "none",
            "drawn": repr(self._drawn), "seeds": self._writer.seeds(), "seeded_by": self._writer.way,
            **sifted,
        }  # fmt: skip

    def cost(self) -> Mapping[str, float]:
        """So far: texts asked for; failed and unparsed ones, pairs with control tokens, if there were any."""
        odd = {"unparsed_votes": self._unparsed, "control_token_pairs": self._gate.marked()}
        sifted = self._sift.cost() if self._sift is not None else {}
        return {**self._writer.cost(), **{name: count for name, count in odd.items() if count}, **sifted}

    def _writes_system(self) -> bool:
        writes = self._writer.check_template(str(self._runner.get("model_args", "the model")))
        if not writes and self._protocol.prompt.system:
            log.warning(
                "%s: the model's chat template takes no system message: it is put before the user's",
                self._protocol.name,
            )
        return writes

    def _prepare(self, pair: Pair) -> Work | Unscored:
        if pair.history and not self._protocol.prompt.multi_turn:
            before = len(pair.history)
            return Unscored(f"multi-turn prompt: {before} turns before it, {self._protocol.name} reads none")
        votes = self._renderer.votes(pair)
        size = self._gate.measure([ask.prompt for ask in votes])
        if isinstance(size, Unscored):
            return size
        return self._gate.refuses(pair) or Work(key_of(self.fingerprint, votes), size, votes)

    def _votes(self, asks: Sequence[Ask], texts: Sequence[str | Failed]) -> list[Vote] | Unscored:
        for text in texts:
            if isinstance(text, Failed):
                return Unscored(text.reason)
        read = [(ask, str(text)) for ask, text in zip(asks, texts, strict=True)]
        votes = [Vote(ask.pair, text, self._reading(ask, text)) for ask, text in read]
        self._unparsed += sum(vote.reading is None for vote in votes)
        if all(vote.reading is None for vote in votes):
            many = f"in none of {len(votes)} votes " if len(votes) > 1 else ""
            return Unscored(f"no verdict: {many}...{votes[0].text[-TAIL:]!r}")
        return votes

    def _reading(self, ask: Ask, text: str) -> Reading | None:
        """The vote in a text, in the pair's own order; a text cut off inside its thinking has none."""
        if THINK_END not in text and self._writer.opens_thinking(ask.prompt):
            return None
        reading = self._protocol.reading(text)
        return mirrored(reading) if reading is not None and ask.swapped else reading

    def _verdicts(self, games: Sequence[list[Vote] | Unscored]) -> list[Verdict | Unscored]:
        """Counts what is to be counted, of all games at once."""
        kept: dict[int, Sequence[Vote] | Unscored] = {}
        for place, game in enumerate(games):
            kept[place] = game if isinstance(game, Unscored) else [v for v in game if v.reading is not None]
        if self._sift is not None:
            places = [place for place, game in kept.items() if not isinstance(game, Unscored)]
            read = [game for game in kept.values() if not isinstance(game, Unscored)]
            kept |= zip(places, self._sift.keep(read), strict=True)
        return [self._verdict(game, kept[place]) for place, game in enumerate(games)]

    def _verdict(
        self, votes: Sequence[Vote] | Unscored, kept: Sequence[Vote] | Unscored
    ) -> Verdict | Unscored:
        if isinstance(votes, Unscored):
            return votes
        if isinstance(kept, Unscored):
            return kept
        outcome = self._protocol.count([vote.reading for vote in kept if vote.reading is not None])
        winners = tuple(_winner(vote) for vote in votes if vote.reading is None or vote in kept)
        return Verdict(outcome.winner, outcome.preference, _joined(votes), winners)


def load_judge(
    protocol: JudgeProtocol,
    drawn: Drawn,
    runs: Runs,
    *,
    source: Mapping[str, str] | None = None,
    control_tokens: ControlTokens = "keep",
    sift: Sift | None = None,
    example: Pair | None = None,
) -> GenerativeJudge:
    """The judge on an lm-eval back end: `runs.model` is hf, vllm, local-chat-completions, ...

    `source` adds to the provenance (how the format is known). Raises BadOption for values that cannot
    be, CheckpointError for a tokenizer without a chat template, UsageError when the model does not load.
    """
    drawn.check("votes", alike=not protocol.shuffled)
    if not protocol.chat and "chat" in runs.model:
        raise BadOption(f"model={runs.model}: a chat server takes no plain text: use model=local-completions")
    lm = load_model(runs.model, runs.model_args, runs.batch_size)
    Writer(lm, drawn).check_window(runs.model_args)
    runner = {"model": runs.model, "model_args": runs.model_args}
    return GenerativeJudge(
        lm, protocol, drawn, runner, notes=source, control_tokens=control_tokens, sift=sift, example=example
    )


def _winner(vote: Vote) -> Winner | None:
    return None if vote.reading is None else vote.reading.winner


def _joined(votes: Sequence[Vote]) -> str:
    if len(votes) == 1:
        return votes[0].text
    return "\n\n".join(f"[vote {n} of {len(votes)}]\n{vote.text}" for n, vote in enumerate(votes, start=1))
