"""Rank statistics of scores against targets, with bootstrap intervals.

Throughout, ``scores`` and ``targets`` are [architectures], larger is better in both, and a failed score is minus
infinity: it ranks last, as it does in a search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy  # whose statistics take half a second to import: when they are first asked for
from numpy.typing import NDArray
from scipy.special import comb

Vector = NDArray[np.float64]
RESAMPLES = 1000
DRAWS = 500
MIN_RANKED = 10
"""The fewest architectures whose correlation is stated."""
ROWS_AT_ONCE = 1024
"""Rows of the matrix of pairs that are held at a time."""


def kendall(scores: Vector, targets: Vector) -> float:
    """Kendall's τ-b; nan where either is constant."""
    if not _vary(scores, targets):
        return np.nan
    return float(scipy.stats.kendalltau(average_ranks(scores), average_ranks(targets)).statistic)


def spearman(scores: Vector, targets: Vector) -> float:
    """Spearman's ρ: the correlation of average ranks; nan where either is constant."""
    if not _vary(scores, targets):
        return np.nan
    return float(scipy.stats.spearmanr(average_ranks(scores), average_ranks(targets)).statistic)


def kendall_given(scores: Vector, targets: Vector, given: Vector) -> float:
    """Kendall's partial τ of scores and targets with ``given`` held fixed.

        (τ_st − τ_sg τ_tg) / √((1 − τ_sg²)(1 − τ_tg²))

    nan where ``given`` determines the order of either.
    """
    st, sg, tg = kendall(scores, targets), kendall(scores, given), kendall(targets, given)
    rest = (1 - sg**2) * (1 - tg**2)
    return float((st - sg * tg) / np.sqrt(rest)) if rest > 1e-12 else np.nan


def resamples(count: int, rng: np.random.Generator) -> Vector:
    """How often each of ``count`` architectures occurs in each of 1,000 bootstrap resamples: [resamples, count].

    Statistics that are compared with each other take the same resamples.
    """
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)


def kendall_resampled(scores: Vector, targets: Vector, weights: Vector) -> Vector:
    """τ-b of each resample (see `resamples`).

    A pair of architectures counts as often as the product of their occurrences, and copies of one architecture tie in
    both columns, so τ-b of a resample is a ratio of three quadratic forms in the weights.
    """
    x, y = average_ranks(scores), average_ranks(targets)
    forms: list[Callable[[Vector, Vector], Vector]] = [lambda a, b: a * b, lambda a, b: a * a, lambda a, b: b * b]
    sums = np.zeros((3, len(weights)))
    for start in range(0, len(x), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        dx, dy = np.sign(x[rows, None] - x), np.sign(y[rows, None] - y)
        for index, form in enumerate(forms):
            sums[index] += ((weights[:, rows] @ form(dx, dy)) * weights).sum(1)
    concordance, vary_x, vary_y = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled: Vector = concordance / np.sqrt(vary_x * vary_y)
    return resampled


def spearman_resampled(scores: Vector, targets: Vector, weights: Vector) -> Vector:
    """ρ of each resample: the weighted correlation of the average ranks within it."""
    a, b = _weighted_ranks(scores, weights), _weighted_ranks(targets, weights)
    a -= np.average(a, axis=1, weights=weights)[:, None]
    b -= np.average(b, axis=1, weights=weights)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled: Vector = (weights * a * b).sum(1) / np.sqrt((weights * a * a).sum(1) * (weights * b * b).sum(1))
    return resampled


def interval(values: Vector) -> tuple[float, float]:
    """The bootstrap 95 % interval: the middle of a statistic over resamples. nan where the statistic is undefined in
    more than 5 % of them, since there are too few values or too many equal ones."""
    if np.isnan(values).mean() > 0.05:
        return np.nan, np.nan
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def p_value(difference: float, resampled: Vector) -> float:
    """Two-sided p-value of no difference, from the normal distribution with the standard deviation over resamples.

    1 where the resamples do not vary, as between two scores that rank alike; nan where it is undefined in more than
    5 % of them.
    """
    if np.isnan(difference) or np.isnan(resampled).mean() > 0.05:
        return np.nan
    deviation = np.nanstd(resampled, ddof=1)
    return float(2 * scipy.stats.norm.sf(abs(difference) / deviation)) if deviation > 0 else 1.0


def holm(p_values: Vector) -> Vector:
    """p-values adjusted for their number by Holm's step-down method; nan stays nan, last of all."""
    order, count = np.argsort(p_values), int((~np.isnan(p_values)).sum())
    adjusted = np.full(len(p_values), np.nan)
    adjusted[order[:count]] = np.minimum(1.0, np.maximum.accumulate(p_values[order[:count]] * np.arange(count, 0, -1)))
    return adjusted


def kendall_of_best(scores: Vector, targets: Vector, share: float = 0.1) -> float:
    """Kendall's τ-b among the best ``share`` of architectures by target, with all that tie with the last of them.

    nan where these are fewer than ten, since τ then says nothing about their order.
    """
    count = max(1, round(share * len(targets)))
    best = targets >= np.sort(targets)[::-1][:count][-1]
    return kendall(scores[best], targets[best]) if best.sum() >= MIN_RANKED else np.nan


def precision(scores: Vector, targets: Vector, share: float = 0.05) -> float:
    """The fraction of the best ``share`` of architectures by score (at least one) that is among as many best by target.

    Equal scores share their places, here and below: the result is the mean over all ways to break ties.
    """
    count = max(1, round(share * len(scores)))
    chosen = np.arange(len(scores)) < count
    return float(_by_place(chosen, scores) @ _by_place(chosen, targets) / count)


def ndcg(scores: Vector, targets: Vector) -> float:
    """Normalised discounted cumulative gain of the whole ranking.

    The gain of an architecture is its target, scaled so that the worst has 0 and the best 1; its discount is
    1 / log₂(1 + place). nan where all targets are equal.
    """
    gains = targets - targets.min()
    discounts = 1 / np.log2(np.arange(len(targets)) + 2)
    ideal = gains @ _by_place(discounts, targets)
    return float(gains @ _by_place(discounts, scores) / ideal) if ideal > 0 else np.nan


def best_at(count: int, scores: Vector, targets: Vector) -> float:
    """The largest target among the ``count`` architectures with the largest scores."""
    if count >= len(scores):
        return float(targets.max())
    last = np.sort(scores)[::-1][count - 1]
    certain, tied = targets[scores > last], np.sort(targets[scores == last])
    places = count - len(certain)
    ranks = np.arange(1, len(tied) + 1)
    largest = comb(ranks - 1, places - 1) / comb(len(tied), places)  # P(the rank-th smallest is the largest drawn)
    return float(largest @ np.maximum(tied, certain.max(initial=-np.inf)))


def regret(scores: Vector, targets: Vector) -> float:
    """How far the target of the best by score is below the largest target."""
    return float(targets.max() - best_at(1, scores, targets))


def draws(count: int, of: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """500 draws of ``count`` architectures without replacement: [draws, count]."""
    return np.array([rng.choice(of, count, replace=False) for _ in range(DRAWS)])


def best_of(drawn: NDArray[np.int64], scores: Vector, targets: Vector) -> Vector:
    """The selection protocol of the literature: the target of the best by score of some random architectures.

    One for each draw (see `draws`), [draws]; among equal scores the one drawn first is chosen.
    """
    best = scores[drawn].argmax(1)
    return np.asarray(targets[drawn[np.arange(len(drawn)), best]], dtype=np.float64)


def _by_place(weights: NDArray[Any], values: Vector) -> Vector:
    """The weight of each architecture's place, the first being that of the largest value; ties share."""
    _, group, sizes = np.unique(-values, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    totals = np.add.reduceat(weights.astype(np.float64), ends - sizes)
    return np.asarray((totals / sizes)[group], dtype=np.float64)


def average_ranks(values: Vector) -> Vector:
    """Ranks from 1 on; equal values share theirs."""
    return np.asarray(scipy.stats.rankdata(values), dtype=np.float64)


def _vary(*columns: Vector) -> bool:
    return all(len(column) > 1 and (column != column[0]).any() for column in columns)


def _weighted_ranks(values: Vector, weights: Vector) -> Vector:
    """Average ranks when each value occurs ``weights`` times: [resamples, architectures]."""
    _, group = np.unique(values, return_inverse=True)
    totals = np.zeros((len(weights), group.max() + 1))
    for index in range(len(values)):
        totals[:, group[index]] += weights[:, index]
    ranks = totals.cumsum(1) - (totals - 1) / 2
    return np.asarray(ranks[:, group], dtype=np.float64)
