"""The numbers of results.json on small hand-made data, and what is said about them."""

import json
import random
from itertools import combinations
from pathlib import Path

import numpy as np
import prm_eval_strategies
import pytest

from prm_eval import aggregate
from prm_eval.errors import PluginError, UsageError
from prm_eval.grading import Grade
from prm_eval.selection import MetricKey, ScoreSet, evaluate, group, problem_values, select
from prm_eval.types import Candidate, Problem, Score, Unscored

DATA = Path(__file__).parents[2] / "../shared/data"
STRATEGIES = {name: factory() for name, factory in prm_eval_strategies.prm_eval_strategies().items()}
OWN = {"model": None}


def problems(*labels, subsets=None):
    """Candidates and grades: one row of 0/1 labels per problem, 1 = answer "r", 0 = answer "w"."""
    candidates, grades = [], []
    for p, row in enumerate(labels):
        problem = Problem(f"p{p}", "?", subset=subsets[p] if subsets else None)
        for i, label in enumerate(row):
            candidates.append(Candidate(problem, i, f"text {p} {i}"))
            answer = "r" if label else "w"
            grades.append(Grade(answer, bool(label), answer))
    return candidates, grades


def scores(values, model="m", default=None):
    """Outcome scores, or Unscored where a value is None."""
    results = [Unscored("cut: too long") if value is None else Score(value) for value in values]
    return ScoreSet(model, results, default)


def run(candidates, grades, sets=(), **options):
    """`evaluate` with best of N and few resamples unless told otherwise."""
    options = {
        "strategies": {"best_of_n": STRATEGIES["best_of_n"]} if sets else {},
        "aggregations": OWN,
    } | options
    return evaluate(candidates, grades, list(sets), **{"bootstrap": 200} | options)


def pick(results, **wanted):
    """The one row with these fields and no other naming field."""
    named = ("metric", "k", "reward_model", "aggregation", "task", "subset")
    rows = [row for row in results["metrics"] if {n: row[n] for n in named if n in row} == wanted]
    assert len(rows) == 1, rows
    return rows[0]


def test_rows_by_hand():
    """Two problems of two candidates: mean, pass@k, best of N and AUC worked out on paper."""
    results = run(*problems([1, 0], [0, 0]), [scores([0.9, 0.1, 0.8, 0.2])])
    assert pick(results, metric="mean")["value"] == 0.25
    assert pick(results, metric="pass_at_k", k=1)["value"] == pytest.approx(0.25)
    assert pick(results, metric="pass_at_k", k=2)["value"] == 0.5
    best = pick(results, metric="best_of_n", k=2, reward_model="m")
    assert {n: best[n] for n in ("value", "n_problems", "coverage", "exact")} == {
        "value": 0.5, "n_problems": 2, "coverage": 1.0, "exact": True}  # fmt: skip
    assert pick(results, metric="auc", reward_model="m")["value"] == 1.0
    assert len(results["metrics"]) == 1 + 2 + 2 + 1
    json.dumps(results, allow_nan=False)


def test_the_configured_aggregation_is_used():
    """min, last and the model's own give three different picks, each under its name."""
    steps = [(0.9, 0.1), (0.5, 0.5), (0.2, 0.8)]
    own = [0.1, 0.2, 0.3]
    for right, name in ((1, "min"), (2, "last"), (2, "product")):
        candidates, grades = problems([int(i == right) for i in range(3)])
        results = run(
            candidates,
            grades,
            [ScoreSet("m", [Score(v, s) for v, s in zip(own, steps, strict=True)], "product")],
            aggregations={"min": aggregate.minimum, "last": aggregate.last, "model": None},
        )
        found = {
            row["aggregation"]: row["value"]
            for row in results["metrics"]
            if row["metric"] == "best_of_n" and row["k"] == 3
        }
        assert found[name] == 1.0
        assert found == {"min": float(right == 1), "last": float(right == 2), "product": float(right == 2)}


def test_best_of_k_looks_at_every_candidate():
    """Best of 1 is the mean over all eight candidates, not the first candidate."""
    results = run(*problems([0, 0, 1, 1, 1, 1, 1, 1]), [scores([8, 7, 6, 5, 4, 3, 2, 1])])
    assert pick(results, metric="best_of_n", k=1, reward_model="m")["value"] == pytest.approx(0.75)
    assert pick(results, metric="best_of_n", k=8, reward_model="m")["value"] == 0.0


def test_all_problems_count():
    """Twelve problems in, twelve problems measured."""
    assert pick(run(*problems(*[[1, 0]] * 12)), metric="mean")["n_problems"] == 12


def test_unscored_is_covered_not_zero():
    """An unscored candidate lowers the coverage and loses to the worst score, a negative one too."""
    results = run(*problems([1, 0], [1, 0]), [scores([-9.0, None, -9.0, -9.5])])
    best = pick(results, metric="best_of_n", k=2, reward_model="m")
    assert (best["value"], best["coverage"]) == (1.0, 0.75)
    assert pick(results, metric="mean")["coverage"] == 1.0
    assert pick(results, metric="auc", reward_model="m")["n_problems"] == 2


def test_failed_scoring_of_everything_is_said():
    """A model that failed on every candidate is no model of zeros: chance level, coverage 0, a warning."""
    results = run(*problems([1, 0], [1, 0]), [scores([None] * 4)])
    best = pick(results, metric="best_of_n", k=2, reward_model="m")
    assert (best["value"], best["coverage"]) == (0.5, 0.0)
    auc = pick(results, metric="auc", reward_model="m")
    assert (auc["value"], auc["n_problems"], "ci" in auc) == (None, 0, False)
    assert any("scored none of 4" in warning for warning in results["warnings"])


def test_a_step_without_logarithm_lowers_the_coverage():
    """Sum of logs over a zero step is Unscored there and scored under min."""
    sets = [ScoreSet("m", [Score(0.5, (0.5, 0.5)), Score(0.0, (0.0, 0.9))])]
    how = {"min": aggregate.minimum, "sum_log": aggregate.sum_log}
    results = run(*problems([1, 0]), sets, aggregations=how)
    found = {name: pick(results, metric="best_of_n", k=2, reward_model="m", aggregation=name) for name in how}
    assert (found["min"]["coverage"], found["sum_log"]["coverage"]) == (1.0, 0.5)
    assert found["min"]["value"] == found["sum_log"]["value"] == 1.0


def test_an_ungraded_candidate_leaves_its_problem_out():
    """The problem leaves every number, is named, and nothing is counted as wrong."""
    candidates, grades = problems([1, 1], [1, 1], [0, 0])
    grades[3] = Grade(None, Unscored("grader: timed out"), None)
    results = run(candidates, grades)
    assert pick(results, metric="mean")["value"] == 0.5
    assert {row["n_problems"] for row in results["metrics"]} == {2}
    assert results["left_out"] == ["p1"]
    assert any("1 of 3 problems are left out" in w and "p1" in w for w in results["warnings"])
    with pytest.raises(UsageError, match="none of 1 problems"):
        run(candidates[2:4], grades[2:4])


def test_k_beyond_the_smallest_pool_names_it():
    """Asking for more than a problem has is the user's mistake, told with the problem and its count."""
    candidates, grades = problems([1] * 4, [1] * 3)
    with pytest.raises(UsageError, match="k = 4 is more than problem 'p1' has: 3 candidates"):
        run(candidates, grades, ks=[1, 4])
    with pytest.raises(UsageError, match="k = 0"):
        run(candidates, grades, ks=[0, 2])


def test_unequal_pools_end_at_the_smallest_and_say_so():
    """Without a k: powers of two up to the smallest pool, and its size."""
    results = run(*problems([1] * 9, [1] * 6))
    assert [row["k"] for row in results["metrics"] if "k" in row] == [1, 2, 4, 6]
    assert any("unequal size, 6 to 9" in warning for warning in results["warnings"])


def test_subsets_have_rows_of_their_own():
    """Overall and per subset, with the subset's own mean and number of problems."""
    results = run(*problems([1, 1], [0, 0], [1, 0], subsets=["easy", "hard", "hard"]), task="math500")
    assert pick(results, metric="mean", task="math500")["value"] == 0.5
    assert pick(results, metric="mean", task="math500", subset="easy")["value"] == 1.0
    hard = pick(results, metric="mean", task="math500", subset="hard")
    assert (hard["value"], hard["n_problems"]) == (0.25, 2)


def test_a_model_without_a_known_default_has_no_aggregation():
    """The field is absent, not null; a known default gives its name, and its own request stands once."""
    data = problems([1, 0])
    assert "aggregation" not in pick(run(*data, [scores([1, 0])]), metric="auc", reward_model="m")
    sets = [scores([1, 0], default="product")]
    both = run(*data, sets, aggregations={"product": aggregate.product, "model": None})
    pick(both, metric="auc", reward_model="m", aggregation="product")


def test_comparisons_are_paired():
    """A selector that is right wherever another is wrong differs by one, with the interval to match."""
    good = [scores([1, 0] * 30, model="good"), scores([0, 1] * 30, model="bad")]
    results = run(*problems(*[[1, 0]] * 30), good)
    found = [
        row
        for row in results["comparisons"]
        if {row["a"].get("reward_model"), row["b"].get("reward_model")} == {"good", "bad"}
    ]
    assert [(row["difference"], row["ci"], row["k"], row["n_problems"]) for row in found] == [
        (1.0, [1.0, 1.0], 2, 30)
    ]
    assert found[0]["p"] == pytest.approx(1 / 201)
    metrics = {row[side]["metric"] for row in results["comparisons"] for side in "ab"}
    assert metrics == {"mean", "pass_at_k", "best_of_n"}
    assert len(results["comparisons"]) == 4 * 3 // 2


def test_strategies_without_scores_stand_once():
    """Two models and two aggregations give four best_of_n rows and one majority row."""
    sets = [ScoreSet(name, [Score(0.5, (0.5,)), Score(0.4, (0.4,))]) for name in ("a", "b")]
    how = {"min": aggregate.minimum, "last": aggregate.last}
    results = run(*problems([1, 0]), sets, strategies=STRATEGIES, aggregations=how, ks=[2])
    count = {name: sum(row["metric"] == name for row in results["metrics"]) for name in STRATEGIES}
    assert count == {"first": 1, "random": 1, "oracle": 1, "majority": 1,
                     "best_of_n": 4, "weighted": 4, "majority_then_best": 4}  # fmt: skip


def test_the_door_and_the_run_give_the_same_numbers():
    """The mean of `problem_values` over the problems is `evaluate`, for every metric and k, sampled ones too."""
    rng = random.Random(0)
    labels = [[int(rng.random() < 0.5) for _ in range(20)] for _ in range(3)]
    candidates, grades = problems(*labels)
    sets = [scores([rng.random() for _ in candidates])]
    results = run(candidates, grades, sets, strategies=STRATEGIES, ks=[1, 7, 20], seed=5)
    each = []
    for p in range(3):
        part = slice(p * 20, p * 20 + 20)
        own = group(candidates[part], grades[part])[0]
        each.append(
            problem_values(own, [ScoreSet("m", sets[0].results[part])], STRATEGIES, OWN, [1, 7, 20], 5)
        )
    for key in each[0]:
        row = pick(results, **{n: v for n, v in key._asdict().items() if v is not None})
        assert row["value"] == pytest.approx(np.mean([values[key].value for values in each]), abs=1e-15)
    assert not each[0][MetricKey("weighted", 7, "m")].exact


def test_the_order_of_the_file_changes_nothing():
    """Lines in any order give the same results, of estimates too."""
    rng = random.Random(1)
    candidates, grades = problems(*[[int(rng.random() < 0.5) for _ in range(18)] for _ in range(4)])
    results = [Score(rng.random()) for _ in candidates]
    order = sorted(range(len(candidates)), key=lambda place: (candidates[place].problem.id, rng.random()))
    one = run(candidates, grades, [ScoreSet("m", results)], strategies=STRATEGIES, seed=3)
    two = run(
        [candidates[i] for i in order],
        [grades[i] for i in order],
        [ScoreSet("m", [results[i] for i in order])],
        strategies=STRATEGIES,
        seed=3,
    )
    assert one == two


class SecondBest:
    """A stranger's strategy: the second best score. It knows no expectation."""

    def __call__(self, pool):
        """The second of the pool by score, the only one of a pool of one."""
        return sorted(pool, key=lambda one: -one.score)[:2][-1:]


def test_a_strategy_without_an_expectation_is_measured_by_its_choices():
    """Exact where the subsets are few, by enumeration; an estimate with its error where not."""
    rng = random.Random(2)
    labels, values = [int(rng.random() < 0.5) for _ in range(12)], rng.sample(range(100), 12)
    results = run(*problems(labels), [scores(values)], strategies={"second": SecondBest()}, ks=[2, 6, 12])
    for k in (2, 6, 12):
        subsets = list(combinations(range(12), k))
        expected = np.mean([labels[sorted(s, key=lambda i: -values[i])[1]] for s in subsets])
        row = pick(results, metric="second", k=k, reward_model="m")
        assert row["exact"] == (k != 6)
        assert abs(row["value"] - expected) <= 5 * row.get("error", 0) + 1e-12


@pytest.mark.parametrize(
    ("choose", "message"),
    [(lambda pool: [], "chose nothing"), (lambda pool: [STRANGER], "not in its pool")],
)
def test_a_strategy_that_breaks_its_contract_is_named(choose, message):
    """No pick, or one from elsewhere, is the plugin's error and names it."""
    with pytest.raises(PluginError, match=f"'mine'.*{message}"):
        run(*problems([1, 0]), [scores([1, 0])], strategies={"mine": choose})


STRANGER = type("S", (), {"candidate": Candidate(Problem("else", "?"), 0, "")})()


@pytest.mark.parametrize(
    ("sets", "strategies", "message"),
    [
        ([], ["best_of_n"], "'best_of_n' needs scores"),
        ([scores([1])], ["best_of_n"], "'m' has 1 results for 2 candidates"),
        ([scores([1, 2]), scores([3, 4])], ["best_of_n"], "two score sets are named 'm'"),
    ],
)
def test_mistakes_are_told(sets, strategies, message):
    """Missing, misaligned and twice-named scores are errors, never a shift or a guess."""
    with pytest.raises(UsageError, match=message):
        run(*problems([1, 0]), sets, strategies={name: STRATEGIES[name] for name in strategies})


def test_an_index_given_twice_is_refused():
    """Two candidates with one index are a broken file, not a pool of two."""
    candidates, grades = problems([1, 0])
    with pytest.raises(UsageError, match="two candidates with index 0"):
        run([candidates[0], candidates[0]], grades)


def test_warnings_of_suspicious_data():
    """Identical samples, a constant score, thin evidence and negative weights are all told."""
    candidates, grades = problems([1, 0], [1, 0])
    same = [Candidate(c.problem, c.index, "the same") for c in candidates]
    results = run(
        same, grades, [scores([-1.0] * 4)], strategies={n: STRATEGIES[n] for n in ("best_of_n", "weighted")}
    )
    text = "\n".join(results["warnings"])
    assert "2 of 2 problems (100.0%) have identical responses" in text
    assert "all 4 candidates the same score, -1" in text
    assert "rests on little: 2 right and 2 wrong" in text
    assert "4 of 4 candidates a negative score" in text


def test_sound_data_has_no_warnings():
    """Plenty of both labels and distinct positive scores: nothing to say."""
    rng = random.Random(4)
    labels = [[int(rng.random() < 0.5) for _ in range(4)] for _ in range(30)]
    results = run(*problems(*labels), [scores([rng.random() for _ in range(120)])], strategies=STRATEGIES)
    assert results["warnings"] == []
    assert results["left_out"] == []


def test_outcome_models_say_that_aggregations_do_not_apply():
    """Asked for min of a model without steps, its own value stands and the reader is told."""
    results = run(*problems([1, 0]), [scores([1, 0])], aggregations={"min": aggregate.minimum})
    assert any("gives no step scores: under min its own value" in w for w in results["warnings"])
    assert pick(results, metric="best_of_n", k=2, reward_model="m", aggregation="min")["value"] == 1.0


def test_select_names_what_was_chosen_by_whom():
    """Ties are all named, unscored counted, the view told, and an ungraded problem still gets its pick."""
    candidates, grades = problems([1, 0, 0])
    grades[2] = Grade(None, Unscored("grader: timed out"), None)
    found = select(candidates, grades, [scores([0.4, 0.4, None])], strategies=STRATEGIES, aggregations=OWN)
    by_name = {one.strategy: one for one in found}
    best = by_name["best_of_n"]
    assert best.chosen == (candidates[0], candidates[1])
    assert (best.pool_size, best.unscored, best.reward_model, best.aggregation) == (3, 1, "m", None)
    assert by_name["majority"].chosen == (candidates[0], candidates[1])
    assert (by_name["majority"].unscored, by_name["majority"].reward_model) == (0, None)
    assert by_name["oracle"].chosen == (candidates[0],)


def test_recorded_math500_candidates():
    """On 500 recorded problems the mean is the share of `correct` labels, and pass@3 counts problems."""
    path = DATA / "math500-candidates.jsonl"
    if not path.exists():
        pytest.skip("the recorded data is not here")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    candidates = [Candidate(Problem(r["problem_id"], r["problem"]), r["index"], r["response"]) for r in rows]
    answers = [r["meta"].get("prediction") for r in rows]
    grades = [Grade(a, r["correct"], a) for a, r in zip(answers, rows, strict=True)]
    results = run(candidates, grades, strategies={n: STRATEGIES[n] for n in ("majority", "oracle", "first")})
    right = {}
    for row in rows:
        right.setdefault(row["problem_id"], []).append(row["correct"])
    assert pick(results, metric="mean")["value"] == pytest.approx(sum(r["correct"] for r in rows) / 1500)
    assert pick(results, metric="oracle", k=3)["value"] == pytest.approx(sum(map(any, right.values())) / 500)
    firsts = sum(row["correct"] for row in rows if row["index"] == 0)
    assert pick(results, metric="first", k=3)["value"] == pytest.approx(firsts / 500)


def test_low_coverage_is_a_caution() -> None:
    """A model that leaves candidates unscored is said to pick by what it could read as well."""
    candidates = [Candidate(Problem("p", "?", "1"), i, str(i)) for i in range(4)]
    grades = [Grade(str(i), i == 0, str(i)) for i in range(4)]
    for missing, said in ((0, False), (1, True)):
        results = [Unscored("too long: 9 tokens")] * missing + [Score(float(i)) for i in range(4 - missing)]
        found = evaluate(
            candidates, grades, [ScoreSet("m", results, None)], strategies={}, aggregations={"model": None}
        )
        assert (
            any("left 25.0% of the candidates unscored" in warning for warning in found["warnings"]) == said
        )
