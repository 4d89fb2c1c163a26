"""Influences against counting, against leaving one out and against resampling; how often intervals hold the truth."""

import math

import numpy as np
import pytest
from hostile import quick
from hypothesis import given
from hypothesis import strategies as st

from nas.statistics import ranks, spread
from nas.statistics.spread import Spread, Spreads


@pytest.fixture
def influences(monkeypatch):
    """Every number of architectures is large."""
    monkeypatch.setattr(spread, "MAX_RESAMPLED", 0)


def made_up(count, seed=0, digits=1):
    """Scores with ties and failures, targets with ties."""
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=count).round(digits)
    scores = (targets + rng.normal(size=count)).round(digits)
    scores[rng.random(count) < 0.05] = -math.inf
    return scores, targets


@quick(100)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9), st.data())
def test_values_below_a_limit_are_counted(pairs, data):
    values = np.array(data.draw(st.permutations(range(len(pairs)))))
    prefixes, limits = (np.array([min(pair[place], len(values)) for pair in pairs]) for place in (0, 1))
    found = spread.count_below(values, prefixes, limits)
    assert found.tolist() == [sum(values[:p] < limit) for p, limit in zip(prefixes, limits, strict=True)]


COLUMN = st.lists(st.integers(-2, 2).map(float) | st.just(-math.inf), min_size=9, max_size=9)


@quick(100)
@given(st.integers(1, 9), COLUMN, COLUMN)
def test_pairs_are_counted(count, scores, targets):
    scores, targets = np.array(scores[:count]), np.array(targets[:count])
    order = [[np.sign(float(a > b) - float(a < b)) for b in column] for column in (scores, targets) for a in column]
    first, second = np.array(order[:count]), np.array(order[count:])
    expected = [(first * second).sum(1), abs(first).sum(1), abs(second).sum(1)]
    assert np.array_equal(spread.pair_counts(scores, targets), expected)


@pytest.mark.parametrize("count", [50, 1500])
def test_the_counts_give_the_coefficient(count):
    scores, targets = made_up(count)
    alike, differ, differ_too = spread.pair_counts(scores, targets).sum(1)
    assert alike / math.sqrt(differ * differ_too) == pytest.approx(ranks.kendall(scores, targets), rel=1e-12)


@pytest.mark.parametrize(("influence", "coefficient"), [
    (spread.kendall_influence, ranks.kendall), (spread.spearman_influence, ranks.spearman),
])  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_an_influence_is_what_leaving_one_out_changes(influence, coefficient, seed):
    """The jackknife, to first order in the number of architectures."""
    scores, targets = made_up(200, seed)
    whole = coefficient(scores, targets)
    rest = [coefficient(np.delete(scores, i), np.delete(targets, i)) for i in range(200)]
    left_out = 199 * (whole - np.array(rest))
    found = influence(scores, targets)
    assert found.mean() == pytest.approx(0, abs=1e-12)
    assert np.abs(found - left_out).max() < 0.05 * found.std()
    assert found.std() == pytest.approx(left_out.std(), rel=0.01)


@pytest.mark.parametrize("kind", ["kendall", "spearman"])
def test_both_ways_agree_where_one_takes_over_from_the_other(kind, monkeypatch):
    scores, targets = made_up(1000)
    resampled = getattr(Spreads(targets), kind)(scores)
    monkeypatch.setattr(spread, "MAX_RESAMPLED", 999)
    computed = getattr(Spreads(targets), kind)(scores)
    assert (resampled.resampled, computed.resampled) == (True, False)
    assert computed.estimate == resampled.estimate
    assert computed.interval() == pytest.approx(resampled.interval(), abs=0.005)
    width = np.diff(computed.interval())
    assert width == pytest.approx(np.diff(resampled.interval()), rel=0.1)


@pytest.mark.parametrize("rho", [pytest.param(0.3, marks=pytest.mark.long), 0.8])
@pytest.mark.usefixtures("influences")
def test_intervals_cover_the_truth_in_93_to_97_of_100_samples(rho):
    """Of a bivariate normal, τ is 2/π arcsin ρ and Spearman's coefficient 6/π arcsin ρ/2."""
    rng, samples, covered = np.random.default_rng(0), 600, np.zeros(2)
    truths = np.array([2 / math.pi * math.asin(rho), 6 / math.pi * math.asin(rho / 2)])
    for _ in range(samples):
        x, y = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 250).T
        spreads = Spreads(y)
        low, high = np.array([spreads.kendall(x).interval(), spreads.spearman(x).interval()]).T
        covered += (low <= truths) & (truths <= high)
    assert ((covered >= 0.93 * samples) & (covered <= 0.97 * samples)).all(), covered / samples


@pytest.mark.usefixtures("influences")
def test_a_difference_that_is_none_is_found_in_about_5_of_100_samples():
    rng, samples, found = np.random.default_rng(0), 600, 0
    for _ in range(samples):
        truth = rng.normal(size=250)
        spreads = Spreads(truth)
        first, second = (spreads.kendall(truth + rng.normal(size=250)) for _ in range(2))
        found += first.minus(second).p_value() < 0.05
    assert 0.03 * samples <= found <= 0.08 * samples, found / samples


@pytest.mark.usefixtures("influences")
def test_a_difference_that_there_is_is_found():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=2000)
    spreads = Spreads(truth)
    good, bad = spreads.kendall(truth + rng.normal(size=2000)), spreads.kendall(truth + 3 * rng.normal(size=2000))
    difference = good.minus(bad)
    low, high = difference.interval()
    assert 0 < low < difference.estimate < high
    assert difference.p_value() < 1e-6
    assert bad.minus(good).p_value() == difference.p_value()


@pytest.mark.usefixtures("influences")
def test_two_scores_that_rank_alike_are_not_told_apart():
    scores, targets = made_up(100)
    spreads = Spreads(targets)
    difference = spreads.kendall(scores).minus(spreads.kendall(np.exp(scores)))
    assert (difference.estimate, difference.p_value()) == (0.0, 1.0)


@pytest.mark.parametrize("kind", ["kendall", "spearman"])
@pytest.mark.usefixtures("influences")
def test_constant_columns_have_no_interval(kind):
    constant, column = np.ones(20), np.arange(20.0)
    for spreads, scores in ((Spreads(column), constant), (Spreads(constant), column)):
        found = getattr(spreads, kind)(scores)
        assert all(map(math.isnan, (found.estimate, *found.interval(), found.p_value())))


def test_a_spread_of_resamples_is_their_middle():
    values = np.arange(1000.0)
    assert Spread(500.0, values, True).interval() == ranks.interval(values)
    assert Spread(1.0, values, True).p_value() == ranks.p_value(1.0, values)
