"""The verdict of a comparison, against simulation and resampling; agreement without labels."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, spearmanr

from nas.report.words import chance_in_words, words
from nas.statistics import ranks
from nas.statistics.agreement import agreement, repeatability
from nas.statistics.comparison import correlations, mean_over_seeds, oriented, paired
from nas.statistics.spread import Spreads
from nas.statistics.verdict import LEVELLED, more_architectures, partial, verdict

COUNTS = ("params", "flops", "depth")


def judged(count=60, noise=None, sign=1.0, seeds=1):
    """The verdict on made-up proxies: each the truth and so much noise."""
    rng = np.random.default_rng(0)
    truth = pd.Series(rng.normal(size=count), index=[f"a{n}" for n in range(count)])
    rows = []
    for name, level in (
        noise or {"good": 0.3, "fair": 0.35, "poor": 3.0, "params": 2.0, "flops": 2.2, "depth": 2.5}
    ).items():
        own = sign * truth + rng.normal(0, level, count)
        for seed in range(seeds):
            again = rng.normal(0, 9.0, count) if name == "poor" else np.zeros(count)
            for arch, value in zip(truth.index, own + again, strict=True):
                rows.append((arch, name, seed, value, "ok", "", 0.01))
    scores = pd.DataFrame(rows, columns=["arch", "proxy", "seed", "value", "status", "reason", "seconds"])
    columns = oriented(scores, dict.fromkeys(scores["proxy"], True))
    means = mean_over_seeds(columns)
    frame = correlations(scores, truth, dict.fromkeys(scores["proxy"], True))
    return verdict(frame, paired(means, truth), means, truth, 0, repeatability(columns)), columns, means, truth


def test_proxies_that_beat_every_count_and_those_like_the_best():
    result, *_ = judged()
    assert (result.best, result.second, result.architectures) == ("good", "fair", 60)
    assert result.better == ["good", "fair"]
    assert all(set(better) == {"good", "fair"} for better in result.beats.values())
    assert result.alike == ["fair"]
    assert result.more > 0
    assert result.ranks
    assert result.beyond_size
    text = "\n".join(words(result, "accuracy"))
    assert "Better than params, flops and depth beyond chance (paired test, Holm, 5 %): good, fair." in text
    assert "τ not apart from that of good (paired test, Holm, 5 %): fair" in text
    assert "more architectures would tell good and fair apart" in text
    assert "Warning" not in text


def test_warnings_where_nothing_ranks_or_only_size_does():
    result, *_ = judged(sign=-1.0)
    assert not result.ranks
    assert "no proxy can be relied on alone" in words(result, "accuracy")[-1]
    rng = np.random.default_rng(1)
    params = rng.normal(size=80)
    truth = pd.Series(params + rng.normal(0, 0.5, 80), index=[f"a{n}" for n in range(80)])
    means = pd.DataFrame(
        {"params": params, "size": params - 0.3 * truth.to_numpy() + rng.normal(0, 0.7, 80)}, index=truth.index
    )
    scores = means.rename_axis("arch").reset_index().melt("arch", var_name="proxy").assign(
        seed=0, status="ok", reason="", seconds=0.0
    )  # fmt: skip
    frame = correlations(scores, truth, {"params": True, "size": True})
    result = verdict(frame, paired(means, truth), means, truth)
    assert result.given == "size"
    assert result.given_lo <= 0 < result.kendall_lo
    assert "given parameters the best τ, that of size, is not above zero" in words(result, "accuracy")[-1]


@pytest.mark.parametrize(("difference", "error"), [(0.0, 0.1), (0.07, 0.1), (-0.03, 0.02), (0.3, 0.2), (0.02, 0.015)])
def test_the_number_of_architectures_suffices_in_nine_of_ten_cases(difference, error):
    """Simulated: true differences around the measured one, each measured again on so many architectures."""
    count, rng = 300, np.random.default_rng(0)
    factor = 1 + more_architectures(count, difference, error) / count
    true = rng.normal(difference, error, 200_000)
    again = rng.normal(true, error / np.sqrt(factor))
    half = 1.959964 * error / np.sqrt(factor)
    settled = ((np.abs(again) > half) | (np.abs(again) + half < LEVELLED)).mean()
    assert settled >= 0.89
    if factor > 1:  # and fewer would not
        half *= 1.1
        again = rng.normal(true, half / 1.959964)
        assert ((np.abs(again) > half) | (np.abs(again) + half < LEVELLED)).mean() < 0.903


def test_what_is_known_needs_no_more_and_what_ranks_alike_is_not_told_apart():
    close, *_ = judged(noise={"one": 0.2, "other": 0.2, **dict.fromkeys(COUNTS, 4.0)}, count=1500)
    assert close.more == 0
    assert "one and other by themselves are told apart, or known to differ by less than 0.05." in words(
        close, "accuracy"
    )
    assert more_architectures(30, 0.01, 0.01) == 0, "less than .05 apart, both ways"
    assert more_architectures(30, 0.3, 0.01) == 0
    result, *_ = judged(noise={"good": 0.2, "poor": 9.0, **dict.fromkeys(COUNTS, 4.0)})
    assert result.more == 0
    result, *_ = judged(noise={"one": 0.0, "other": 0.0, **dict.fromkeys(COUNTS, 4.0)})
    assert result.more is None
    assert "one and other rank alike here" in "\n".join(words(result, "accuracy"))


def test_a_partial_tau_of_resamples_and_of_influences():
    rng = np.random.default_rng(0)
    truth, params = rng.normal(size=50), rng.normal(size=50)
    scores = truth + params + rng.normal(size=50)
    of_truth, of_params = Spreads(truth), Spreads(params)
    spread = partial(of_truth.kendall(scores), of_params.kendall(scores), of_truth.kendall(params))
    assert spread.estimate == pytest.approx(ranks.kendall_given(scores, truth, params))
    rows = np.repeat(np.arange(50), of_truth.weights[7].astype(int))
    assert spread.values[7] == pytest.approx(ranks.kendall_given(scores[rows], truth[rows], params[rows]))
    many = rng.normal(size=(2, 1500))
    scores = many.sum(0) + rng.normal(size=1500)
    of_truth, of_params = Spreads(many[0]), Spreads(many[1])
    parts = of_truth.kendall(scores), of_params.kendall(scores), of_truth.kendall(many[1])
    assert not parts[0].resampled
    low, high = partial(*parts).interval()
    tau = ranks.kendall_given(scores, many[0], many[1])
    deviation = np.std(
        [ranks.kendall_given(scores[r], many[0][r], many[1][r]) for r in rng.integers(0, 1500, (40, 1500))]
    )
    assert (low + high) / 2 == pytest.approx(tau)
    assert (high - low) / 3.92 == pytest.approx(deviation, rel=0.4)


def test_too_few_to_say_anything():
    frame = pd.DataFrame({"proxy": ["params"], "seed": "all", "kendall": np.nan, "kendall_lo": 0.0, "kendall_hi": 0.0})
    means = pd.DataFrame({"params": [1.0, 1.0]}, index=["a", "b"])
    truth = pd.Series([1.0, 2.0], index=means.index)
    result = verdict(frame, paired(means, truth), means, truth)
    assert result.best is None
    assert words(result, "accuracy") == ("Nothing can be said: 2 architectures are too few, or all alike.",)


def test_agreement_with_others_and_with_itself():
    result, columns, means, _ = judged(seeds=3)
    assert result.chance == ["poor"]
    frame = agreement(columns, means).set_index(["proxy_a", "proxy_b"])["spearman"]
    assert frame["good", "fair"] == pytest.approx(spearmanr(means["good"], means["fair"]).statistic)
    poor = columns["poor"]
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert frame["poor", "poor"] == pytest.approx(np.mean([spearmanr(poor[a], poor[b]).statistic for a, b in pairs]))
    assert frame["params", "params"] == pytest.approx(1.0)
    assert "poor" in chance_in_words(result.chance, 3)[0]
    assert repeatability(judged()[1]) == {}
    assert "--seeds 2" in chance_in_words([], 1)[0]
    assert kendalltau(means["good"], means["fair"]).statistic > 0
