"""A judge made to serve as a reward model: the candidates of each problem play a tournament.

Invariant: a score depends on the judge, the kind of tournament, the seed and the texts of the pool,
never on the order in which candidates come or on other problems.
"""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prm_eval.aggregate import TOURNAMENT
from prm_eval.batching import Done, Progress
from prm_eval.games import as_prepared_judge, play, recall
from prm_eval.plugins import Loaded
from prm_eval.store import ScoreStore, VerdictStore
from prm_eval.tournament import Match, Points, Rounds, Schedule
from prm_eval.types import Candidate, Pair, Score, Unscored, Verdict, Work
from prm_eval_tournaments.entrants import Entrants, enter

log = logging.getLogger("prm_eval")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of tournament: its name with its own options, and the schedule for n players.

    `both_orders`: every match is two games, one with either side first.
    """

    name: str
    schedule: Callable[[int], Schedule]
    both_orders: bool
    teams: bool
    seed: int


Round = list[tuple[int, int, Points]]
"""The matches of a round: both entrants and the points of the first."""


@dataclass(frozen=True, slots=True)
class _Pool:
    """One problem's tournament while it is played."""

    entrants: Entrants
    rounds: Rounds
    told: list[Round] = field(default_factory=list)

    def send(self, points: Sequence[Points]) -> None:
        """Give the points of a round's first players, and remember them."""
        matches = list(self.rounds.matches)
        self.told.append([(*match, won) for match, won in zip(matches, points, strict=True)])
        self.rounds.send(points)


@dataclass(slots=True)
class _Tally:
    """What all rounds of one run took: games by what became of them, and every key."""

    counts: Counter[str] = field(default_factory=lambda: Counter(games=0, cached=0))
    keys: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)


class Tournament:
    """A `types.PreparedRewardModel` and `scoring.BatchRunner` over a judge.

    The rounds of all problems are played together, so that a judge that generates gets large batches.
    """

    default_aggregation = TOURNAMENT

    def __init__(self, judge: Loaded, kind: Kind, store: Path | None) -> None:
        self._judge, self._kind = judge, kind
        self.example = getattr(judge.obj, "example", None)  # what the judge can read, for `plugins check`
        self._identity = f"{judge.entry.owner} {judge.name}"
        self._file, self._games = store, VerdictStore(store)
        self._progress: Progress | None = None
        self._told: dict[Entrants, list[Round]] = {}
        prepared = as_prepared_judge(judge.obj, self._identity)
        self.fingerprint = _digest(["tournament", prepared.fingerprint, *self._says().values()])

    def attend(self, store: ScoreStore, progress: Progress | None) -> None:
        """Keep the games in a file beside the store of scores, unless one was named; show progress."""
        self._progress = progress
        own = self._file and VerdictStore(self._file, retry_unscored=store.retry_unscored)
        self._games = own or store.games() or self._games

    def score(self, candidates: Sequence[Candidate]) -> list[Score | Unscored]:
        """`prepare` and `score_work` in one."""
        works = self.prepare(candidates)
        unique = {work.key: work for work in works}
        found = dict(zip(unique, self.score_work(list(unique.values())), strict=True))
        return [found[work.key] for work in works]

    def prepare(self, candidates: Sequence[Candidate]) -> list[Work]:
        """One work per candidate; those with equal texts, or of one team, share theirs.

        All candidates of a problem must be given together: they are its tournament.
        """
        places = enter(candidates, self._kind.seed, self._kind.teams)
        return [
            Work(
                _digest(
                    [self.fingerprint, entrants.problem.id, entrants.problem.prompt, *entrants.texts, number]
                ),
                len(entrants.texts[number]),
                (entrants, number),
            )
            for entrants, number in places
        ]

    def score_work(self, works: Sequence[Work]) -> list[Score | Unscored]:
        """The scores of the works, after the tournaments that they belong to."""
        return [
            result for done in self.run_batches([list(works)], "the tournament") for result in done.results
        ]

    def run_batches(self, batches: Iterable[list[Work]], name: str) -> Iterator[Done[Score]]:
        """All works as one batch, since their games are played together; nothing when there are none."""
        works = [work for batch in batches for work in batch]
        if not works:
            return
        started, tally = time.perf_counter(), _Tally()
        entered: dict[int, Entrants] = {id(work.payload[0]): work.payload[0] for work in works}
        pools = {
            place: _Pool(own, Rounds(self._kind.schedule(len(own.texts)))) for place, own in entered.items()
        }
        self._play(list(pools.values()), name, tally)
        self._games.close()
        results = [_score(pools[id(work.payload[0])], work.payload[1]) for work in works]
        cost = {"seconds": time.perf_counter() - started, **self._games.share(tally.keys), **tally.counts}
        yield Done(works, results, cost)

    def tournaments(self, candidates: Sequence[Candidate]) -> Iterator[Mapping[str, Any]]:
        """Every problem's entrants and matches, as played or as the store of games has them.

        A problem of which the store lacks a game is left out, with a notice.
        """
        members: dict[Entrants, list[list[int]]] = {}
        places = enter(candidates, self._kind.seed, self._kind.teams)
        for candidate, (entrants, number) in zip(candidates, places, strict=True):
            members.setdefault(entrants, [[] for _ in entrants.texts])[number].append(candidate.index)
        lost = 0
        for entrants, indices in members.items():
            rounds = self._told.get(entrants) or self._recalled(entrants)
            lost += rounds is None
            if rounds is not None:
                yield {
                    "problem_id": entrants.problem.id, "tournament": self._kind.name.partition(" ")[0],
                    "entrants": indices, "rounds": rounds,
                }  # fmt: skip
        if lost:
            log.warning("%d tournaments cannot be shown: the store of games lacks some of their games", lost)

    def provenance(self) -> Mapping[str, Any]:
        """The kind of tournament and its options, and what the judge says of itself."""
        judge = self._judge.obj
        said = judge.provenance() if callable(getattr(judge, "provenance", None)) else {}
        return {**self._says(), "judge": self._judge.name, "judge_provenance": dict(said)}

    def _says(self) -> dict[str, Any]:
        kind = self._kind
        return {
            "tournament": kind.name,
            "seed": kind.seed,
            "both_orders": kind.both_orders,
            "teams": kind.teams,
        }

    def _play(self, pools: Sequence[_Pool], name: str, tally: _Tally) -> None:
        while open_pools := [pool for pool in pools if pool.rounds.scores is None]:
            points = iter(self._round(open_pools, name, tally))
            for pool in open_pools:
                pool.send([next(points) for _ in pool.rounds.matches])
        # of one call only: a pool of millions comes in many
        self._told = {pool.entrants: pool.told for pool in pools}
        if tally.reasons:
            log.warning(
                "%s: %d games gave no verdict (%s)", name, tally.reasons.total(),
                ", ".join(f"{count} {reason}" for reason, count in tally.reasons.most_common(3)),
            )  # fmt: skip

    def _round(self, pools: Sequence[_Pool], name: str, tally: _Tally) -> list[Points]:
        """The points of the first player of every match of the round, pool by pool."""
        games = self._games_of_round(pools)
        played = play(
            self._judge.obj, [pair for pair, _ in games], name=f"{name}, judge {self._judge.name}",
            identity=self._identity, store=self._games, progress=self._progress,
        )  # fmt: skip
        tally.keys |= {key for key in played.keys if key is not None}
        for count in ("games", "cached"):
            tally.counts[count] += int(played.cost[count])
        tally.reasons += played.unscored
        if played.unscored:
            tally.counts["no_verdict"] += played.unscored.total()
        return self._match_points(played.results, games)

    def _match_points(
        self, results: Sequence[Verdict | Unscored], games: Sequence[tuple[Pair, bool]]
    ) -> list[Points]:
        """The points of matches out of their games, one or two each."""
        points = [_points(result, swapped) for result, (_, swapped) in zip(results, games, strict=True)]
        each = 2 if self._kind.both_orders else 1
        return [_mean(points[at : at + each]) for at in range(0, len(points), each)]

    def _recalled(self, entrants: Entrants) -> list[Round] | None:
        """The tournament again, by stored games alone; None where one of them is not stored."""
        pool = _Pool(entrants, Rounds(self._kind.schedule(len(entrants.texts))))
        while pool.rounds.scores is None:
            games = self._games_of_round([pool])
            found = recall(self._judge.obj, [pair for pair, _ in games], name=self._judge.name,
                           identity=self._identity, store=self._games)  # fmt: skip
            known = [result for result in found if result is not None]
            if len(known) < len(found):
                return None
            pool.send(self._match_points(known, games))
        return pool.told

    def _games_of_round(self, pools: Sequence[_Pool]) -> list[tuple[Pair, bool]]:
        return [
            game for pool in pools for match in pool.rounds.matches for game in self._games_of(pool, match)
        ]

    def _games_of(self, pool: _Pool, match: Match) -> list[tuple[Pair, bool]]:
        """The games of a match, and whether its first player stands second in the prompt.

        Who stands first is drawn from the seed and the two texts, so that every kind of tournament plays
        the very same games.
        """
        one, other = (pool.entrants.texts[player] for player in match)
        problem = pool.entrants.problem
        drawn = _digest([self._kind.seed, problem.id, problem.prompt, *sorted((one, other))])
        swapped = (int(drawn, 16) % 2 == 0) is (one < other)
        sides = [(other, one, True), (one, other, False)]
        chosen = sides if self._kind.both_orders else sides[:1] if swapped else sides[1:]
        return [(Pair(problem.id, problem.prompt, first, second), turned) for first, second, turned in chosen]


def _score(pool: _Pool, player: int) -> Score | Unscored:
    scores = pool.rounds.scores
    assert scores is not None, "every tournament was played to its end"
    value = scores[player]
    return (
        Unscored("no verdict: no game of this candidate could be judged") if value is None else Score(value)
    )


def _points(result: Verdict | Unscored, swapped: bool) -> Points:
    if isinstance(result, Unscored):
        return None
    if result.winner == "tie":
        return 0.5
    return float((result.winner == "first") is not swapped)


def _mean(points: Sequence[Points]) -> Points:
    given = [value for value in points if value is not None]
    return sum(given) / len(given) if given else None


def _digest(parts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
