"""GradAlign-II among other measures of the diversity of per-sample gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from nas.probe import Probe
from nas.report.charts import heat_map
from nas.scoring.objective import resolve
from nas.statistics import ranks
from nas.studies import Findings, Material, oriented, study, values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = "gradalign_ii+gradalign_i+grad_variance+grad_spectral_norm+params"
"""The proxies that always take part."""


@study("diversity")
def diversity(material: Material) -> Findings:
    """GradAlign-II against variance, spectral norm, effective rank and mean cosine of the same gradients.

    Each is measured on the per-sample loss gradients of one network, so that they differ in nothing but the formula;
    other requested proxies are beside them, where they measure that network.
    Kendall's τ-b between any two over the architectures, with the values as they are: a negative one means opposite
    directions. With a table also τ with each target, and that given the number of parameters.
    """
    proxies = {proxy.name: proxy for proxy in [*resolve(NAMED, {})[0], *material.proxies]}
    usual = {n: p for n, p in proxies.items() if p.network == "full" and p.initialisation == "default"}
    measures: dict[str, Callable[[Probe], Any]] = {
        **usual,
        "effective_rank": effective_rank,
        "mean_cosine": mean_cosine,
    }
    scorer, rows = material.scorer(), []
    for arch in material.each(material.archs):
        ((probe, _),) = material.probes(scorer, arch, list(usual.values()))
        rows.append(values(probe, measures))
    scores = pd.DataFrame(rows, index=pd.Index(material.texts, name="arch"))
    between = correlations_between(scores.dropna(axis=1, how="all"))
    frames = {"correlations": between.reset_index(names="measure"), "scores": scores.reset_index()}
    if len(material.targets.columns):
        frames["targets"] = target_correlations(scores, material.targets)
    return Findings(frames, _figures(between, frames.get("targets")), _text(between, len(scores), frames))


def effective_rank(probe: Probe) -> Tensor:
    """Effective rank of the per-sample gradients (Roy & Vetterli 2007): exp of the entropy of the Gram matrix's
    eigenvalues over their sum. Between 1, all parallel, and the number of samples."""
    gram = sum(probe.map_blocks(lambda block: block.gram))
    eigenvalues = torch.linalg.eigvalsh(gram).clamp_min(0)
    shares = eigenvalues / eigenvalues.sum()
    rank: Tensor = torch.special.entr(shares).sum().exp()
    return rank


def mean_cosine(probe: Probe) -> Tensor:
    """Mean cosine between the gradients of any two samples."""
    gram = sum(probe.map_blocks(lambda block: block.gram))
    lengths = gram.diagonal().sqrt()
    cosines = gram / (lengths[:, None] * lengths)
    samples = len(gram)
    mean: Tensor = (cosines.sum() - cosines.trace()) / (samples * (samples - 1))
    return mean


def correlations_between(scores: pd.DataFrame) -> pd.DataFrame:
    """τ-b of any two columns, over the architectures that have both."""
    names = list(scores)
    square = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
    for first in names:
        for second in names:
            both = scores[list({first, second})].dropna()
            square.loc[first, second] = ranks.kendall(both[first].to_numpy(float), both[second].to_numpy(float))
    return square


def target_correlations(scores: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """τ-b with each target, and given params: larger is better as declared, a failure ranks last."""
    ranked = oriented(scores)
    params = ranked["params"].to_numpy(float)
    rows = []
    for target in targets:
        truth = targets[target].to_numpy(float)
        for name in ranked:
            score = ranked[name].to_numpy(float)
            partial_tau = ranks.kendall_given(score, truth, params) if name != "params" else np.nan
            rows.append((name, target, ranks.kendall(score, truth), partial_tau, int(scores[name].isna().sum())))
    return pd.DataFrame(rows, columns=["measure", "target", "kendall", "kendall_given_params", "failed"])


def _figures(between: pd.DataFrame, targets: pd.DataFrame | None) -> dict[str, Figure]:
    figures = {"between_measures": heat_map(between)}
    if targets is not None:
        table = targets.pivot(index="measure", columns="target", values="kendall")
        figures["with_targets"] = heat_map(table.loc[list(between), list(dict.fromkeys(targets["target"]))])
    return figures


def _text(between: pd.DataFrame, archs: int, frames: dict[str, pd.DataFrame]) -> str:
    others = between["gradalign_ii"].drop("gradalign_ii").sort_values(ascending=False)
    lines = [
        f"{archs} architectures. Kendall's τ-b of gradalign_ii with "
        + ", ".join(f"{name} {tau:.2f}" for name, tau in others.items())
        + "."
    ]
    if "targets" in frames:
        for target, rows in frames["targets"].groupby("target", sort=False):
            parts = [f"{r.measure} {r.kendall:.2f} ({r.kendall_given_params:.2f})" for r in rows.itertuples()]
            lines.append(f"τ with {target} (given params): {', '.join(parts)}.".replace(" (nan)", ""))
    return "\n".join(lines)
