"""The statistics against scipy, and the bootstrap against resampling for real."""

import itertools
import math

import numpy as np
import pytest
from hostile import quick
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from nas.statistics import ranks as stats


def kendall_interval(scores, targets, rng):
    return stats.interval(stats.kendall_resampled(scores, targets, stats.resamples(len(scores), rng)))


@pytest.fixture(params=range(4))
def columns(request):
    """Scores with ties and failures, targets with ties."""
    rng = np.random.default_rng(request.param)
    targets = rng.normal(size=60).round(1)
    scores = (targets + rng.normal(size=60)).round(1)
    scores[rng.random(60) < 0.1] = -math.inf
    return scores, targets


def test_coefficients_are_scipys(columns):
    scores, targets = columns
    finite = np.where(np.isinf(scores), -1e9, scores)
    assert stats.kendall(scores, targets) == pytest.approx(scipy_stats.kendalltau(finite, targets).statistic)
    assert stats.spearman(scores, targets) == pytest.approx(scipy_stats.spearmanr(finite, targets).statistic)


def test_kendall_by_counting_pairs(columns):
    scores, targets = columns
    above = ties_s = ties_t = pairs = 0
    for i in range(60):
        for j in range(i):
            s = int(scores[i] > scores[j]) - int(scores[i] < scores[j])
            t = int(targets[i] > targets[j]) - int(targets[i] < targets[j])
            above, pairs, ties_s, ties_t = above + s * t, pairs + 1, ties_s + (s == 0), ties_t + (t == 0)
    assert stats.kendall(scores, targets) == pytest.approx(above / math.sqrt((pairs - ties_s) * (pairs - ties_t)))


def test_resampled_coefficients_are_those_of_the_resamples(columns, monkeypatch):
    scores, targets = columns
    monkeypatch.setattr(stats, "ROWS_AT_ONCE", 7)
    weights = stats.resamples(60, np.random.default_rng(1))[:25]
    taus = stats.kendall_resampled(scores, targets, weights)
    rhos = stats.spearman_resampled(scores, targets, weights)
    for row, tau, rho in zip(weights.astype(int), taus, rhos, strict=True):
        chosen = np.repeat(np.arange(60), row)
        assert tau == pytest.approx(stats.kendall(scores[chosen], targets[chosen]))
        assert rho == pytest.approx(stats.spearman(scores[chosen], targets[chosen]))


@pytest.mark.parametrize("rho", [pytest.param(0.3, marks=pytest.mark.long), 0.8])
def test_intervals_cover_the_truth_in_93_to_97_of_100_samples(rho, monkeypatch):
    """Of a bivariate normal, τ is 2/π arcsin ρ and Spearman's coefficient 6/π arcsin ρ/2."""
    monkeypatch.setattr(stats, "RESAMPLES", 300)
    rng, samples, covered = np.random.default_rng(0), 800, np.zeros(2)
    truths = np.array([2 / math.pi * math.asin(rho), 6 / math.pi * math.asin(rho / 2)])
    for _ in range(samples):
        x, y = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 80).T
        weights = stats.resamples(80, rng)
        resampled = stats.kendall_resampled(x, y, weights), stats.spearman_resampled(x, y, weights)
        low, high = np.array([stats.interval(values) for values in resampled]).T
        covered += (low <= truths) & (truths <= high)
    assert ((covered >= 0.93 * samples) & (covered <= 0.97 * samples)).all(), covered / samples


def test_a_difference_that_is_none_is_found_in_about_5_of_100_samples(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 300)
    rng, samples, found = np.random.default_rng(0), 400, 0
    for _ in range(samples):
        truth = rng.normal(size=80)
        first, second = truth + rng.normal(size=80), truth + rng.normal(size=80)
        weights = stats.resamples(80, rng)
        resampled = stats.kendall_resampled(first, truth, weights) - stats.kendall_resampled(second, truth, weights)
        found += stats.p_value(stats.kendall(first, truth) - stats.kendall(second, truth), resampled) < 0.05
    assert 0.03 * samples <= found <= 0.08 * samples, found / samples


def test_p_value():
    noise = np.random.default_rng(0).normal(size=1000)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    assert stats.p_value(1.959964, noise) == pytest.approx(0.05, abs=1e-6)
    assert stats.p_value(-1.959964, noise + 5) == pytest.approx(0.05, abs=1e-6)
    assert stats.p_value(0.0, np.zeros(10)) == 1.0
    assert math.isnan(stats.p_value(0.1, np.full(10, np.nan)))


COLUMN = st.lists(st.integers(-3, 3).map(float) | st.floats(-1e9, 1e9) | st.just(-math.inf), min_size=12, max_size=12)


@quick(150)
@given(st.integers(2, 12), COLUMN, COLUMN)
def test_coefficients_of_any_columns(count, scores, targets):
    """Against scipy, and against the definition, pair by pair; failures rank last, and alike."""
    scores, targets = np.array(scores[:count]), np.where(np.isinf(targets[:count]), 0.0, targets[:count])
    finite = np.where(np.isinf(scores), -1e10, scores)
    tau, rho = stats.kendall(scores, targets), stats.spearman(scores, targets)
    if len({*finite}) == 1 or len({*targets}) == 1:
        assert math.isnan(tau)
        assert math.isnan(rho)
        return
    pairs = [(np.sign(a - b), np.sign(c - d)) for a, c in zip(finite, targets, strict=True)
             for b, d in zip(finite, targets, strict=True)]  # fmt: skip
    untied = math.prod(sum(abs(pair[place]) for pair in pairs) for place in (0, 1))
    assert tau == pytest.approx(sum(a * b for a, b in pairs) / math.sqrt(untied), abs=1e-12)
    ranks = scipy_stats.rankdata(finite), scipy_stats.rankdata(targets)
    assert rho == pytest.approx(np.corrcoef(ranks)[0, 1], abs=1e-12)
    assert stats.kendall(-targets, -targets) == pytest.approx(1)
    assert stats.kendall(targets, finite) == pytest.approx(tau, abs=1e-12)


@quick(60)
@given(st.lists(st.integers(0, 2).map(float), min_size=1, max_size=5), st.permutations(range(5)), st.integers(1, 6))
def test_selection_is_the_mean_over_all_ways_to_break_ties(scores, targets, count):
    scores, targets = np.array(scores), np.array(targets[: len(scores)], dtype=float)
    orders = [order for order in itertools.permutations(range(len(scores)))
              if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))]  # fmt: skip
    best = [max(targets[list(order[:count])]) for order in orders]
    assert stats.best_at(count, scores, targets) == pytest.approx(np.mean(best))
    assert stats.regret(scores, targets) == pytest.approx(max(targets) - stats.best_at(1, scores, targets))
    chosen = max(1, round(0.4 * len(scores)))
    wanted = set(np.argsort(-targets)[:chosen].tolist())
    shares = [len(wanted & {*order[:chosen]}) / chosen for order in orders]
    assert stats.precision(scores, targets, 0.4) == pytest.approx(np.mean(shares))
    if len(scores) > 1:
        gains = targets - targets.min()
        discounts = 1 / np.log2(np.arange(len(scores)) + 2)
        reached = np.mean([gains[list(order)] @ discounts for order in orders])
        assert stats.ndcg(scores, targets) == pytest.approx(reached / (np.sort(gains)[::-1] @ discounts))


def test_holm_steps_down():
    p_values = np.array([0.04, 0.01, np.nan, 0.03, 0.005])
    # 4 x .005, 3 x .01, 2 x .03, 1 x .04, none below the one before it
    np.testing.assert_allclose(stats.holm(p_values), [0.06, 0.03, np.nan, 0.06, 0.02])
    assert stats.holm(np.array([0.5, 0.9])).tolist() == [1.0, 1.0]


def test_the_best_tenth_is_chosen_by_target(columns):
    scores, targets = (np.tile(column, 3) for column in columns)
    limit = sorted(targets)[-18]
    best = [i for i in range(180) if targets[i] >= limit]
    assert len(best) >= 18
    assert stats.kendall_of_best(scores, targets) == pytest.approx(stats.kendall(scores[best], targets[best]))


@pytest.mark.parametrize("count", [12, 60, 94, 96, 200])
def test_of_fewer_than_ten_best_nothing_is_said(count):
    tau = stats.kendall_of_best(np.arange(count, dtype=float), np.arange(count, dtype=float))
    assert math.isnan(tau) if count < 95 else tau == pytest.approx(1)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6])
def test_best_at_k_is_the_mean_over_ways_to_break_ties(count):
    scores, targets = np.array([3.0, 1.0, 1.0, 2.0, 1.0, -math.inf]), np.array([90.0, 94.0, 91.0, 89.0, 93.0, 95.0])
    found = []
    for order in itertools.permutations(range(6)):
        chosen = sorted(order, key=lambda i: -scores[i])[:count]
        found.append(max(targets[i] for i in chosen))
    assert stats.best_at(count, scores, targets) == pytest.approx(np.mean(found))


def test_best_of_n_draws_from_the_scored_set():
    """The exact mean and deviation, from all subsets of three."""
    scores, targets = np.array([1.0, 5.0, 2.0, 4.0, 3.0, 0.0]), np.array([90.0, 91.0, 92.0, 93.0, 94.0, 95.0])
    exact = [targets[max(subset, key=lambda i: scores[i])] for subset in itertools.combinations(range(6), 3)]
    draws = np.concatenate([stats.draws(3, 6, np.random.default_rng(seed)) for seed in range(20)])
    assert all(len(set(drawn)) == 3 for drawn in draws.tolist())
    drawn = stats.best_of(draws, scores, targets)
    assert len(drawn) == 20 * 500
    assert drawn.mean() == pytest.approx(np.mean(exact), abs=4 * np.std(exact) / math.sqrt(len(drawn)))
    assert drawn.std() == pytest.approx(np.std(exact), rel=0.05)


def test_kendall_given_takes_away_what_the_third_explains():
    rng = np.random.default_rng(0)
    size = rng.normal(size=2000)
    scores, targets = size + rng.normal(size=2000), size + rng.normal(size=2000)
    assert stats.kendall(scores, targets) > 0.3
    assert abs(stats.kendall_given(scores, targets, size)) < 0.15
    assert math.isnan(stats.kendall_given(size, targets, size))


def test_constant_columns_have_no_correlation():
    assert math.isnan(stats.kendall(np.ones(5), np.arange(5.0)))
    assert math.isnan(stats.spearman(np.ones(5), np.arange(5.0)))
    assert all(map(math.isnan, kendall_interval(np.ones(5), np.arange(5.0), np.random.default_rng(0))))


def test_ties_share_their_places():
    """Whatever order the table has, and nothing is won by saying nothing."""
    targets, scores = np.array([90.0, 91, 92, 93, 94]), np.array([2.0, 2, 1, 1, 2])
    for order in (np.arange(5), np.arange(5)[::-1], np.array([2, 0, 4, 1, 3])):
        s, t = scores[order], targets[order]
        assert stats.best_at(1, s, t) == pytest.approx((90 + 91 + 94) / 3)
        assert stats.regret(s, t) == pytest.approx(94 - (90 + 91 + 94) / 3)
        assert stats.precision(s, t, share=0.4) == pytest.approx(1 / 3)  # of two places, two thirds for the best one
        assert stats.ndcg(s, t) == pytest.approx(stats.ndcg(scores, targets))
        assert stats.best_at(1, np.ones(5), t) == pytest.approx(92)


def test_too_few_architectures_have_no_interval():
    assert all(map(math.isnan, kendall_interval(np.arange(3.0), np.arange(3.0), np.random.default_rng(0))))


def test_selection_by_hand():
    targets = np.array([90.0, 91, 92, 93, 94])
    scores = np.array([1.0, 5, 2, 4, 3])
    assert stats.best_at(1, scores, targets) == 91
    assert stats.regret(scores, targets) == 3
    assert stats.precision(scores, targets, share=0.4) == 0.5
    assert stats.precision(scores, targets) == 0
    gains = [1, 3, 4, 2, 0]  # targets from the worst, in the order of the scores
    ideal = [4, 3, 2, 1, 0]
    discounted = [sum(g / math.log2(place + 2) for place, g in enumerate(row)) for row in (gains, ideal)]
    assert stats.ndcg(scores, targets) == pytest.approx(discounted[0] / discounted[1])
    assert stats.ndcg(targets, targets) == 1
