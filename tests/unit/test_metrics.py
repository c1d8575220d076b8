"""Exact expectations against brute force over every k-subset, in rational arithmetic."""

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prm_eval import metrics, plurality, subsets, votes
from prm_eval.intervals import bootstrap_interval, paired_difference


def mean(values):
    """Exact mean."""
    values = list(values)
    return sum(map(Fraction, values), Fraction(0)) / len(values)


def over_subsets(n, k, earn):
    """Mean earnings over all k-subsets, as a fraction."""
    return mean(earn(chosen) for chosen in combinations(range(n), k))


def tops(items, worth):
    """All equal bests."""
    best = max(map(worth, items))
    return [item for item in items if worth(item) == best]


def brute_best(labels, scores):
    """Best of a subset: a score of None is below every number; equals share."""
    worth = [(-1, Fraction(0)) if score is None else (0, Fraction(score)) for score in scores]
    return lambda chosen: mean(labels[i] for i in tops(chosen, lambda i: worth[i]))


def class_means(labels, classes):
    """Labels with those of a class averaged."""
    members = {c: [labels[i] for i in range(len(labels)) if classes[i] == c] for c in set(classes)}
    return [
        Fraction(labels[i]) if classes[i] is None else mean(members[classes[i]]) for i in range(len(labels))
    ]


def brute_vote(labels, classes, scores, standing, blind_without_score):
    """A vote: `standing(voters, scores)` of each class present; equals share; no vote, mean label."""
    earned = class_means(labels, classes)

    def earn(chosen):
        present = sorted({classes[i] for i in chosen} - {None})
        unseen = blind_without_score and all(scores[i] is None for i in chosen)
        if not present or unseen:
            return mean(earned[i] for i in chosen)
        of = {c: [i for i in chosen if classes[i] == c] for c in present}
        best = tops(present, lambda c: standing([scores[i] for i in of[c]]))
        return mean(earned[of[c][0]] for c in best)

    return earn


def majority(given):
    """Standing of a class: its votes."""
    return len(given)


def majority_then_best(given):
    """Standing of a class: its votes, then its best score."""
    return (len(given), max((-1, 0) if score is None else (0, Fraction(score)) for score in given))


def weighted(given):
    """Standing of a class: whether it has a score, then their sum."""
    known = [Fraction(score) for score in given if score is not None]
    return (1, sum(known)) if known else (0, 0)


@st.composite
def pools(draw, most=7):
    """Labels, scores (None unscored) and classes (None silent) of a small pool."""
    n = draw(st.integers(1, most))
    score = st.one_of(st.none(), st.integers(-2, 6).map(lambda whole: whole / 4))
    classes = draw(st.lists(st.sampled_from([None, 0, 1, 2, 3]), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    return labels, draw(st.lists(score, min_size=n, max_size=n)), classes


def pool_of(labels, scores, classes):
    """The same as arrays."""
    return metrics.Pool(
        np.array(labels, float),
        np.array([0.0 if score is None else score for score in scores]),
        np.array([score is not None for score in scores]),
        np.array([-1 if c is None else c for c in classes]),
    )


def every_k(labels):
    """1 to N."""
    return range(1, len(labels) + 1)


def close(found, expected):
    """Equal to 1e-12."""
    np.testing.assert_allclose(found, np.array([float(one) for one in expected]), rtol=0, atol=1e-12)


@settings(deadline=None)
@given(pools())
def test_best_of_k_is_the_mean_over_all_subsets(given_pool):
    """Ties, unscored candidates and every k: the rank formula equals enumeration."""
    labels, scores, classes = given_pool
    pool = pool_of(labels, scores, classes)
    found = metrics.best_of_k(pool.labels, pool.scores, pool.scored, every_k(labels))
    close(found, [over_subsets(len(labels), k, brute_best(labels, scores)) for k in every_k(labels)])


@settings(deadline=None)
@given(pools())
def test_pass_at_k_is_the_mean_over_all_subsets(given_pool):
    """pass@k is the share of subsets that hold a right candidate."""
    labels, _, _ = given_pool
    expected = [over_subsets(len(labels), k, lambda s: max(labels[i] for i in s)) for k in every_k(labels)]
    close(metrics.pass_at_k(np.array(labels, float), every_k(labels)), expected)


@settings(deadline=None)
@given(pools())
def test_first_of_k_is_the_mean_over_all_subsets(given_pool):
    """The lowest index of every subset, over all subsets."""
    labels, _, _ = given_pool
    expected = [over_subsets(len(labels), k, lambda s: labels[s[0]]) for k in every_k(labels)]
    close(metrics.first_of_k(np.array(labels, float), every_k(labels)), expected)


@settings(max_examples=150, deadline=None)
@given(pools())
def test_majority_is_the_mean_over_all_subsets(given_pool):
    """Vote ties, classes with mixed labels and candidates without an answer, by enumeration."""
    labels, scores, classes = given_pool
    found = votes.majority_at_k(pool_of(*given_pool), every_k(labels), seed=0)
    earn = brute_vote(labels, classes, scores, majority, blind_without_score=False)
    close(found.values, [over_subsets(len(labels), k, earn) for k in every_k(labels)])
    assert found.exact.all()


@settings(max_examples=150, deadline=None)
@given(pools())
def test_majority_then_best_is_the_mean_over_all_subsets(given_pool):
    """Plurality with ties broken by the best score, equal best scores and unscored voters included."""
    labels, scores, classes = given_pool
    found = votes.majority_then_best_at_k(pool_of(*given_pool), every_k(labels), seed=0)
    earn = brute_vote(labels, classes, scores, majority_then_best, blind_without_score=True)
    close(found.values, [over_subsets(len(labels), k, earn) for k in every_k(labels)])
    assert found.exact.all()


@settings(max_examples=150, deadline=None)
@given(pools())
def test_weighted_is_the_mean_over_all_subsets(given_pool):
    """Sums of raw scores, negative and zero ones too, with unscored voters adding nothing."""
    labels, scores, classes = given_pool
    found = votes.weighted_at_k(pool_of(*given_pool), every_k(labels), seed=0)
    earn = brute_vote(labels, classes, scores, weighted, blind_without_score=True)
    close(found.values, [over_subsets(len(labels), k, earn) for k in every_k(labels)])
    assert found.exact.all()


@settings(deadline=None)
@given(pools())
def test_the_sampled_votes_agree_with_the_exact_programme(given_pool):
    """The subset form of majority and majority-then-best, used for huge pools, is the same vote."""
    pool = votes.settled(pool_of(*given_pool))
    ks = every_k(pool.labels)
    for earn, exact in (
        (votes._earn_majority, votes.majority_at_k),
        (votes._earn_majority_then_best, votes.majority_then_best_at_k),
    ):
        close(subsets.over_subsets(pool, ks, 0, earn).values, exact(pool, ks, 0).values)


def test_weighted_sums_that_are_equal_on_paper_tie():
    """0.1 + 0.2 and 0.3 share the credit, though their floating-point sums differ."""
    pool = pool_of([1, 1, 0], [0.1, 0.2, 0.3], [0, 0, 1])
    assert votes.weighted_at_k(pool, [3], 0).values == pytest.approx([0.5])


def test_the_configured_k_uses_all_candidates():
    """Best of 1 and 2 look at all eight candidates, not at the first one or two."""
    labels, scores = [0, 0, 1, 1, 1, 1, 1, 1], [9, 8, 1, 2, 3, 4, 5, 6]
    pool = pool_of(labels, scores, [None] * 8)
    found = metrics.best_of_k(pool.labels, pool.scores, pool.scored, [1, 2, 8])
    close(found, [Fraction(6, 8), Fraction(comb(6, 2), comb(8, 2)), 0])


def test_weights_of_a_thousand_are_exact():
    """At N = 1024 every weight is within 1e-12 of its fraction, and each k's weights sum to one."""
    ks = [1, 2, 31, 512, 1000, 1023, 1024]
    weights = metrics.rank_weights(1024, ks)
    for row, k in zip(weights, ks, strict=True):
        exact = [Fraction(comb(1023 - j, k - 1), comb(1024, k)) for j in range(1024)]
        np.testing.assert_allclose(row, [float(one) for one in exact], rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=0, atol=1e-12)


def test_a_hundred_thousand_candidates_do_not_overflow():
    """pass@k of one right candidate among 100,000 is k / N."""
    labels = np.zeros(100_000)
    labels[77] = 1
    np.testing.assert_allclose(metrics.pass_at_k(labels, [1, 10, 50_000]), [1e-5, 1e-4, 0.5], rtol=1e-9)


def test_majority_of_a_thousand_is_exact():
    """N = 1024 with four uneven classes and silent candidates against whole-number arithmetic."""
    sizes, silent, ks = [1000, 10, 3, 1], 10, [2, 10, 100, 512, 1023, 1024]
    classes = [c for c, size in enumerate(sizes) for _ in range(size)] + [None] * silent
    labels = [int(c == 1) for c in classes]
    found = votes.majority_at_k(pool_of(labels, [None] * 1024, classes), ks, seed=0)
    assert found.exact.all()
    close(found.values, [whole_number_majority(sizes, silent, 1, k) for k in ks])


def whole_number_majority(sizes, silent, right, k):
    """P(class `right` wins), ties shared: counts by (size, number of ties), in whole numbers."""
    total = Fraction(0)
    for level in range(1, min(sizes[right], k) + 1):
        ways = {(0, 0): 1}
        for size in [size for c, size in enumerate(sizes) if c != right]:
            grown = {}
            for (used, ties), count in ways.items():
                for votes_ in range(min(size, level) + 1):
                    key = (used + votes_, ties + (votes_ == level))
                    grown[key] = grown.get(key, 0) + count * comb(size, votes_)
            ways = grown
        for (used, ties), count in ways.items():
            rest = k - level - used
            if 0 <= rest <= silent:
                total += Fraction(count * comb(silent, rest) * comb(sizes[right], level), ties + 1)
    return total / comb(sum(sizes) + silent, k)


def test_majority_of_singletons_is_the_mean():
    """With as many answers as candidates every subset is one big tie: the mean label at every k."""
    labels = [1] * 100 + [0] * 156
    found = votes.majority_at_k(pool_of(labels, [None] * 256, range(256)), [1, 2, 64, 200, 256], seed=0)
    close(found.values, [Fraction(100, 256)] * 5)
    assert found.exact.all()


def test_beyond_the_limit_it_says_so_and_gives_its_error():
    """A pool that the programme cannot afford is estimated, within five standard errors."""
    rng = np.random.default_rng(5)
    classes = rng.integers(0, 2, 2000)
    pool = pool_of((classes == 0).astype(float), rng.random(2000), classes)
    found = votes.majority_at_k(pool, [1, 3, 2000], seed=1)
    p = float((classes == 0).mean())
    assert found.exact.tolist() == [True, False, True]
    assert found.errors[1] > 0
    assert abs(found.values[1] - (p**3 + 3 * p * p * (1 - p))) < 5 * found.errors[1] + 1e-3


def test_work_limit_covers_ordinary_pools():
    """Sixty-four candidates in any shape of classes stay below a tenth of the work limit."""
    shapes = [(32, 32), (22, 21, 21), (16,) * 4, (8,) * 8, (4,) * 16, (2,) * 32, (1,) * 64]
    for shape in shapes:
        ballots = tuple((0.0, tuple(range(1, size + 1)) + (size,) * (64 - size)) for size in shape)
        assert plurality.work(ballots, 63) < votes.WORK_LIMIT / 10


def test_a_sample_of_equals_is_not_certain():
    """A thousand samples that all earn nothing leave an error of about one in a thousand."""
    assert 5e-4 < subsets.standard_error(np.zeros(1000)) < 2e-3
    values = np.random.default_rng(0).random(1000)
    assert subsets.standard_error(values) == pytest.approx(values.std() / 1000**0.5, rel=0.01)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
@example(956)
def test_estimates_are_within_their_error(seed):
    """At N = 20 the sampled weighted vote lies within five standard errors of the enumerated one."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(-1, 4, 20)
    labels = (classes == rng.integers(0, 4)).astype(float)
    scores = rng.integers(1, 20, 20) / 20
    pool = metrics.Pool(labels, scores, np.ones(20, bool), classes)
    found = votes.weighted_at_k(pool, [6], seed)
    exact = exact_weighted(pool, 6)
    assert pool.constant or not found.exact[0]
    assert abs(found.values[0] - exact) <= 5 * found.errors[0] + 1e-12


def exact_weighted(pool, k):
    """The weighted vote over all subsets, one numpy row per subset."""
    rows = np.array(list(combinations(range(len(pool.labels)), k)))
    names = [c for c in np.unique(pool.classes) if c >= 0]
    sums = np.array(
        [((pool.classes[rows] == c) * np.rint(pool.scores[rows] * 20)).sum(axis=1) for c in names]
    )
    label = np.array([pool.labels[pool.classes == c].mean() for c in names])
    wins = sums == sums.max(axis=0)
    shared = (label[:, None] * wins).sum(axis=0) / wins.sum(axis=0)
    return np.where(sums.max(axis=0) > 0, shared, pool.labels[rows].mean(axis=1)).mean()


@settings(deadline=None)
@given(pools(most=10), st.randoms(use_true_random=False))
def test_order_changes_nothing(given_pool, rng):
    """Shuffling the candidates changes no expectation except that of `first`."""
    order = list(range(len(given_pool[0])))
    rng.shuffle(order)
    pool, shuffled = pool_of(*given_pool), pool_of(*([part[i] for i in order] for part in given_pool))
    ks = every_k(order)
    close(
        metrics.best_of_k(pool.labels, pool.scores, pool.scored, ks),
        metrics.best_of_k(shuffled.labels, shuffled.scores, shuffled.scored, ks),
    )
    for vote in (votes.majority_at_k, votes.majority_then_best_at_k, votes.weighted_at_k):
        close(vote(pool, ks, 0).values, vote(shuffled, ks, 0).values)


def test_order_changes_no_estimate():
    """Where the weighted vote is sampled, the order of the candidates still changes nothing."""
    rng = np.random.default_rng(3)
    classes, scores = rng.integers(0, 5, 40), rng.permutation(40) / 40
    pool = metrics.Pool((classes == 2).astype(float), scores, np.ones(40, bool), classes)
    order = rng.permutation(40)
    other = metrics.Pool(pool.labels[order], scores[order], pool.scored, classes[order])
    one, two = (votes.weighted_at_k(each, [8], 7) for each in (pool, other))
    assert not one.exact[0]
    close(one.values, two.values)


@settings(deadline=None)
@given(pools())
def test_a_monotone_transform_changes_no_best_of_k(given_pool):
    """Only the order of scores counts: logits and probabilities give the same curve."""
    pool = pool_of(*given_pool)
    ks = every_k(pool.labels)
    squashed = 1 / (1 + np.exp(-pool.scores))
    found = [metrics.best_of_k(pool.labels, scores, pool.scored, ks) for scores in (pool.scores, squashed)]
    close(*found)


@settings(deadline=None)
@given(pools())
def test_at_k_one_everything_is_the_mean(given_pool):
    """A pool of one leaves no choice: every strategy earns the mean label."""
    pool = pool_of(*given_pool)
    expected = [pool.labels.mean()]
    close(metrics.best_of_k(pool.labels, pool.scores, pool.scored, [1]), expected)
    for vote in (votes.majority_at_k, votes.majority_then_best_at_k, votes.weighted_at_k):
        close(vote(pool, [1], 0).values, expected)


@settings(deadline=None)
@given(st.lists(pools(most=5), min_size=1, max_size=4))
def test_problems_of_one_size_can_be_stacked(given_pools):
    """Best-of-k of a [P, N] array is that of its rows."""
    stacked = [pool_of(*one) for one in given_pools if len(one[0]) == len(given_pools[0][0])]
    ks = every_k(stacked[0].labels)
    together = metrics.best_of_k(
        np.array([pool.labels for pool in stacked]),
        np.array([pool.scores for pool in stacked]),
        np.array([pool.scored for pool in stacked]),
        ks,
    )
    for row, pool in zip(together, stacked, strict=True):
        close(row, metrics.best_of_k(pool.labels, pool.scores, pool.scored, ks))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30))
def test_auc_counts_pairs(rows):
    """The AUC is the share of (right, wrong) pairs in order, ties half; None when a side is empty."""
    right = [score for score, label in rows if label]
    wrong = [score for score, label in rows if not label]
    found = metrics.auc(np.array([s for s, _ in rows], float), np.array([label for _, label in rows]))
    if not right or not wrong:
        assert found is None
    else:
        pairs = [Fraction(int(a > b)) + Fraction(int(a == b), 2) for a in right for b in wrong]
        assert found == pytest.approx(float(mean(pairs)), abs=1e-12)


def test_auc_pseudo_values_average_to_the_auc():
    """One pseudo-value per problem, whose mean is the AUC over all candidates."""
    rng = np.random.default_rng(0)
    problems, scores, labels = np.repeat(np.arange(40), 5), rng.random(200), rng.random(200) < 0.4
    pseudo = metrics.auc_by_problem(scores, labels, problems)
    assert pseudo.shape == (40,)
    assert pseudo.mean() == pytest.approx(metrics.auc(scores, labels), abs=1e-12)


def test_auc_interval_matches_resampling_whole_problems():
    """The pseudo-values' interval is that of recomputing the AUC on resampled problems."""
    rng = np.random.default_rng(1)
    ease = np.repeat(rng.normal(size=120), 6)
    labels = rng.random(720) < 1 / (1 + np.exp(-2 * ease))
    scores, problems = ease + labels + rng.normal(size=720), np.repeat(np.arange(120), 6)
    low, high = bootstrap_interval(metrics.auc_by_problem(scores, labels, problems), seed=0)
    again = []
    for _ in range(1000):
        rows = (rng.integers(0, 120, 120)[:, None] * 6 + np.arange(6)).ravel()
        again.append(metrics.auc(scores[rows], labels[rows]))
    np.testing.assert_allclose([low, high], np.percentile(again, [2.5, 97.5]), atol=0.012)


def test_intervals_cover():
    """Over 400 simulated studies of 80 problems, the 95 % interval holds the truth 91 to 98 times in 100."""
    rng = np.random.default_rng(2)
    values = rng.beta(2, 1, (80, 400))
    low, high = bootstrap_interval(values, resamples=2000, seed=0)
    assert 0.91 <= ((low <= 2 / 3) & (high >= 2 / 3)).mean() <= 0.98


def test_p_values_are_calibrated():
    """Where two selectors do not differ, p falls below 0.05 in about 5 % of studies; seldom else missed."""
    rng = np.random.default_rng(3)
    one, other = rng.random((60, 400)), rng.random((60, 400))
    null = paired_difference(one, other, resamples=1000, seed=0)
    assert 0.02 <= (null.p < 0.05).mean() <= 0.09
    real = paired_difference(one + 0.3, other, resamples=1000, seed=0)
    assert (real.p < 0.05).mean() > 0.9
    np.testing.assert_allclose(real.difference, (one + 0.3 - other).mean(axis=0))


def test_exact_sign_flips_by_hand():
    """Three problems that all differ by one: 2 of 8 sign patterns are as extreme, p near 1/4."""
    found = paired_difference(np.ones(3), np.zeros(3), resamples=20_000, seed=0)
    assert found.p == pytest.approx(0.25, abs=0.01)
    assert (found.difference, found.low, found.high) == (1.0, 1.0, 1.0)


def test_no_difference_is_p_one():
    """Identical selectors differ by nothing, with certainty."""
    values = np.random.default_rng(0).random(30)
    found = paired_difference(values, values, resamples=100)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_intervals_repeat_with_the_seed():
    """The same seed gives the same interval, another seed another one."""
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values, seed=4) == bootstrap_interval(values, seed=4)
    assert bootstrap_interval(values, seed=4) != bootstrap_interval(values, seed=5)
