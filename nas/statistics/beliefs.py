"""What is believed of architectures of which a few were evaluated: a Gaussian process in closed form.

    truth(a) = intercept + slope · ranking(a) + Σ_k w_k · proxy_k(a) + rest(a) + noise

with the ranking and the proxies as normal scores among the candidates, and the truths as normal scores among the
evaluated, so that no scale matters. The weights are N(0, τ² / proxies); the rest is a Gaussian process on the
operations, whose covariance falls with the share of slots in which two architectures differ. Slope and noise are
averaged over a small grid by their marginal likelihood (Rasmussen & Williams 2006, sections 2.7 and 5.2). With no truth
known this is the ranking; a proxy that is wrong here gets a negative weight; what the architectures have in common
besides is in the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from nas.statistics.ranks import Vector, average_ranks

Matrix = NDArray[np.float64]
SLOPES, NOISES = (0.0, 0.5, 1.0), (0.3, 0.7)
"""The grid: of the slope, which is zero where the ranking tells nothing among the best, and of the noise's standard
deviation."""
TAU, REST, INTERCEPT = 0.7, 0.15, 2.0
"""Standard deviations of the proxies' weights together, of the rest and of the intercept; chosen, as the grid, by
``benchmarks/evaluate.py``."""
REACH = 3.0
"""The rest's covariance is exp(-3 x) where a share x of the slots differs."""


class Candidates(NamedTuple):
    """What is known of architectures before any is evaluated.

    Attributes:
        ranking: [candidates] normal scores of what the search maximised.
        proxies: [candidates, proxies] normal scores, larger is better in each.
        operations: [candidates, slots] the option in each slot.
    """

    ranking: Vector
    proxies: Matrix
    operations: NDArray[np.int64]


class Beliefs(NamedTuple):
    """What is believed, in standard deviations of the truths known.

    Attributes:
        mean, deviation: [candidates] of the truth without noise.
        weights, weight_deviations: [proxies] by how much the truth rises with one standard deviation of a proxy, what
            the ranking owes to it included.
    """

    mean: Vector
    deviation: Vector
    weights: Vector
    weight_deviations: Vector


def normal_scores(values: Vector) -> Vector:
    """The quantiles of the standard normal at the values' mid-ranks, scaled to unit variance; zeros where all are
    equal."""
    if len(values) == 0 or (values == values[0]).all():
        return np.zeros(len(values))
    scores = ndtri((average_ranks(values) - 0.5) / len(values))
    return np.asarray(scores / scores.std(), dtype=np.float64)


def believe(candidates: Candidates, places: Sequence[int], truths: Vector) -> Beliefs:
    """The beliefs when the candidates at ``places`` came out as ``truths``, on any scale on which larger is better."""
    ranking, proxies, operations = candidates
    count, known = max(1, proxies.shape[1]), np.array(places, dtype=np.int64)
    own = proxies[known] / count  # [known, proxies]
    by_proxies, shares = proxies @ own.T, _shares(ranking, proxies)
    rest = REST**2 * np.exp(-REACH * _difference(operations, known)) + INTERCEPT**2  # [candidates, known]
    across, shift = TAU**2 * by_proxies + rest, TAU**2 * own.T
    prior = TAU**2 / count * np.square(proxies).sum(1) + REST**2 + INTERCEPT**2
    results, likelihoods = [], []
    for noise in NOISES:
        covariance = across[known] + noise**2 * np.eye(len(known))
        variance = prior - (across * np.linalg.solve(covariance, across.T).T).sum(1)
        weight_variance = TAU**2 / count - (shift * np.linalg.solve(covariance, shift.T).T).sum(1)
        for slope in SLOPES:
            residual = truths - slope * ranking[known]
            solved = np.linalg.solve(covariance, residual)
            likelihoods.append(-residual @ solved / 2 - np.linalg.slogdet(covariance)[1] / 2)
            mean = slope * ranking + across @ solved
            results.append((mean, variance, slope * shares + shift @ solved, weight_variance))
    posterior = np.exp(np.array(likelihoods) - max(likelihoods))
    mean, deviation = _mixture(posterior, [(r[0], r[1]) for r in results])
    return Beliefs(mean, deviation, *_mixture(posterior, [(r[2], r[3]) for r in results]))


def _difference(operations: NDArray[np.int64], known: NDArray[np.int64]) -> Matrix:
    """The share of slots in which each candidate differs from each known one: [candidates, known]."""
    slots = max(1, operations.shape[1])
    columns = [(operations != operations[place]).sum(1) / slots for place in known]
    return np.array(columns, dtype=np.float64).reshape(len(known), len(operations)).T


def _shares(ranking: Vector, proxies: Matrix) -> Vector:
    """How much of the ranking is owed to each proxy: its least-squares coefficients, the smallest ones where several
    do."""
    return np.asarray(np.linalg.lstsq(proxies, ranking, rcond=None)[0], dtype=np.float64)


def _mixture(weights: Vector, parts: Sequence[tuple[Vector, Vector]]) -> tuple[Vector, Vector]:
    """Mean and standard deviation of a mixture of distributions with these means and variances."""
    means, variances = np.array([mean for mean, _ in parts]), np.array([variance for _, variance in parts])
    shares = weights / weights.sum()
    mean = shares @ means
    variance = shares @ (variances + means**2) - mean**2
    return mean, np.sqrt(np.maximum(variance, 1e-12))
