"""The built-in strategies: what they choose is what their expectation counts on."""

import logging
import subprocess
import sys
from itertools import combinations

import numpy as np
import prm_eval_strategies
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prm_eval.errors import BadOption
from prm_eval.metrics import Pool
from prm_eval.types import Candidate, Problem, Scored

PROBLEM = Problem("p", "?")
FACTORIES = prm_eval_strategies.prm_eval_strategies()


def scored(scores, classes, right=0):
    """Candidates in index order; class `right` is correct, None is no answer."""
    return [
        Scored(Candidate(PROBLEM, i, "", correct=c == right), score, None if c is None else f"c{c}")
        for i, (score, c) in enumerate(zip(scores, classes, strict=True))
    ]


def pool_of(members):
    """The same as arrays."""
    names = sorted({one.answer for one in members if one.answer is not None})
    return Pool(
        np.array([float(one.candidate.correct) for one in members]),
        np.array([one.score or 0.0 for one in members]),
        np.array([one.score is not None for one in members]),
        np.array([-1 if one.answer is None else names.index(one.answer) for one in members]),
    )


def picks(name, scores, classes, **options):
    """Indices of what a strategy chooses."""
    return [one.candidate.index for one in FACTORIES[name](**options)(scored(scores, classes))]


SCORE = st.one_of(st.none(), st.integers(-2, 6).map(lambda whole: whole / 4))
ROWS = st.lists(st.tuples(SCORE, st.sampled_from([None, 0, 1, 2])), min_size=1, max_size=7)
CASES = [(name, {}) for name in FACTORIES] + [("weighted", {"weight": w}) for w in ("exp", "sigmoid")]


@pytest.mark.parametrize(("name", "options"), CASES)
@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_choices_earn_the_expectation(name, options, rows):
    """Over all k-subsets, the mean label of what a strategy chooses is its expectation."""
    members = scored(*zip(*rows, strict=True))
    strategy, n = FACTORIES[name](**options), len(members)
    found = strategy.expectation(pool_of(members), range(1, n + 1), 0)
    for k in range(1, n + 1):
        earned = [
            np.mean([one.candidate.correct for one in strategy([members[i] for i in subset])])
            for subset in combinations(range(n), k)
        ]
        assert found.values[k - 1] == pytest.approx(np.mean(earned), abs=1e-12)
        assert (found.exact[k - 1], found.errors[k - 1]) == (True, 0.0)


def test_picks_by_hand():
    """Each strategy on one pool worked out by hand: classes 0 0 1 1 2 and one without an answer."""
    scores, classes = [0.1, 0.2, 0.9, 0.3, 0.8, 0.95], [0, 0, 1, 1, 2, None]
    assert picks("first", scores, classes) == [0]
    assert picks("random", scores, classes) == [0, 1, 2, 3, 4, 5]
    assert picks("oracle", scores, classes) == [0, 1]
    assert picks("best_of_n", scores, classes) == [5]
    assert picks("majority", scores, classes) == [0, 1, 2, 3]
    assert picks("weighted", scores, classes) == [2]
    assert picks("majority_then_best", scores, classes) == [2]


def test_equal_bests_are_all_chosen():
    """Ties are shared: two best scores, two classes of equal weight, two leaders of equal score."""
    assert picks("best_of_n", [0.5, 0.9, 0.9], [0, 1, 2]) == [1, 2]
    assert picks("weighted", [0.5, 0.25, 0.25], [0, 1, 1]) == [0, 1]
    assert picks("majority_then_best", [0.5, 0.5, 0.25], [0, 1, 2]) == [0, 1]


def test_unscored_candidates_keep_their_vote_and_rank_last():
    """Unscored ones win a majority, never a best of N, and add no weight."""
    scores, classes = [None, None, 0.1], [0, 0, 1]
    assert picks("majority", scores, classes) == [0, 1]
    assert picks("majority_then_best", scores, classes) == [0]
    assert picks("best_of_n", scores, classes) == [2]
    assert picks("weighted", scores, classes) == [2]
    assert picks("weighted", [None, None, -5.0], classes) == [2]


@pytest.mark.parametrize("name", ["best_of_n", "weighted", "majority_then_best"])
def test_nothing_scored_is_a_tie_of_all(name):
    """Without any score the whole pool is equally good, never the first candidate in silence."""
    assert picks(name, [None, None, None], [0, 0, 1]) == [0, 1, 2]


@pytest.mark.parametrize("name", ["majority", "weighted", "majority_then_best"])
def test_a_candidate_without_an_answer_never_votes(name):
    """The best score and the most numerous group are no answer: they do not win."""
    assert picks(name, [0.9, 0.9, 0.9, 0.1], [None, None, None, 1]) == [3]


def test_weights():
    """Two weak votes beat a strong one by raw sum, not by exp of far logits."""
    assert picks("weighted", [0.9, 0.5, 0.5], [0, 1, 1]) == [1]
    assert picks("weighted", [5.0, 3.0, 3.0], [0, 1, 1], weight="exp") == [0]
    assert picks("weighted", [5.0, 3.0, 3.0], [0, 1, 1], weight="sigmoid") == [1]
    assert picks("weighted", [-1.0, -2.0, -2.0], [0, 1, 1], weight="exp") == [0]
    assert picks("weighted", [2000.0, 1999.0], [0, 1], weight="exp") == [0]


def test_a_negative_raw_score_is_told_once(caplog):
    """The notice names the score and the remedy, once per strategy, and not for other weights."""
    strategy = FACTORIES["weighted"]()
    with caplog.at_level(logging.WARNING, "prm_eval"):
        for _ in range(3):
            strategy(scored([-0.5, 0.2], [0, 1]))
        FACTORIES["weighted"](weight="exp")(scored([-0.5, 0.2], [0, 1]))
    assert len(caplog.records) == 1
    assert "-0.5" in caplog.text
    assert "weight=sigmoid" in caplog.text


def test_an_unknown_weight_is_refused():
    """The message names the weight given and those accepted."""
    with pytest.raises(BadOption, match=r"weight=square.*raw, sigmoid, exp"):
        FACTORIES["weighted"](weight="square")


def test_only_score_strategies_say_that_they_use_scores():
    """Strategies that look at no score are reported once, not once per reward model."""
    using = {name for name, factory in FACTORIES.items() if factory().uses_scores}
    assert using == {"best_of_n", "weighted", "majority_then_best"}


def test_every_factory_has_one_line_of_help():
    """The first docstring line of each factory is a sentence."""
    offered = {**FACTORIES, **prm_eval_strategies.prm_eval_aggregations()}
    for name, factory in offered.items():
        line = factory.__doc__.partition("\n")[0]
        assert line.endswith("."), name


def test_aggregations_are_offered_by_their_names():
    """Each name gives its function: three steps, six numbers by hand."""
    offered = prm_eval_strategies.prm_eval_aggregations()
    found = {name: factory()((0.5, 0.2, 0.4)) for name, factory in offered.items()}
    assert found == pytest.approx(
        {
            "last": 0.4,
            "min": 0.2,
            "max": 0.5,
            "mean": 1.1 / 3,
            "product": 0.04,
            "sum_log": -3.2188758248682006,
        }
    )


def test_listing_the_plugin_imports_no_numpy():
    """The hook module and its listing stay light."""
    code = (
        "import sys, prm_eval_strategies as p; p.prm_eval_strategies(); p.prm_eval_aggregations();"
        "print([m for m in ('numpy', 'torch', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
