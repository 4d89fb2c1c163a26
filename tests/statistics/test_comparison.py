"""The frames of a comparison against brute force."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from nas.scoring.rows import SCORES
from nas.statistics import comparison
from nas.statistics import ranks as stats

DIRECTIONS = {"up": True, "down": False, "flaky": True, "params": True}


@pytest.fixture
def scores():
    """Forty architectures, two seeds: a proxy each way, one that fails at times, and the parameters."""
    rng, rows = np.random.default_rng(0), []
    for number in range(40):
        for seed in (0, 1):
            values = {"up": number + rng.normal(0, 9), "down": -number + rng.normal(0, 9),
                      "flaky": None if rng.random() < 0.1 else number % 7, "params": number // 4}  # fmt: skip
            for proxy, value in values.items():
                status, reason = ("ok", "") if value is not None else ("failed", "it failed")
                rows.append((f"a{number}", proxy, seed, value, status, reason, 0.001 * (seed + 1)))
    return pd.DataFrame(rows, columns=list(SCORES))


@pytest.fixture
def truth():
    return pd.Series([float(number // 2) for number in range(40)], index=[f"a{number}" for number in range(40)])


@pytest.fixture
def means(scores):
    return comparison.mean_over_seeds(comparison.oriented(scores, DIRECTIONS))


def test_the_mean_over_seeds_fails_where_a_seed_failed(scores, means):
    for proxy in ("up", "down", "flaky"):
        sign = 1 if DIRECTIONS[proxy] else -1
        for arch in means.index:
            values = scores.query("proxy == @proxy and arch == @arch")["value"].tolist()
            expected = -math.inf if any(math.isnan(v) for v in values) else sign * sum(values) / 2
            assert means.loc[arch, proxy] == pytest.approx(expected)
    assert (means["flaky"] == -math.inf).any()


def test_correlations_of_each_seed_and_of_their_mean(scores, truth, means):
    frame = comparison.correlations(scores, truth, DIRECTIONS, peak_mb={"up": 3.0}).set_index(["proxy", "seed"])
    for proxy in means:
        failed = means[proxy] == -math.inf
        column = means[proxy].where(~failed, -1e9)
        row = frame.loc[(proxy, "all")]
        assert row["kendall"] == pytest.approx(scipy_stats.kendalltau(column, truth).statistic)
        assert row["spearman"] == pytest.approx(scipy_stats.spearmanr(column, truth).statistic)
        assert row["failed"] == failed.sum()
        assert row["ms_per_arch"] == 1.5
        assert frame.loc[(proxy, "1"), "ms_per_arch"] == 2.0
    sums = scores.query("proxy == 'down' and seed == 1").set_index("arch")["value"]
    assert frame.loc[("down", "1"), "kendall"] == pytest.approx(scipy_stats.kendalltau(-sums, truth).statistic)
    assert frame.loc[("up", "0"), "peak_mb"] == 3.0
    assert math.isnan(frame.loc[("down", "all"), "peak_mb"])


def test_pairs_are_compared_on_the_same_resamples(truth, means, monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 100)
    frame = comparison.paired(means, truth, seed=3)
    assert {frozenset(pair) for pair in zip(frame["proxy_a"], frame["proxy_b"], strict=True)} == {
        frozenset(pair) for pair in combinations(means, 2)
    }
    weights = stats.resamples(40, np.random.default_rng(3))
    accuracy = truth.to_numpy()
    for row in frame.itertuples():
        taus = [stats.kendall(means[name].to_numpy(), accuracy) for name in (row.proxy_a, row.proxy_b)]
        assert row.difference == pytest.approx(taus[0] - taus[1])
        assert row.difference >= 0
        differences = []
        for times in weights.astype(int):
            chosen = np.repeat(np.arange(40), times)
            first, second = (means[name].to_numpy()[chosen] for name in (row.proxy_a, row.proxy_b))
            differences.append(stats.kendall(first, accuracy[chosen]) - stats.kendall(second, accuracy[chosen]))
        assert [row.lo, row.hi] == pytest.approx(np.percentile(differences, [2.5, 97.5]))
        assert row.p == pytest.approx(2 * scipy_stats.norm.sf(row.difference / np.std(differences, ddof=1)))
    assert (frame["p_holm"] >= frame["p"]).all()


def test_selection_lies_between_chance_and_the_optimum(truth, means):
    frame = comparison.selection(means, truth).set_index(["proxy", "n"])["mean"]
    assert set(frame.index) == {(proxy, 10) for proxy in ("optimal", *means, "random")}
    assert frame["optimal", 10] >= frame["up", 10] > frame["random", 10]
    assert frame["random", 10] == pytest.approx(truth.mean(), abs=4 * truth.std() / math.sqrt(500))


def test_heat_map_takes_the_rows_that_a_column_has(means, truth):
    table = pd.DataFrame({"accuracy": truth, "half": truth.where(truth > 9)})
    frame = comparison.target_correlations(means, table)
    assert list(frame.index) == list(means)
    known = truth[truth > 9].index
    for proxy in means:
        assert frame.loc[proxy, "accuracy"] == pytest.approx(stats.kendall(means[proxy].to_numpy(), truth.to_numpy()))
        expected = stats.kendall(means.loc[known, proxy].to_numpy(), truth[known].to_numpy())
        assert frame.loc[proxy, "half"] == pytest.approx(expected)


def test_correlations_within_groups_are_averaged_by_size():
    rng = np.random.default_rng(3)
    names = [f"a{number}" for number in range(20)]
    means = pd.DataFrame({"up": rng.normal(size=20), "flat": np.r_[np.zeros(9), rng.normal(size=11)]}, index=names)
    target = pd.Series(rng.normal(size=20), index=names)
    groups = pd.Series([*["first"] * 9, *["second"] * 6, *["pair"] * 2, *[None] * 3], index=names)
    found = comparison.within_groups(means, target, groups).set_index(["proxy", "group"])
    parts = {"first": slice(0, 9), "second": slice(9, 15)}
    taus = {
        (proxy, group): scipy_stats.kendalltau(means[proxy].iloc[part], target.iloc[part]).statistic
        for proxy in means for group, part in parts.items()
    }  # fmt: skip
    for proxy in means:
        known = {group: taus[proxy, group] for group in parts if not math.isnan(taus[proxy, group])}
        sizes = {group: len(names[parts[group]]) for group in known}
        assert found.loc[(proxy, "all"), "n"] == sum(sizes.values())
        mean = sum(sizes[group] * tau for group, tau in known.items()) / sum(sizes.values())
        assert found.loc[(proxy, "all"), "kendall"] == pytest.approx(mean)
        for group in parts:
            assert found.loc[(proxy, group), "kendall"] == pytest.approx(taus[proxy, group], nan_ok=True)
    assert set(found.index.get_level_values("group")) == {"all", "first", "second"}
