"""The statistics against scipy, and the bootstrap against resampling for real."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nas import stats


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
    monkeypatch.setattr(stats, "ROWS", 7)
    weights = stats._weights(60, np.random.default_rng(1))[:25]
    taus = stats._kendall_resampled(stats._ranks(scores), stats._ranks(targets), weights)
    rhos = stats._spearman_resampled(scores, targets, weights)
    for row, tau, rho in zip(weights.astype(int), taus, rhos, strict=True):
        chosen = np.repeat(np.arange(60), row)
        assert tau == pytest.approx(stats.kendall(scores[chosen], targets[chosen]))
        assert rho == pytest.approx(stats.spearman(scores[chosen], targets[chosen]))


def test_interval_covers_the_truth():
    """τ of a bivariate normal is 2/π arcsin ρ; a 95 % interval misses it in about 5 of 100 samples."""
    rho, rng = 0.7, np.random.default_rng(0)
    truth, covered = 2 / math.pi * math.asin(rho), 0
    for _ in range(200):
        x = rng.normal(size=100)
        y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=100)
        low, high = stats.kendall_interval(x, y, rng)
        covered += low <= truth <= high
    assert 0.90 <= covered / 200 <= 0.99


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
    assert all(map(math.isnan, stats.kendall_interval(np.ones(5), np.arange(5.0), np.random.default_rng(0))))


def test_ties_share_their_places():
    """Whatever order the table has, and nothing is won by saying nothing."""
    targets, scores = np.array([90.0, 91, 92, 93, 94]), np.array([2.0, 2, 1, 1, 2])
    for order in (np.arange(5), np.arange(5)[::-1], np.array([2, 0, 4, 1, 3])):
        s, t = scores[order], targets[order]
        assert stats.best_at_1(s, t) == pytest.approx((90 + 91 + 94) / 3)
        assert stats.regret(s, t) == pytest.approx(94 - (90 + 91 + 94) / 3)
        assert stats.precision(s, t, share=0.4) == pytest.approx(1 / 3)  # of two places, two thirds for the best one
        assert stats.ndcg(s, t) == pytest.approx(stats.ndcg(scores, targets))
        assert stats.best_at_1(np.ones(5), t) == pytest.approx(92)


def test_too_few_architectures_have_no_interval():
    assert all(map(math.isnan, stats.kendall_interval(np.arange(3.0), np.arange(3.0), np.random.default_rng(0))))


def test_selection_by_hand():
    targets = np.array([90.0, 91, 92, 93, 94])
    scores = np.array([1.0, 5, 2, 4, 3])
    assert stats.best_at_1(scores, targets) == 91
    assert stats.regret(scores, targets) == 3
    assert stats.precision(scores, targets, share=0.4) == 0.5
    assert stats.precision(scores, targets) == 0
    gains = [1, 3, 4, 2, 0]  # targets from the worst, in the order of the scores
    ideal = [4, 3, 2, 1, 0]
    discounted = [sum(g / math.log2(place + 2) for place, g in enumerate(row)) for row in (gains, ideal)]
    assert stats.ndcg(scores, targets) == pytest.approx(discounted[0] / discounted[1])
    assert stats.ndcg(targets, targets) == 1
