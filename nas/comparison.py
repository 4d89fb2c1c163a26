"""Proxies against trained accuracy: the same architectures, minibatches and networks for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf

import numpy as np
import pandas as pd

from nas import stats
from nas.objective import Objective, Outcome, reference_sample
from nas.proxy import Proxy
from nas.scorer import Scorer
from nas.space import Arch
from nas.stats import Vector

ALWAYS = ("params", "flops", "depth")
"""In every comparison, because a high score may only count weights."""

SCORES = ("arch", "proxy", "seed", "value", "status", "reason", "seconds")


def score_rows(
    scorer: Scorer, archs: Sequence[Arch], objectives: Mapping[str, Objective]
) -> Iterator[list[dict[str, object]]]:
    """The rows of ``scores.csv``, architecture by architecture; all proxies look at one network together."""
    everything, combined = _proxies(objectives), _proxies({n: o for n, o in objectives.items() if len(o.proxies) > 1})
    if combined:
        scorer(reference_sample(scorer), combined)
    for arch, scores in zip(archs, scorer.stream(archs, everything), strict=True):
        rows: list[dict[str, object]] = []
        for name, objective in objectives.items():
            (outcome,) = objective([arch])
            rows.append({
                "arch": scorer.space.text(arch),
                "proxy": name,
                "seed": scorer.seed,
                "value": value_of(objective, outcome),
                "status": outcome.status,
                "reason": outcome.reason,
                "seconds": round(sum(scores[proxy.name].seconds for proxy in objective.proxies), 6),
            })  # fmt: skip
        yield rows


def _proxies(objectives: Mapping[str, Objective]) -> list[Proxy]:
    return list({proxy.name: proxy for objective in objectives.values() for proxy in objective.proxies}.values())


def value_of(objective: Objective, outcome: Outcome) -> float | None:
    """A proxy's own number; for a combination its score."""
    if outcome.status != "ok":
        return None
    return outcome.score if len(objective.proxies) > 1 else outcome.values[objective.proxies[0].name]


def correlations(
    scores: pd.DataFrame, target: pd.Series[float], larger_is_better: dict[str, bool], seed: int = 0
) -> pd.DataFrame:
    """The rows of ``correlations.csv``: one for each proxy and seed, one with seed ``all`` for the mean over seeds.

    Args:
        scores: the columns of ``scores.csv``.
        target: what to correlate with, larger is better, indexed by architecture.
        larger_is_better: the declared direction of each proxy; correlations are positive for one that works as
            declared.
        seed: of the bootstrap.

    A failed score ranks last, as it does in a search; ``n`` counts the architectures with it, ``failed`` the failures.
    """
    archs = list(dict.fromkeys(scores["arch"]))
    truth = np.asarray(target.loc[archs], dtype=np.float64)
    values = scores.assign(value=scores["value"].astype(float).where(scores["status"] == "ok"))
    sizes = values[values["proxy"] == "params"].drop_duplicates("arch").set_index("arch")["value"]
    params = np.asarray(sizes.reindex(archs), dtype=np.float64)
    rows = []
    for name in dict.fromkeys(scores["proxy"]):
        rows_of_proxy = values[values["proxy"] == name]
        by_seed = rows_of_proxy.pivot(index="arch", columns="seed", values="value").reindex(archs)
        by_seed = by_seed if larger_is_better[name] else -by_seed
        cost = rows_of_proxy.groupby("seed")["seconds"].mean() * 1000
        columns = {str(number): (by_seed[number], cost[number]) for number in by_seed}
        columns["all"] = (by_seed.mean(axis=1, skipna=False), cost.mean())
        for label, (column, milliseconds) in columns.items():
            statistics = _statistics(column.to_numpy(np.float64), truth, params, seed)
            rows.append({"proxy": name, "seed": label} | statistics | {"ms_per_arch": round(float(milliseconds), 3)})
    return pd.DataFrame(rows)


def _statistics(column: Vector, truth: Vector, params: Vector, seed: int) -> dict[str, float]:
    failed = int(np.isnan(column).sum())
    column = np.where(np.isnan(column), -inf, column)
    rng = np.random.default_rng(seed)
    kendall_lo, kendall_hi = stats.kendall_interval(column, truth, rng)
    spearman_lo, spearman_hi = stats.spearman_interval(column, truth, rng)
    return {
        "n": len(column),
        "failed": failed,
        "kendall": stats.kendall(column, truth),
        "kendall_lo": kendall_lo,
        "kendall_hi": kendall_hi,
        "spearman": stats.spearman(column, truth),
        "spearman_lo": spearman_lo,
        "spearman_hi": spearman_hi,
        "kendall_given_params": stats.kendall_given(column, truth, params) if not np.isnan(params).any() else np.nan,
        "precision_at_5pct": stats.precision(column, truth),
        "ndcg": stats.ndcg(column, truth),
        "best_at_1": stats.best_at_1(column, truth),
        "regret": stats.regret(column, truth),
    }
