"""Pairs to verdicts: every game once per distinct content, whatever the judge does.

Invariant: as many results as pairs, in their order. Pairs come as they stand in the prompt; a pair of
equal texts is a tie without a call.
"""

import hashlib
import json
import typing
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prm_eval import batching
from prm_eval.batching import Done, Progress, Trade
from prm_eval.store import VerdictStore
from prm_eval.types import Judge, Pair, PreparedJudge, Unscored, Verdict, Winner, Work

Result = Verdict | Unscored

IDENTICAL = Verdict("tie", 0.5, "the two texts are identical: no game was played")


@dataclass(frozen=True, slots=True)
class Playing:
    """What one judge says of the pairs, aligned with them; `keys` are None where no game was needed.

    `cost`: `games` are the calls made now, `cached` were in the store, `identical` needed none.
    `seconds` and the judge's own counts are those of all these games, whichever run played them.
    """

    judge: str
    results: list[Result]
    keys: list[str | None]
    cost: Mapping[str, float]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unscored(self) -> Counter[str]:
        """How many games gave no verdict, by kind of reason."""
        return Counter(result.kind for result in self.results if isinstance(result, Unscored))


def play(
    judge: Judge,
    pairs: Sequence[Pair],
    *,
    name: str,
    identity: str,
    store: VerdictStore | None = None,
    progress: Progress | None = None,
) -> Playing:
    """Play every pair once per distinct content; finished batches are in the store at once.

    `name` is the judge's reference. `identity` names the code and options of a judge that has no
    fingerprint of its own; together with the pair it makes the key. Raises PluginError when the judge
    returns another number of results than it was given, or something else.
    """
    store = store if store is not None else VerdictStore(None)
    prepared = as_prepared_judge(judge, identity)
    open_pairs = [pair for pair in pairs if pair.first != pair.second]
    works = batching.resilient(prepared.prepare, open_pairs, name, _GAMES, Work)
    keys = [work.key if isinstance(work, Work) else None for work in works]
    unique = {key for key in keys if key is not None}
    cached = sum(store.get(key) is not None for key in unique)

    def run(batches: Iterator[list[Work]]) -> Iterator[Done[Verdict]]:
        for batch in batches:
            yield batching.run_batch(prepared, prepared.judge_work, name, batch, _GAMES)

    results = batching.finish(works, store, run, progress)
    played = zip(results, keys, strict=True)
    aligned = [(IDENTICAL, None) if pair.first == pair.second else next(played) for pair in pairs]
    counted = {
        "games": len(unique) - cached,
        "cached": cached,
        "identical": len(pairs) - len(open_pairs),
    }
    provenance = dict(judge.provenance()) if isinstance(judge, PreparedJudge) else {"identity": identity}
    return Playing(
        name,
        [result for result, _ in aligned],
        [key for _, key in aligned],
        {"seconds": 0.0, **store.share(unique), **counted},
        provenance,
    )


def recall(
    judge: Judge, pairs: Sequence[Pair], *, name: str, identity: str, store: VerdictStore
) -> list[Result | None]:
    """What is stored of the pairs, aligned with them, None where nothing is; nobody is asked to judge."""
    prepared = as_prepared_judge(judge, identity)
    works = batching.resilient(prepared.prepare, pairs, name, _GAMES, Work)
    return [store.get(work.key) if isinstance(work, Work) else work for work in works]


def as_prepared_judge(judge: Judge, identity: str) -> PreparedJudge:
    """The judge, or one that has only `compare` made to look prepared under `identity`."""
    return judge if isinstance(judge, PreparedJudge) else _Plain(judge, identity)


def _sound(verdict: Verdict) -> Result:
    if verdict.winner not in typing.get_args(Winner):
        return Unscored(f"no such winner: the judge named {verdict.winner!r}, not first, second or tie")
    if verdict.preference is not None and not 0 <= verdict.preference <= 1:
        return Unscored(f"no probability: the judge gave the preference {verdict.preference}")
    return verdict


_GAMES = Trade("a judge", "pair", Verdict, _sound)


class _Plain:
    """A judge that has only `compare`, made to look prepared: the key is the pair itself."""

    def __init__(self, judge: Judge, identity: str) -> None:
        self._judge = judge
        self.fingerprint = identity

    def compare(self, pairs: Sequence[Pair]) -> Sequence[Result]:
        return self._judge.compare(pairs)

    def prepare(self, pairs: Sequence[Pair]) -> list[Work | Unscored]:
        return [Work(self._key(pair), len(pair.first) + len(pair.second), pair) for pair in pairs]

    def judge_work(self, works: Sequence[Work]) -> Sequence[Result]:
        return self._judge.compare([work.payload for work in works])

    def provenance(self) -> Mapping[str, Any]:
        return {"identity": self.fingerprint}

    def cost(self) -> Mapping[str, float]:
        return batching.counts(self._judge)

    def _key(self, pair: Pair) -> str:
        history = [[turn.role, turn.text] for turn in pair.history]
        parts = [self.fingerprint, pair.id, pair.prompt, pair.first, pair.second, history]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
