"""Compares proxies with trained accuracy: the same architectures, minibatches and networks for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import inf
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from nas.statistics import ranks
from nas.statistics.ranks import Vector
from nas.statistics.spread import Spreads
from nas.statistics.verdict import Verdict


class Comparison(NamedTuple):
    """What `nas.compare` returns.

    Attributes:
        scores: the columns of ``scores.csv``.
        correlations: the rows of ``correlations.csv``, see `correlations`; with one seed only those with seed ``all``,
            which are that seed's.
        pairs: for any two proxies, whether one correlates better; see `paired`.
        selection: what choosing by each proxy reaches; see `selection`.
        targets: Kendall's τ-b of each proxy (row) with each column of numbers of the table, positive for one that works
            as declared.
        truth: the target by architecture.
        duplicates: how many of the architectures are isomorphic to an earlier one.
        folder: the run folder, where there is one.
        groups: correlations within groups of architectures, see `within_groups`; None where there are none.
        agreement: of the proxies with each other, and of each with itself over seeds; see
            `nas.statistics.agreement.agreement`.
        verdict: what all that comes to; None without a target, where the frames but ``scores`` and ``agreement`` are
            empty.
        words: the same in sentences.
    """

    scores: pd.DataFrame
    correlations: pd.DataFrame
    pairs: pd.DataFrame
    selection: pd.DataFrame
    targets: pd.DataFrame
    truth: pd.Series[float]
    duplicates: int
    folder: Path | None = None
    agreement: pd.DataFrame | None = None
    verdict: Verdict | None = None
    words: tuple[str, ...] = ()
    groups: pd.DataFrame | None = None


def decimals(truth: pd.Series[float]) -> int:
    """Digits after the point that tell targets apart: two for per cent, four for shares."""
    return 2 if truth.abs().max() > 2 else 4


def oriented(scores: pd.DataFrame, larger_is_better: Mapping[str, bool]) -> dict[str, pd.DataFrame]:
    """The values by proxy [architectures x seeds], larger is better; a failure is minus infinity.

    Args:
        scores: the columns of ``scores.csv``.
        larger_is_better: the declared direction of each proxy.
    """
    archs = list(dict.fromkeys(scores["arch"]))
    values = scores.assign(value=scores["value"].astype(float).where(scores["status"] == "ok"))
    columns = {}
    for name in dict.fromkeys(scores["proxy"]):
        of_proxy = values[values["proxy"] == name]
        by_seed = of_proxy.pivot(index="arch", columns="seed", values="value").reindex(archs)
        columns[name] = (by_seed if larger_is_better[name] else -by_seed).fillna(-inf)
    return columns


def mean_over_seeds(oriented: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One column for each proxy: the mean over seeds; minus infinity where one of them failed."""
    return pd.DataFrame({name: _mean(by_seed) for name, by_seed in oriented.items()})


def correlations(
    scores: pd.DataFrame,
    target: pd.Series[float],
    larger_is_better: Mapping[str, bool],
    seed: int = 0,
    peak_mb: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """The rows of ``correlations.csv``: one for each proxy and seed, one with seed ``all`` for the mean over seeds.

    Args:
        scores: the columns of ``scores.csv``.
        target: what to correlate with, larger is better, indexed by architecture.
        larger_is_better: the declared direction of each proxy; correlations are positive for one that works as
            declared.
        seed: of the resamples.
        peak_mb: the last column, by proxy.

    A failed score ranks last, as it does in a search; ``n`` counts the architectures with it, ``failed`` the failures.
    ``kendall_given_params`` is the partial τ, which is the same for parameters and their logarithm.
    """
    columns = oriented(scores, larger_is_better)
    truth = _truth(scores, target)
    params = columns["params"].iloc[:, 0].to_numpy(np.float64) if "params" in columns else np.full(len(truth), np.nan)
    spreads = Spreads(truth, seed)
    rows = []
    for name, by_seed in columns.items():
        cost = 1000 * scores[scores["proxy"] == name].pivot(index="arch", columns="seed", values="seconds").mean()
        labelled = {str(n): (by_seed[n], cost_of) for n, cost_of in zip(by_seed, cost.to_numpy(float), strict=True)}
        labelled["all"] = (_mean(by_seed), cost.mean())
        statistics: dict[str, float] = {}
        for label, (column, milliseconds) in labelled.items():
            if label != "all" or len(labelled) > 2:  # with one seed, the mean is that seed's
                statistics = _statistics(column.to_numpy(np.float64), truth, params, spreads)
            row = {"proxy": name, "seed": label} | statistics | {"ms_per_arch": round(float(milliseconds), 3)}
            rows.append(row | {"peak_mb": (peak_mb or {}).get(name, np.nan)})
    return pd.DataFrame(rows)


def paired(means: pd.DataFrame, target: pd.Series[float], seed: int = 0) -> pd.DataFrame:
    """The difference of τ-b between any two proxies on the same architectures; see `nas.statistics.spread`.

    Args:
        means: see `mean_over_seeds`.

    Returns:
        ``proxy_a``, the better one; ``proxy_b``; ``difference`` of their τ-b, ``lo`` and ``hi`` of its 95 % interval;
        ``p`` of no difference and ``p_holm``, adjusted for the number of pairs.
    """
    truth = np.asarray(target.loc[means.index], dtype=np.float64)
    spreads = Spreads(truth, seed)
    taus = {name: spreads.kendall(means[name].to_numpy(np.float64)) for name in means}
    ranked = sorted((name for name in taus if not np.isnan(taus[name].estimate)), key=lambda name: -taus[name].estimate)
    rows = []
    for first, second in combinations(ranked, 2):
        difference = taus[first].minus(taus[second])
        rows.append((first, second, difference.estimate, *difference.interval(), difference.p_value()))
    frame = pd.DataFrame(rows, columns=["proxy_a", "proxy_b", "difference", "lo", "hi", "p"])
    return frame.assign(p_holm=ranks.holm(frame["p"].to_numpy(np.float64)))


SELECTED_OF = (10, 100, 1000)
REFERENCES = ("optimal", "random")
"""What `selection` adds to the proxies, none of which may have these names."""


def selection(means: pd.DataFrame, target: pd.Series[float], seed: int = 0) -> pd.DataFrame:
    """The target of the best by proxy among N = 10, 100, 1000 random architectures: mean and standard deviation over
    500 draws from those that were scored (see `nas.statistics.ranks.best_of`), where there are more than N of them.

    Args:
        means: see `mean_over_seeds`.

    Returns:
        ``proxy``, ``n``, ``mean``, ``sd``; ``random`` takes what it draws first, ``optimal`` chooses by target.
    """
    truth = np.asarray(target.loc[means.index], dtype=np.float64)
    columns = (
        {"optimal": truth}
        | {str(name): means[name].to_numpy(np.float64) for name in means}
        | {"random": np.zeros(len(truth))}
    )
    drawn = {n: ranks.draws(n, len(truth), np.random.default_rng(seed)) for n in SELECTED_OF if n < len(truth)}
    rows = []
    for name, column in columns.items():
        for count, draws in drawn.items():
            chosen = ranks.best_of(draws, column, truth)
            rows.append((name, count, chosen.mean(), chosen.std(ddof=1)))
    return pd.DataFrame(rows, columns=["proxy", "n", "mean", "sd"])


def target_correlations(means: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Kendall's τ-b of each proxy (row) with each column of ``table``, over the architectures that have a number there.

    Args:
        means: see `mean_over_seeds`.
        table: columns of numbers, indexed by architecture.
    """
    rows = table.loc[means.index]
    correlations = {}
    for column in rows:
        finite = rows[column].notna().to_numpy()
        truth = rows[column].to_numpy(np.float64)[finite]
        correlations[column] = {name: ranks.kendall(means[name].to_numpy(np.float64)[finite], truth) for name in means}
    return pd.DataFrame(correlations, index=list(means))


MIN_GROUP = 3
"""Architectures of a group within which is correlated."""


def within_groups(means: pd.DataFrame, target: pd.Series[float], groups: pd.Series[str]) -> pd.DataFrame:
    """Kendall's τ-b of each proxy within each group of architectures, the largest group first.

    Args:
        means: see `mean_over_seeds`.
        groups: the group of each architecture; those without one are left out, and so are groups of fewer than 3.

    Returns:
        ``proxy``, ``group``, ``n``, ``kendall``; with the group ``all`` for the mean over the groups, weighted by their
        sizes. A group in which a proxy, or the target, is the same everywhere has no τ and no part in the mean.
    """
    own = groups.loc[means.index]
    sizes = own.value_counts()
    chosen = sizes[sizes >= MIN_GROUP]
    rows: list[tuple[str, str, int, float]] = []
    for name in means:
        taus = {}
        for group in chosen.index:
            members = means.index[(own == group).to_numpy()]
            truth = np.asarray(target.loc[members], dtype=np.float64)
            taus[str(group)] = ranks.kendall(means[name].loc[members].to_numpy(np.float64), truth)
        finite = {group: tau for group, tau in taus.items() if np.isfinite(tau)}
        total = sum(int(chosen[group]) for group in finite)
        mean = sum(int(chosen[group]) * tau for group, tau in finite.items()) / total if total else np.nan
        rows.append((str(name), "all", total, mean))
        rows += [(str(name), group, int(chosen[group]), tau) for group, tau in taus.items()]
    return pd.DataFrame(rows, columns=["proxy", "group", "n", "kendall"])


def _mean(by_seed: pd.DataFrame) -> pd.Series[float]:
    """The mean over seeds, also where the sum is beyond the largest number."""
    with np.errstate(over="ignore"):
        mean = by_seed.mean(axis=1)
    beyond = np.isinf(mean) & np.isfinite(by_seed).all(axis=1)
    return mean.where(~beyond, (by_seed / by_seed.shape[1]).sum(axis=1))


def _truth(scores: pd.DataFrame, target: pd.Series[float]) -> Vector:
    return np.asarray(target.loc[list(dict.fromkeys(scores["arch"]))], dtype=np.float64)


def _statistics(column: Vector, truth: Vector, params: Vector, spreads: Spreads) -> dict[str, float]:
    kendall, spearman = spreads.kendall(column), spreads.spearman(column)
    kendall_lo, kendall_hi = kendall.interval()
    spearman_lo, spearman_hi = spearman.interval()
    return {
        "n": len(column),
        "failed": int(np.isinf(column).sum()),
        "kendall": kendall.estimate,
        "kendall_lo": kendall_lo,
        "kendall_hi": kendall_hi,
        "spearman": spearman.estimate,
        "spearman_lo": spearman_lo,
        "spearman_hi": spearman_hi,
        "kendall_given_params": ranks.kendall_given(column, truth, params) if np.isfinite(params).all() else np.nan,
        "kendall_top_10pct": ranks.kendall_of_best(column, truth),
        "precision_at_5pct": ranks.precision(column, truth),
        "ndcg": ranks.ndcg(column, truth),
        "best_at_1": ranks.best_at(1, column, truth),
        "best_at_10": ranks.best_at(10, column, truth),
        "regret": ranks.regret(column, truth),
    }
