"""Tournaments kept by a run, and their brackets and ratings on the page."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import prm_eval
from prm_eval.pages import read_run
from prm_eval.pages.brackets import Entrant, bracket
from prm_eval.pages.tournaments import Played, chosen

from .conftest import Done, write_candidates
from .test_report_command import read

Shell = Callable[..., Done]
SCHEMA = json.loads((Path(prm_eval.__file__).parent / "schemas" / "tournaments.schema.json").read_text())

JUDGE = """
from pathlib import Path
from prm_eval.hooks import hookimpl
from prm_eval.types import Unscored, Verdict


class Numbers:
    "The response with the larger number wins; of two sevens nobody; every call is counted in a file."

    def compare(self, pairs):
        with Path("calls").open("a") as handle:
            handle.write("".join(".\\n" for _ in pairs))
        found = []
        for pair in pairs:
            a, b = (int(text.split()[1]) for text in (pair.first, pair.second))
            silent = Unscored("silent: two sevens") if a == b == 7 else None
            found.append(silent or Verdict("first" if a > b else "second" if a < b else "tie"))
        return found


@hookimpl
def prm_eval_judges():
    return {"numbers": Numbers}
"""


def rows(numbers: list[list[int]], right: list[list[bool]]) -> list[dict[str, Any]]:
    """One problem for each list; a response says its number."""
    return [
        {"problem_id": f"p{p}", "problem": f"Which? {p}", "answer": "1", "index": i, "correct": ok,
         "response": f"number {number} of {i}", "prediction": "1" if ok else "2"}
        for p, (own, labels) in enumerate(zip(numbers, right, strict=True))
        for i, (number, ok) in enumerate(zip(own, labels, strict=True))
    ]  # fmt: skip


@pytest.fixture
def played(shell: Shell) -> Shell:
    """A run `run`: three problems of four responses, a knockout by the numbers that they say."""
    numbers = [[1, 2, 3, 4], [4, 3, 2, 1], [5, 7, 7, 6]]
    right = [[True, False, False, False], [True, True, False, False], [False, True, True, False]]
    write_candidates(Path("c.jsonl"), rows(numbers, right))
    Path("judge.py").write_text(JUDGE)
    done = shell(*COMMAND, "--out", "run")
    assert done.status == 0, done.err
    return shell


COMMAND = ("best-of-n", "--candidates", "c.jsonl", "--plugin", "judge.py", "--bootstrap", "100",
           "--reward-model", "knockout:judge=numbers", "--strategy", "best_of_n")  # fmt: skip


def lines(run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(run, "tournaments.jsonl").read_text().splitlines()]


def calls() -> int:
    return len(Path("calls").read_text().splitlines())


def test_every_match_is_kept(played: Shell) -> None:
    """A line per problem, valid; three matches where all have a verdict; the winner is the largest number."""
    found = lines("run")
    assert [row["problem_id"] for row in found] == ["p0", "p1", "p2"]
    for row in found:
        jsonschema.validate(row, SCHEMA)
        assert sorted(index for own in row["entrants"] for index in own) == [0, 1, 2, 3]
    numbers = {"p0": [1, 2, 3, 4], "p1": [4, 3, 2, 1]}
    for row in found[:2]:
        own = [numbers[row["problem_id"]][indices[0]] for indices in row["entrants"]]
        matches = [match for round_ in row["rounds"] for match in round_]
        assert len(matches) == 3
        assert all(points == float(own[a] > own[b]) for a, b, points in matches)


def test_a_resumed_run_tells_the_same_without_a_game(played: Shell) -> None:
    """All scores in the store: no judge is asked, and the file has the same bytes, out of the stored games."""
    before, asked = Path("run/tournaments.jsonl").read_bytes(), calls()
    Path("run/tournaments.jsonl").unlink()
    assert played(*COMMAND, "--out", "run").status == 0
    assert Path("run/tournaments.jsonl").read_bytes() == before
    assert played(*COMMAND, "--out", "other", "--store", "run/store.jsonl").status == 0
    assert Path("other/tournaments.jsonl").read_bytes() == before
    assert calls() == asked


def test_games_that_are_gone_are_not_played_again(played: Shell) -> None:
    """Scores without their games: no line, a notice, and still no call."""
    asked = calls()
    Path("run/games.jsonl").unlink()
    Path("run/tournaments.jsonl").unlink()
    done = played(*COMMAND, "--out", "run")
    assert done.status == 0 and "3 tournaments cannot be shown" in done.err
    assert not Path("run/tournaments.jsonl").exists() and calls() == asked


def test_the_page_says_how_right_ones_fared(played: Shell) -> None:
    """Points of right against wrong responses, by hand from the matches, and the same as an Elo lead."""
    assert played("report", "run").status == 0
    words = read("run/report.html").words
    right = {("p0", 0), ("p1", 0), ("p1", 1), ("p2", 1), ("p2", 2)}
    points, games, silent = 0.0, 0, 0
    for row in lines("run"):
        for a, b, won in (match for round_ in row["rounds"] for match in round_):
            sides = [(row["problem_id"], row["entrants"][side][0]) in right for side in (a, b)]
            silent += won is None
            if won is not None and sides[0] != sides[1]:
                games += 1
                points += won if sides[0] else 1 - won
    assert 0 < points < games

    def after(name: str) -> str:
        return words[words.index(name) + 1]

    assert after("of a right against a wrong response") == str(games)
    assert after("points of the right one") == f"{points / games:.3f}"
    assert after("the same as a lead in Elo points") == f"{400 * math.log10(points / (games - points)):+,.0f}"
    assert after("without a verdict") == str(silent)


def test_the_page_shows_brackets_of_both_kinds(played: Shell) -> None:
    """p0 is won by a wrong response and p1 by a right one: both brackets, their ratings, and which were chosen."""
    assert played("report", "run").status == 0
    words = read("run/report.html").words
    for problem in ("p0", "p1"):
        assert f"knockout:judge=numbers: knockout of problem {problem}" in words
        assert f"knockout:judge=numbers: ratings in problem {problem}" in words
    assert {"✗ #3", "✓ #0"} <= set(words)
    assert any(word.startswith("knockout:judge=numbers: of 3 tournaments ") for word in words)


def test_ratings_by_brute_force(played: Shell) -> None:
    """The ratings are where the likelihood, written out, is highest; intervals from its curvature."""
    assert played("report", "run").status == 0
    words = read("run/report.html").words
    row = lines("run")[0]
    games = [match for round_ in row["rounds"] for match in round_]

    def loss(strengths: np.ndarray) -> float:
        total = -sum(0.5 * (math.log(p(s)) + math.log(p(-s))) for s in strengths)
        return total - sum(won * math.log(p(strengths[a] - strengths[b]))
                           + (1 - won) * math.log(p(strengths[b] - strengths[a])) for a, b, won in games)  # fmt: skip

    def p(gap: float) -> float:
        return 1 / (1 + math.exp(-gap))

    from scipy.optimize import minimize

    best = minimize(
        loss, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10_000}
    ).x
    at = words.index("knockout:judge=numbers: ratings in problem p0")
    table = [word for word in words[at:] if word]
    for entrant, strength in zip(row["entrants"], best, strict=True):
        place = table.index(f"#{entrant[0]}")
        assert int(table[place + 4].replace(",", "")) == round(1000 + 400 / math.log(10) * strength)


def test_a_bracket_by_hand() -> None:
    """Four play, a tie goes to the better seed; the lines meet between those who met, and do not cross."""
    entrants = [Entrant("#0", True), Entrant("#1", False), Entrant("#2", True), Entrant("#3", None)]
    drawn = str(bracket("t", entrants, [[(0, 3, 0.5), (1, 2, 0.0)], [(0, 2, 0.0)]]))
    for told in ("#0 against #3: a tie", "#1 against #2: #2 wins", "#0 against #2: #2 wins"):
        assert drawn.count(told) == 2  # a line from either side
    assert drawn.index("✓ #2") < drawn.index("✗ #1") < drawn.index("✓ #0") < drawn.index("? #3")
    assert "✓ #0 (tie)" in drawn


def test_a_match_without_a_verdict_joins_nobody() -> None:
    """Both go on: no line leads to a meeting, and both still have a place to the right."""
    drawn = str(bracket("t", [Entrant("#0", True), Entrant("#1", False)], [[(0, 1, None)], [(0, 1, 1.0)]]))
    assert drawn.count("against") == 2


def test_which_problems_are_chosen() -> None:
    """At most two of either kind; none without both labels, without a single winner, or too large to draw."""

    def one(problem: str, labels: list[bool], winner: int | None) -> Played:
        return Played(
            problem, "knockout", [Entrant(f"#{i}", right) for i, right in enumerate(labels)], [], winner
        )

    played = [
        one("all right", [True, True], 0), one("level", [True, False], None), one("huge", [True, False] * 40, 0),
        *(one(f"right {i}", [True, False], 0) for i in range(3)), *(one(f"wrong {i}", [True, False], 1) for i in range(3)),
    ]  # fmt: skip
    assert [own.problem for own in chosen(played)] == ["wrong 0", "wrong 1", "right 0", "right 1"]


def test_teams_and_both_orders(played: Shell) -> None:
    """With teams those of one answer are one entrant; with both orders a match has the mean of two games."""
    name = "knockout:judge=numbers,both_orders=true,teams=true"
    done = played("best-of-n", "--candidates", "c.jsonl", "--plugin", "judge.py", "--bootstrap", "100",
                  "--reward-model", name, "--strategy", "best_of_n", "--out", "teams")  # fmt: skip
    assert done.status == 0, done.err
    assert [sorted(map(sorted, row["entrants"])) for row in lines("teams")] == [
        [[0], [1, 2, 3]], [[0, 1], [2, 3]], [[0, 3], [1, 2]]]  # fmt: skip
    assert {run.kind for run in [read_run(Path("teams"))]} == {"best_of_n"}
    assert played("report", "teams").status == 0
    assert "✗ #1, #2, +1" in read("teams/report.html").words


def test_generators_are_rated_where_they_are_named(played: Shell) -> None:
    """With `meta.generator` of the candidates the page rates who wrote them; the larger numbers win."""
    found = [json.loads(line) for line in Path("c.jsonl").read_text().splitlines()]
    for row in found:
        row["meta"] = {"generator": "large" if int(row["response"].split()[1]) > 2 else "small"}
    write_candidates(Path("c.jsonl"), found)
    assert played(*COMMAND, "--out", "named").status == 0
    assert played("report", "named").status == 0
    words = [word for word in read("named/report.html").words if word]
    at = words.index("Ratings of the generators, by the tournaments")
    assert words[at + 3] == "large" and words[at + 5] == "small"
    assert (
        float(words[at + 4].split()[0].replace(",", ""))
        > 1000
        > float(words[at + 6].split()[0].replace(",", ""))
    )
    assert played("report", "run").status == 0
    assert "Ratings of the generators, by the tournaments" not in read("run/report.html").words
