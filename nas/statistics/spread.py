"""How far the correlation of a sample of architectures may lie from that of all of them.

Up to `MAX_RESAMPLED` architectures are resampled (the bootstrap): 1,000 resamples, and the middle 95 % of their
correlations. More would take minutes for thirty proxies, and need not be resampled: τ-b and ρ are smooth functions of
means over pairs, so what one architecture adds to them, its influence, has mean zero, and the variance of the
correlation is that of the mean of the influences (Hoeffding 1948; for τ and differences of τ: Cliff & Charlin 1991, for
τ-b: Brown & Benedetti 1977). The interval is then ± 1.96 standard errors, and nothing is drawn. It takes n log n steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nas.statistics import ranks
from nas.statistics.ranks import Vector

Places = NDArray[np.int64]
MAX_RESAMPLED = 1000
"""Architectures up to which correlations are resampled."""


class Spread(NamedTuple):
    """A correlation, or a difference of two, and how it varies.

    Attributes:
        estimate: that of the architectures compared; nan where there is none.
        values: of each resample, or the influence of each architecture.
        resampled: which of the two.
    """

    estimate: float
    values: Vector
    resampled: bool

    def minus(self, other: Spread) -> Spread:
        """The difference of two correlations of the same architectures."""
        return Spread(self.estimate - other.estimate, self.values - other.values, self.resampled)

    def interval(self) -> tuple[float, float]:
        """The 95 % interval; nan where there is none."""
        if self.resampled:
            return ranks.interval(self.values)
        reach = float(stats.norm.ppf(0.975)) * self._error()
        return self.estimate - reach, self.estimate + reach

    def p_value(self) -> float:
        """Two-sided p-value of zero; see `nas.statistics.ranks.p_value`."""
        if self.resampled:
            return ranks.p_value(self.estimate, self.values)
        error = self._error()
        if np.isnan(error):
            return np.nan
        return float(2 * stats.norm.sf(abs(self.estimate) / error)) if error > 0 else 1.0

    def _error(self) -> float:
        count = len(self.values)
        return float(np.sqrt(np.square(self.values).sum() / (count * (count - 1))))


class Spreads:
    """Correlations of columns with the same targets; those that are resampled share their resamples.

    Args:
        seed: of the resamples.
    """

    def __init__(self, targets: Vector, seed: int = 0) -> None:
        self.targets = targets
        count = len(targets)
        self.weights = ranks.resamples(count, np.random.default_rng(seed)) if count <= MAX_RESAMPLED else None

    def kendall(self, scores: Vector) -> Spread:
        """τ-b; see `nas.statistics.ranks.kendall`."""
        tau = ranks.kendall(scores, self.targets)
        if self.weights is not None:
            return Spread(tau, ranks.kendall_resampled(scores, self.targets, self.weights), True)
        return Spread(tau, kendall_influence(scores, self.targets), False)

    def spearman(self, scores: Vector) -> Spread:
        """ρ; see `nas.statistics.ranks.spearman`."""
        rho = ranks.spearman(scores, self.targets)
        if self.weights is not None:
            return Spread(rho, ranks.spearman_resampled(scores, self.targets, self.weights), True)
        return Spread(rho, spearman_influence(scores, self.targets), False)


def kendall_influence(scores: Vector, targets: Vector) -> Vector:
    """What each architecture adds to τ-b, times their number; nan where either column is constant.

    With c_i, s_i and t_i the means over the other architectures of "orders the pair alike" (1, -1, 0 for ties), "scores
    differ" and "targets differ", and C, S and T the means of these, τ-b = C / √(S T), and the influence is

        2 (c_i - C) / √(S T) - τ-b ((s_i - S) / S + (t_i - T) / T)
    """
    concordance, score_pairs, target_pairs = pair_counts(scores, targets) / (len(scores) - 1)
    c, s, t = concordance.mean(), score_pairs.mean(), target_pairs.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt(s * t)
        tied = (score_pairs - s) / s + (target_pairs - t) / t
        return np.asarray(2 * (concordance - c) / scale - c / scale * tied, dtype=np.float64)


def spearman_influence(scores: Vector, targets: Vector) -> Vector:
    """What each architecture adds to ρ, times their number; nan where either column is constant.

    ρ is the correlation of F and G, the shares of architectures below in either column (half of those that tie). An
    architecture adds what it is and what it does to the F and G of the others:

        F_i G_i + mean_j (K_ij G_j) + mean_j (L_ij F_j)    with K_ij = 1 where score i < score j, ½ where they tie

    to the mean of F G, and alike to those of F² and G².
    """
    f, g = ((ranks.average_ranks(column) - 0.5) / len(column) for column in (scores, targets))
    moments, influences = [], []
    for (a, first), (b, second) in (((f, scores), (g, targets)), ((f, scores),) * 2, ((g, targets),) * 2):
        moment = np.mean(a * b)
        moments.append(moment - 0.25)
        influences.append(a * b + _share_above(first, b) + _share_above(second, a) - 3 * moment)
    covariance, vary_f, vary_g = moments
    both, of_f, of_g = influences
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt(vary_f * vary_g)
        ratio = both / scale - covariance / scale / 2 * (of_f / vary_f + of_g / vary_g)
    constant = min(vary_f, vary_g) < 1e-12
    return np.full(len(scores), np.nan) if constant else np.asarray(ratio, dtype=np.float64)


def pair_counts(scores: Vector, targets: Vector) -> Vector:
    """Counts of each architecture's pairs with all others: those that both columns order alike minus those that they
    order oppositely, those whose scores differ, and those whose targets differ: [3, architectures]."""
    count = len(scores)
    below, upto = _places(scores)
    target_below, target_upto = _places(targets)
    order = np.argsort(scores, kind="stable")
    position = np.empty(count, dtype=np.int64)
    position[np.argsort(targets, kind="stable")] = np.arange(count)
    prefixes = np.concatenate([below, below, upto, upto])
    limits = np.concatenate([target_below, target_upto, target_below, target_upto])
    both_below, less_upto, upto_less, both_upto = count_below(position[order], prefixes, limits).reshape(4, count)
    alike = both_below + count - upto - target_upto + both_upto
    otherwise = below - less_upto + target_below - upto_less
    return np.array([alike - otherwise, count - (upto - below), count - (target_upto - target_below)], np.float64)


def _places(values: Vector) -> tuple[Places, Places]:
    """How many of the values are less than each, and how many are not more."""
    ordered = np.sort(values)
    return np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")


def count_below(values: Places, prefixes: Places, limits: Places) -> Places:
    """How many of the first ``prefixes`` values are below ``limits``, for many pairs of these at once.

    Bit by bit from the highest (a wavelet matrix, Claude & Navarro 2012): values whose bit is 0 move to the front, in
    their order. Where the limit's bit is 1, those of the range whose bit is 0 are below it, and the others are compared
    further; where it is 0, only those whose bit is 0 can be below.

    Args:
        values: whole numbers, each from 0 to less than the number of values.
        limits: from 0 to the number of values.
    """
    starts, ends, counts = np.zeros_like(prefixes), prefixes.copy(), np.zeros_like(prefixes)
    for bit in reversed(range(len(values).bit_length())):
        ones = values >> bit & 1
        zeros_before = np.concatenate([[0], np.cumsum(1 - ones)])
        high = limits >> bit & 1 == 1
        zeros_start, zeros_end = zeros_before[starts], zeros_before[ends]
        counts += np.where(high, zeros_end - zeros_start, 0)
        starts = np.where(high, zeros_before[-1] + starts - zeros_start, zeros_start)
        ends = np.where(high, zeros_before[-1] + ends - zeros_end, zeros_end)
        values = np.concatenate([values[ones == 0], values[ones == 1]])
    return counts


def _share_above(values: Vector, weights: Vector) -> Vector:
    """For each value the sum of the weights of those above it and half of those that tie, over their number."""
    order = np.argsort(values, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weights[order])])
    less, upto = _places(values)
    return np.asarray((below[-1] - (below[less] + below[upto]) / 2) / len(values), dtype=np.float64)
