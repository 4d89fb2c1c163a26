"""GradAlign on transformers: whether it ranks them as training does, and which of their weights matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from torch import Tensor

from nas.passes.blocks import Block
from nas.probe import Probe
from nas.proxy import Proxy, ProxyFailure
from nas.scoring.objective import resolve
from nas.statistics import ranks
from nas.studies import Findings, Material, oriented, study, values
from nas.studies._figures import legend_below, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = "gradalign_i+gradalign_ii+dss+params+flops"
FORMS: dict[str, dict[str, Any]] = {
    "per weight": {"mean_per_weight": True},
    "one group": {"per_class": False},
    "unit": {"direction": "unit"},
}
"""Options of GradAlign-I that are measured beside its defaults."""
ROLES = ("attention", "mlp")


@dataclass(frozen=True)
class Part:
    """The part of a probe that GradAlign uses, with the per-sample gradients of some weights alone."""

    probe: Probe
    weights: set[int]

    @property
    def groups(self) -> Tensor:
        return self.probe.groups

    def map_blocks(self, function: Callable[[Block], Any], samples: Sequence[int] | None = None) -> list[Any]:
        def chosen(block: Block) -> Any:
            return [function(block)] if id(block.weight) in self.weights else []

        return [answer for answers in self.probe.map_blocks(chosen, samples=samples) for answer in answers]


@study("transformers", table=True)
def transformers(material: Material) -> Findings:
    """GradAlign on transformers against every target: whole, in its other forms, and on the weights of attention and of
    the MLPs alone.

    τ-b with its 95 % interval (bootstrap over architectures), and τ given the number of parameters. The weights of
    attention are identified by what a network computes (see `nas.passes.linearised.Flow`); networks without attention
    fail.
    """
    whole = {proxy.name: proxy for proxy in [*resolve(NAMED, {})[0], *material.proxies]}
    scorer = material.scorer()
    rows: list[dict[str, float | None]] = []
    for arch in material.each(material.archs):
        scores = scorer([arch], list(whole.values()))[0]
        ((probe, _),) = material.probes(scorer, arch, [whole["gradalign_i"]])
        rows.append({name: score.value for name, score in scores.items()} | {**forms(probe, whole)})
    measured = pd.DataFrame(rows, index=pd.Index(material.texts, name="arch"), dtype=float)
    frame = correlations(measured, material.targets, material.seed)
    figure = _figure(frame, measured, material.targets)
    return Findings({"correlations": frame, "scores": measured.reset_index()}, {"transformers": figure}, _text(frame))


def forms(probe: Probe, proxies: dict[str, Proxy]) -> dict[str, float]:
    """GradAlign-I with each of `FORMS`, both GradAligns on the weights of each role; nan for a failure."""
    try:
        roles = {id(weight): flow.role for weight, flow in zip(probe.weights, probe.flow(), strict=True)}
    except (RuntimeError, ValueError):
        roles = {}
    functions: dict[str, Callable[[Probe], Any]] = {
        f"gradalign_i, {form}": proxies["gradalign_i"].with_options(options) for form, options in FORMS.items()
    }
    for role in ROLES:
        weights = {weight for weight, its in roles.items() if its == role}
        for name in ("gradalign_i", "gradalign_ii"):
            functions[f"{name}, {role}"] = partial(on_part, proxies[name], weights)
    return values(probe, functions)


def on_part(proxy: Proxy, weights: set[int], probe: Probe) -> Any:
    """The value of ``proxy`` when it sees the gradients of these weights alone."""
    if not weights:
        raise ProxyFailure("the network has no weights of this role")
    return proxy(cast(Probe, Part(probe, weights)))


def correlations(scores: pd.DataFrame, targets: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A row for each score and target: ``kendall`` with its interval, ``kendall_given_params``, ``failed``."""
    ranked = oriented(scores.rename(columns=str))
    params, rows = ranked["params"].to_numpy(float), []
    for target in targets:
        truth = targets[target].to_numpy(float)
        finite = np.isfinite(truth)
        weights = ranks.resamples(int(finite.sum()), np.random.default_rng(seed))
        for name in ranked:
            score = ranked[name].to_numpy(float)
            low, high = ranks.interval(ranks.kendall_resampled(score[finite], truth[finite], weights))
            tau = ranks.kendall(score[finite], truth[finite])
            partial = ranks.kendall_given(score[finite], truth[finite], params[finite]) if name != "params" else np.nan
            rows.append((name, target, int(finite.sum()), int(scores[name].isna().sum()), tau, low, high, partial))
    columns = ["score", "target", "n", "failed", "kendall", "kendall_lo", "kendall_hi", "kendall_given_params"]
    return pd.DataFrame(rows, columns=columns)


def _figure(frame: pd.DataFrame, scores: pd.DataFrame, targets: pd.DataFrame) -> Figure:
    names = list(dict.fromkeys(frame["score"]))
    figure, axes = panels(2, width=5.2, height=1.2 + 0.32 * len(names))
    count = len(targets.columns)
    for number, (target, rows) in enumerate(frame.groupby("target", sort=False)):
        rows = rows.set_index("score").loc[names]
        place = np.arange(len(names)) + 0.7 * ((number + 0.5) / count - 0.5)
        error = [rows["kendall"] - rows["kendall_lo"], rows["kendall_hi"] - rows["kendall"]]
        axes[0].errorbar(
            rows["kendall"], place, xerr=error, linestyle="none", marker="osD^vP*X"[number % 8], markersize=4,
            elinewidth=1, label=str(target),
        )  # fmt: skip
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    axes[0].axvline(0, color="black", linewidth=0.8)
    axes[0].set_xlabel("Kendall's τ-b, 95 % interval")
    axes[0].grid(axis="x", alpha=0.3)
    legend_below(figure, axes[0], 4)
    first = str(targets.columns[0])
    dots = axes[1].scatter(scores["gradalign_i"], targets[first], c=scores["params"], cmap="viridis", s=22)
    figure.colorbar(dots, ax=axes[1], label="parameters")
    axes[1].set(xlabel="GradAlign-I", ylabel=first)
    axes[1].grid(alpha=0.3)
    return figure


def _text(frame: pd.DataFrame) -> str:
    lines = []
    measured = frame[frame["failed"] < frame["n"]]
    for target, rows in measured.groupby("target", sort=False):
        parts = [
            f"{r.score} {r.kendall:.2f} [{r.kendall_lo:.2f}, {r.kendall_hi:.2f}] ({r.kendall_given_params:.2f})"
            for r in rows.itertuples()
        ]
        lines.append(f"τ with {target} [95 %] (given params): {', '.join(parts)}.".replace(" (nan)", ""))
    return "\n".join(lines)
