"""How much of a score is chance: over initialisations, and over minibatches."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd

from nas.registry import Range
from nas.statistics import ranks
from nas.studies import Findings, Material, oriented, study
from nas.studies._figures import legend_below, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIED = ("initialisation", "minibatch")


@study("seeds")
def seeds(material: Material, *, repeats: Annotated[int, Range(2)] = 3) -> Findings:
    """The coefficient of variation of every score, and of τ, over initialisations and over minibatches.

    One seed is varied while the other keeps its value. For each architecture the coefficient is std / |mean| over the
    repeats (n − 1). It depends on where a score has its zero, which for a log-determinant is arbitrary, so
    ``agreement``, the mean τ between the rankings of any two repeats, is given too.

    Args:
        repeats: how many initialisations, and how many minibatches.
    """
    scores = repeated_scores(material, repeats)
    variation = variation_of(scores)
    taus = correlations_of(scores, material.targets)
    frames = {"variation": variation, "scores": scores}
    if len(taus):
        frames["tau"] = taus
        frames["tau_variation"] = tau_variation(taus)
    return Findings(frames, {"seeds": _figure(variation, taus)}, _text(frames, len(material.archs), repeats))


def repeated_scores(material: Material, repeats: int) -> pd.DataFrame:
    """A row for each score: ``varied, repeat, arch, proxy, value``; a failed one has no value."""
    seed = material.seed
    pairs = [(seed + repeat, seed) for repeat in range(repeats)] + [(seed, seed + repeat) for repeat in range(repeats)]
    scored = {}
    for initialisation, drawn in dict.fromkeys(pairs):
        scorer = material.scorer(seed=initialisation, minibatch_seed=drawn)
        note = f"initialisation {initialisation}, minibatch {drawn}"
        scored[initialisation, drawn] = [
            scorer([arch], material.proxies)[0] for arch in material.each(material.archs, note)
        ]
    rows = [
        (VARIED[number // repeats], number % repeats, text, name, score.value)
        for number, pair in enumerate(pairs)
        for text, scores in zip(material.texts, scored[pair], strict=True)
        for name, score in scores.items()
    ]
    return pd.DataFrame(rows, columns=["varied", "repeat", "arch", "proxy", "value"]).astype({"value": float})


def variation_of(scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each proxy and what was varied: medians and quartiles over architectures; see `seeds`."""
    rows = []
    for (proxy, varied), group in scores.groupby(["proxy", "varied"], sort=False):
        values = group.pivot(index="arch", columns="repeat", values="value")
        whole = values.dropna()
        std, mean = whole.std(axis=1), whole.mean(axis=1)
        coefficient = (std / mean.abs()).where(std > 0, 0.0)
        quartiles = coefficient.quantile([0.25, 0.5, 0.75]).tolist()
        ranked = oriented(values.rename(columns=str)).to_numpy()
        agreement = [ranks.kendall(ranked[:, i], ranked[:, j]) for i, j in combinations(range(ranked.shape[1]), 2)]
        rows.append((proxy, varied, *quartiles, np.mean(agreement), int(values.isna().any(axis=1).sum())))
    columns = ["proxy", "varied", "cv_lower_quartile", "cv", "cv_upper_quartile", "agreement", "failed"]
    return pd.DataFrame(rows, columns=columns)


def correlations_of(scores: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """τ of each repeat with each target: ``proxy, varied, repeat, target, kendall``."""
    rows = []
    for (varied, repeat), group in scores.groupby(["varied", "repeat"], sort=False):
        values = oriented(group.pivot(index="arch", columns="proxy", values="value")).reindex(targets.index)
        for name in values:
            for target in targets:
                tau = ranks.kendall(values[name].to_numpy(float), targets[target].to_numpy(float))
                rows.append((name, varied, repeat, target, tau))
    return pd.DataFrame(rows, columns=["proxy", "varied", "repeat", "target", "kendall"])


def tau_variation(taus: pd.DataFrame) -> pd.DataFrame:
    """Mean, std and coefficient of variation of τ over the repeats."""
    grouped = taus.groupby(["proxy", "varied", "target"], sort=False)["kendall"]
    frame = grouped.agg(["mean", "std"]).reset_index()
    return frame.assign(cv=frame["std"] / frame["mean"].abs())


def _figure(variation: pd.DataFrame, taus: pd.DataFrame) -> Figure:
    names = list(dict.fromkeys(variation["proxy"]))
    figure, axes = panels(3 if len(taus) else 2, width=3.6, height=1.4 + 0.3 * len(names))
    for number, varied in enumerate(VARIED):
        rows = variation[variation["varied"] == varied].set_index("proxy").loc[names]
        place = np.arange(len(names)) + 0.16 * (2 * number - 1)
        look: dict[str, Any] = {
            "color": f"C{number}",
            "linestyle": "none",
            "marker": "os"[number],
            "label": f"another {varied}",
        }
        low, high = rows["cv"] - rows["cv_lower_quartile"], rows["cv_upper_quartile"] - rows["cv"]
        axes[0].errorbar(rows["cv"], place, xerr=[low, high], capsize=2, **look)
        axes[1].plot(rows["agreement"], place, **look)
        for name, where in zip(names, place, strict=True) if len(taus) else ():
            first = taus["target"].iloc[0]
            chosen = taus[(taus["proxy"] == name) & (taus["varied"] == varied) & (taus["target"] == first)]
            axes[2].plot(chosen["kendall"], [where] * len(chosen), markersize=4, **look)
            axes[2].set_xlabel(f"Kendall's τ-b with {first}, each repeat")
    axes[0].set_xscale("symlog", linthresh=1e-3)
    axes[0].set_xlabel("coefficient of variation (quartiles)")
    axes[1].set_xlabel("τ between repeats")
    for axis in axes:
        axis.set_yticks(range(len(names)), names if axis is axes[0] else [""] * len(names))
        axis.invert_yaxis()
        axis.grid(axis="x", alpha=0.3)
    legend_below(figure, axes[0], 2)
    return figure


def _text(frames: dict[str, pd.DataFrame], archs: int, repeats: int) -> str:
    lines = [f"{archs} architectures, {repeats} initialisations of one minibatch, {repeats} minibatches of one seed."]
    for varied, rows in frames["variation"].groupby("varied", sort=False):
        ordered = rows.sort_values("cv")
        parts = [f"{row.proxy} {row.cv:.2%} (τ between repeats {row.agreement:.2f})" for row in ordered.itertuples()]
        lines.append(f"Median coefficient of variation over {repeats} of {varied}: {', '.join(parts)}.")
    return "\n".join(lines)
