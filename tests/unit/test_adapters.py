"""A reward model as a judge: by scores, each text once, and found by name."""

import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from prm_eval_tournaments.model import Kind, Tournament

from prm_eval.adapters import judge_of
from prm_eval.errors import PluginError, UnknownName, UsageError
from prm_eval.games import play
from prm_eval.hooks import hookimpl
from prm_eval.plugins import Owner, Registry
from prm_eval.testing import (
    FakeJudge,
    FakeRewardModel,
    JudgeContract,
    RewardModelContract,
    check_judge,
    check_reward_model,
)
from prm_eval.tournament import round_robin
from prm_eval.types import Candidate, Judge, Pair, RewardModel, Score, Turn, Unscored, Verdict


class Length:
    """Scores by length; refuses empty texts, raises on one."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def score(self, candidates: Sequence[Candidate]) -> list[Score | Unscored]:
        if any(item.text == "boom" for item in candidates):
            raise RuntimeError("cannot read it")
        self.seen += [item.text for item in candidates]
        return [Score(float(len(c.text))) if c.text else Unscored("empty: no text") for c in candidates]

    def cost(self) -> dict[str, float]:
        return {"texts": len(self.seen)}


def test_the_higher_score_wins() -> None:
    """First, second and tie by scores; a side without a score makes the game Unscored with its reason."""
    given = [
        Pair("p", "?", *sides) for sides in (("aa", "b"), ("a", "bb"), ("a", "b"), ("a", ""), ("boom", "b"))
    ]
    results = judge_of(Length(), "length").compare(given)
    winners = [result.winner for result in results if isinstance(result, Verdict)]
    assert winners == ["first", "second", "tie"]
    assert results[3] == Unscored("empty: no text (the second response)")
    assert results[4] == Unscored("RuntimeError: cannot read it (the first response)")
    assert all(result.preference is None for result in results if isinstance(result, Verdict))


def test_each_text_is_scored_once() -> None:
    """All pairs of five texts, in both orders, score five texts; another prompt scores them again."""
    model = Length()
    judge = judge_of(model, "length")
    pairs = [Pair("p", "?", a * "x", b * "x") for a in range(1, 6) for b in range(1, 6) if a != b]
    done = play(judge, pairs, name="length", identity="length")
    assert len(model.seen) == 5
    assert done.cost["games"] == 20
    assert done.cost["texts"] == 5
    play(judge, [Pair("p", "another?", "x", "xx")], name="length", identity="length")
    assert len(model.seen) == 7
    assert judge.sides(pairs[:1]) == [(Score(1.0), Score(2.0))]
    assert len(model.seen) == 7


def test_several_turns_are_unscored() -> None:
    """A conversation is not cut down to its last prompt silently."""
    pair = Pair("p", "?", "a", "bb", (Turn("user", "hello"),))
    assert judge_of(Length(), "length").compare([pair]) == [
        Unscored("several turns: a reward model reads one prompt and one response")
    ]


def plugin(models: dict[str, Callable[..., Any]], judges: dict[str, Callable[..., Any]]) -> Registry:
    @hookimpl
    def prm_eval_reward_models() -> dict[str, Callable[..., Any]]:
        return models

    @hookimpl
    def prm_eval_judges() -> dict[str, Callable[..., Any]]:
        return judges

    registry = Registry()
    registry.register(
        SimpleNamespace(prm_eval_reward_models=prm_eval_reward_models, prm_eval_judges=prm_eval_judges),
        Owner("one", "package", "1"),
    )
    return registry


def test_a_judge_by_name() -> None:
    """A judge comes first, then a reward model of that name, which says so in its provenance."""
    registry = plugin({"long": Length, "both": Length}, {"fake": FakeJudge, "both": FakeJudge})
    assert isinstance(registry.judge("fake").obj, FakeJudge)
    assert isinstance(registry.judge("both").obj, FakeJudge)
    found = registry.judge("long")
    assert (found.name, found.entry.kind) == ("long", "reward model")
    assert "the higher score wins" in found.obj.provenance()["judge"]
    assert found.obj.compare([Pair("p", "?", "aa", "b")])[0].winner == "first"


def test_an_unknown_judge() -> None:
    """A mistyped name suggests judges and reward models alike."""
    registry = plugin({"long": Length}, {"fake": FakeJudge})
    with pytest.raises(UnknownName, match="unknown judge or reward model 'lonk': did you mean long"):
        registry.judge("lonk")
    with pytest.raises(UnknownName, match="known: fake, long"):
        registry.judge("zzz")
    with pytest.raises(PluginError, match="has no method compare"):
        plugin({}, {"odd": dict}).judge("odd")


def test_a_tournament_is_no_judge() -> None:
    """A model whose scores depend on the other candidates cannot compare two texts on their own."""
    model = Length()
    model.default_aggregation = "tournament"  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="name its judge instead"):
        judge_of(model, "length")


class TestFakeJudge(JudgeContract):
    """The fake passes the contract that it is for."""

    def make(self) -> Judge:
        return FakeJudge()


class TestRewardModelAsJudge(JudgeContract):
    """A reward model behind the adapter passes the contract of judges."""

    def make(self) -> Judge:
        return judge_of(FakeRewardModel(), "fake")


class TestFakeRewardModel(RewardModelContract):
    """The fake reward model passes its own."""

    def make(self) -> RewardModel:
        return FakeRewardModel()


class Says:
    """A judge that always says the same, or forgets one, or raises."""

    def __init__(self, winner: Any = "first", drop: int = 0, error: str = "") -> None:
        self.winner, self.drop, self.error = winner, drop, error
        self.turn = 0

    def compare(self, pairs: Sequence[Pair]) -> list[Verdict | Unscored]:
        if self.error and pairs:
            raise ValueError(self.error)
        self.turn += 1
        winner = ["first", "second"][self.turn % 2] if self.winner == "changes" else self.winner
        return [Verdict(winner) for _ in pairs][self.drop :]


@pytest.mark.parametrize(
    ("judge", "broken"),
    [
        (Says("first"), {"a right and a wrong response are told apart": "in both orders it says first"}),
        (Says("tie"), {"a right and a wrong response are told apart": "in both orders it says tie"}),
        (Says(drop=1), {"one result for each pair": "2 results for 3 pairs"}),
        (Says("changes"), {"the same verdict twice": "two calls, two verdicts"}),
        (Says(error="no"), {"odd texts and earlier turns are judged or Unscored": "raised ValueError: no"}),
    ],
)
def test_the_contract_finds(judge: Judge, broken: dict[str, str]) -> None:
    """Position-blind, forgetful, fickle and raising judges are found out, each with what was promised."""
    found = dict(check_judge(judge))
    assert len(found) == 6
    for promise, complaint in broken.items():
        assert complaint in (found[promise] or "")


class Sums:
    """Knows sums of three numbers and nothing else: as a judge, and as a reward model."""

    def __init__(self, example: Any, upside_down: bool = False) -> None:
        self.example, self.worth = example, -1.0 if upside_down else 1.0

    def score(self, candidates: Sequence[Candidate]) -> list[Score | Unscored]:
        return [self._score(c.problem.prompt, c.text) for c in candidates]

    def compare(self, pairs: Sequence[Pair]) -> list[Verdict | Unscored]:
        return [judge_of(self, "sums").compare([pair])[0] for pair in pairs]

    def _score(self, prompt: str, text: str) -> Score | Unscored:
        numbers = re.findall("[0-9]+", prompt)
        if len(numbers) != 3:
            return Unscored("no sum of three numbers")
        return Score(self.worth * (text.splitlines()[:1] == [str(sum(map(int, numbers)))]))


THREE = Pair("own", "1 + 2 + 4", "7", "8")
LAST = {check_judge: "a right and a wrong response are told apart",
        check_reward_model: "a right and a wrong response differ"}  # fmt: skip


@pytest.mark.parametrize("check", LAST)
def test_a_model_brings_its_own_example(check: Any) -> None:
    """What cannot read 1 + 1 is asked about its own example, on which the right response must win."""
    assert [finding for finding in dict(check(Sums(THREE))).values() if finding] == []
    found = [dict(check(one))[LAST[check]] for one in
             (Sums(None), Sums(THREE, upside_down=True), Sums("1 + 2 + 4"))]  # fmt: skip
    assert "a plain " in found[0]
    assert "its own example" in found[1]
    assert "not a Pair" in found[2]


def test_an_example_is_handed_on() -> None:
    """A reward model as a judge, and a tournament of a judge, read what their model or judge can read."""
    assert judge_of(Sums(THREE), "sums").example == THREE
    loaded = plugin({}, {"sums": lambda: Sums(THREE)}).judge("sums")
    tournament = Tournament(loaded, Kind("round_robin", round_robin, False, False, 0), None)
    assert [finding for finding in dict(check_reward_model(tournament)).values() if finding] == []
