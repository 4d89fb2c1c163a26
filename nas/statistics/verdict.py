"""What a comparison comes to: which proxies tell more here than a count does, which are as good as the best, and how
many more architectures would settle which of the best two it is."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, isnan, sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from nas.statistics import ranks
from nas.statistics.spread import Spread, Spreads

ALWAYS = ("params", "flops", "depth")
"""In every comparison, because a high score may only count weights."""
LEVEL = 0.05
"""Of the tests."""
LIMIT = float(norm.isf(LEVEL / 2))
"""Standard errors on each side of an interval."""
LEVELLED = 0.05
"""A difference of two τ below which it hardly matters which proxy is taken."""
POWER = 0.9
"""The probability with which the number of architectures that is told would be enough if any two proxies were looked
at. They are the two that came out best, which lie nearer to each other than they seem: 80 % remain (measured by
``benchmarks/evaluate.py verdicts``)."""
REPEATS = 0.5
"""Spearman's ρ of a proxy with itself under another seed, below which chance decides most of its ranking."""


class Verdict(NamedTuple):
    """What a reader may conclude.

    Attributes:
        architectures: how many were compared.
        best: the proxy with the largest τ, a count included; None where none has a τ.
        kendall, kendall_lo, kendall_hi: its τ-b and the 95 % interval.
        beats: of each count, the proxies that rank better than it beyond chance (paired test, Holm, 5 %).
        better: those that beat every count.
        alike: those that cannot be told apart from the best.
        second: the next best.
        more: how many more architectures would tell the best two apart, or show that they differ by less than
            `LEVELLED`, see `more_architectures`; 0 where that is known, None where it cannot be said.
        given: the proxy with the largest τ given parameters.
        given_kendall, given_lo, given_hi: that τ and its 95 % interval.
        chance: the proxies most of whose ranking another seed changes; empty where there was one seed.
    """

    architectures: int
    best: str | None
    kendall: float
    kendall_lo: float
    kendall_hi: float
    beats: Mapping[str, list[str]]
    better: list[str]
    alike: list[str]
    second: str | None
    more: int | None
    given: str | None
    given_kendall: float
    given_lo: float
    given_hi: float
    chance: list[str]

    @property
    def ranks(self) -> bool:
        """Whether the best proxy ranks better than chance."""
        return self.kendall_lo > 0

    @property
    def beyond_size(self) -> bool:
        """Whether some proxy tells more than the number of parameters."""
        return self.given_lo > 0


def verdict(
    correlations: pd.DataFrame,
    pairs: pd.DataFrame,
    means: pd.DataFrame,
    target: pd.Series[float],
    seed: int = 0,
    repeats: Mapping[str, float] | None = None,
) -> Verdict:
    """The verdict of a comparison.

    Args:
        correlations, pairs, means: see `nas.statistics.comparison`.
        seed: of the resamples.
        repeats: see `nas.statistics.agreement.repeatability`.
    """
    overall = correlations[(correlations["seed"] == "all") & correlations["kendall"].notna()]
    overall = overall.sort_values("kendall", ascending=False, kind="stable").set_index("proxy")
    ranked = [str(name) for name in overall.index]
    best, second = [*ranked, None, None][:2]
    apart = pairs[pairs["p_holm"] < LEVEL]
    beats = {
        count: [str(name) for name in apart.loc[apart["proxy_b"] == count, "proxy_a"] if name not in ALWAYS]
        for count in ALWAYS
        if count in ranked
    }
    of_best = pairs[pairs["proxy_a"] == best]
    own = overall[["kendall", "kendall_lo", "kendall_hi"]].to_numpy(np.float64)
    tau, low, high = own[0] if len(own) else (np.nan, np.nan, np.nan)
    partial_taus = _given_params(means, target, seed, ranked)
    return Verdict(
        len(means), best, float(tau), float(low), float(high),
        beats,
        [name for name in ranked if beats and all(name in better for better in beats.values())],
        [str(name) for name in of_best.loc[~(of_best["p_holm"] < LEVEL), "proxy_b"]],
        second,
        None if second is None else _more(len(means), of_best[of_best["proxy_b"] == second]),
        *partial_taus,
        [name for name, rho in (repeats or {}).items() if rho < REPEATS],
    )  # fmt: skip


def _more(count: int, pair: pd.DataFrame) -> int | None:
    """How many architectures more than ``count`` would settle a pair of proxies, a row of the pairs."""
    ((difference, low, high, p),) = pair[["difference", "lo", "hi", "p"]].to_numpy(np.float64)
    if np.isnan(p) or low == high:  # too few to say, or they rank alike
        return None
    known = p < LEVEL or max(abs(low), abs(high)) < LEVELLED
    return 0 if known else more_architectures(count, difference, (high - low) / (2 * LIMIT))


def more_architectures(count: int, difference: float, error: float) -> int:
    """How many more than ``count`` architectures a comparison takes to settle, with 80 % probability (see `POWER`),
    which of two proxies ranks better: to tell them apart, or to show that they differ by less than `LEVELLED`.

    The difference of two τ on N architectures has a standard error that falls as 1/√N. On ``count`` of them it was
    ``difference`` with the standard error ``error``, so the true one, of which nothing else is known, lies around it
    with that error. The next comparison, of F times as many, finds a difference X, normal around ``difference`` with
    the variance of both errors, ``error``² (1 + 1/F), and has an interval of ± h = 1.96 ``error`` / √F. It settles the
    question where |X| > h, or where |X| + h < `LEVELLED`; the smallest F with `POWER` is taken. Where h is half of
    `LEVELLED`, every X settles it. Were the difference taken for exact, the promise would be too small for most of the
    pairs that are not told apart: those whose difference came out too large.
    """

    def settled(factor: float) -> float:
        half, spread = LIMIT * error / sqrt(factor), error * sqrt(1 + 1 / factor)
        within = max(LEVELLED - half, 0.0)
        apart = norm.sf((half - difference) / spread) + norm.cdf((-half - difference) / spread)
        level = norm.cdf((within - difference) / spread) - norm.cdf((-within - difference) / spread)
        return float(apart + level)  # 1 or more where every difference is one or the other

    factors: list[float] = np.geomspace(1, max(1.0, (2 * LIMIT * error / LEVELLED) ** 2), 1000).tolist()
    enough = next((factor for factor in factors if settled(factor) >= POWER), factors[-1])
    return ceil(count * (enough - 1))


def _given_params(
    means: pd.DataFrame, target: pd.Series[float], seed: int, ranked: list[str]
) -> tuple[str | None, float, float, float]:
    """The proxy with the largest τ given parameters, that τ, and its 95 % interval."""
    nothing = None, np.nan, np.nan, np.nan
    if "params" not in means or not np.isfinite(means["params"]).all():
        return nothing
    truth, params = (np.asarray(column, dtype=np.float64) for column in (target.loc[means.index], means["params"]))
    columns = {name: means[name].to_numpy(np.float64) for name in ranked if name != "params"}
    taus = {name: ranks.kendall_given(column, truth, params) for name, column in columns.items()}
    finite = {name: tau for name, tau in taus.items() if not isnan(tau)}
    if not finite:
        return nothing
    name = max(finite, key=finite.__getitem__)
    of_truth, of_params = Spreads(truth, seed), Spreads(params, seed)
    spread = partial(of_truth.kendall(columns[name]), of_params.kendall(columns[name]), of_truth.kendall(params))
    return name, spread.estimate, *spread.interval()


def partial(scores: Spread, with_given: Spread, target_given: Spread) -> Spread:
    """Kendall's partial τ (see `nas.statistics.ranks.kendall_given`) of three τ on the same resamples, or of their
    influences, which it takes to first order."""
    a, b, c = scores.estimate, with_given.estimate, target_given.estimate
    with np.errstate(invalid="ignore", divide="ignore"):
        if scores.resampled:
            a_, b_, c_ = scores.values, with_given.values, target_given.values
            values = (a_ - b_ * c_) / np.sqrt((1 - b_**2) * (1 - c_**2))
            values[~np.isfinite(values)] = np.nan
        else:
            scale = np.sqrt((1 - b**2) * (1 - c**2))
            estimate = (a - b * c) / scale
            values = scores.values / scale
            values = values + (-c / scale + estimate * b / (1 - b**2)) * with_given.values
            values = values + (-b / scale + estimate * c / (1 - c**2)) * target_given.values
    return Spread(float((a - b * c) / np.sqrt((1 - b**2) * (1 - c**2))), values, scores.resampled)
