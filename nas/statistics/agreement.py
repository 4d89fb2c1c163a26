"""Proxies among themselves, and each with itself under other seeds: what can be said before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from nas.statistics import ranks


def repeatability(columns: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """By proxy, the mean Spearman's ρ of its scores under one seed with those under another, over all pairs of seeds:
    about the share of the variance of its ranks that is not chance. Empty for one seed.

    Args:
        columns: see `nas.statistics.comparison.oriented`.
    """
    correlations = {}
    for name, by_seed in columns.items():
        pairs = [_spearman(by_seed[one], by_seed[other]) for one, other in combinations(by_seed, 2)]
        if pairs:
            correlations[name] = float(np.mean(pairs))
    return correlations


def agreement(columns: Mapping[str, pd.DataFrame], means: pd.DataFrame) -> pd.DataFrame:
    """Columns ``proxy_a``, ``proxy_b`` and ``spearman``: of any two proxies the ρ of their means over seeds; of a proxy
    with itself its `repeatability`, where there are several seeds.

    Args:
        columns, means: see `nas.statistics.comparison`.
    """
    rows = [(name, name, rho) for name, rho in repeatability(columns).items()]
    rows += [(one, other, _spearman(means[one], means[other])) for one, other in combinations(map(str, means), 2)]
    return pd.DataFrame(rows, columns=["proxy_a", "proxy_b", "spearman"])


def _spearman(one: pd.Series[float], other: pd.Series[float]) -> float:
    return ranks.spearman(np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64))
