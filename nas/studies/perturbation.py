"""How much a small change of the weights changes each score, and the order of the architectures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from nas.registry import Range
from nas.statistics import ranks
from nas.studies import Findings, Material, oriented, study, values
from nas.studies._figures import legend_below, panels, style
from nas.studies._toy import each_in_turn, figure_of, path_of_one, toy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ONE = "one weight"


@study("perturbation")
def perturbation(
    material: Material,
    *,
    levels: Annotated[tuple[float, ...], Range(above=0)] = (1e-4, 1e-3, 1e-2, 1e-1),
    repeats: Annotated[int, Range(1)] = 3,
    width: Annotated[int, Range(2)] = 16,
    points: Annotated[int, Range(2)] = 17,
) -> Findings:
    """How much one changed weight, and noise on all weights, change each score.

    GradAlign's authors argue that the number of linear regions is not a dependable criterion, since a small change of
    the weights changes it (Li & Guo 2024, arXiv:2411.19819); their networks are not published, so the toy is ours: two
    hidden layers on R², whose regions are counted exactly while weights of the first layer move.

    With noise of a level ε every convolution and linear weight w becomes w (1 + ε z), z standard normal. One weight, a
    random one of a random layer, moves by the root mean square of its layer's weights. A move is given as a share of
    the score (``relative``), as a share of the interquartile range of the architectures' scores (``spreads``), and by
    the τ between the architectures' orders before and after.

    Args:
        levels: the ε.
        repeats: how many perturbations of each kind, for each network.
        width: units in each hidden layer of the toy.
        points: how many values one weight of the toy takes, over ± 4 times the root mean square of its layer.
    """
    moves = measured_moves(material, levels, repeats)
    summary = summary_of(moves)
    net, data = toy(width, material.seed)
    path, turns = path_of_one(net, data, material.proxies, points), each_in_turn(net, data, material.proxies)
    frames = {"summary": summary, "moves": moves, "toy_path": path, "toy_weights": turns}
    return Findings(frames, {"perturbation": _figure(summary), "toy": figure_of(net, path)}, _text(summary, turns))


def measured_moves(material: Material, levels: Sequence[float], repeats: int) -> pd.DataFrame:
    """A row for each perturbed score: ``arch, proxy, perturbation, repeat, before, after``; no value for a failure."""
    kinds: dict[str, Callable[[Sequence[Tensor], torch.Generator], None]] = {ONE: move_one}
    kinds |= {f"{level:g}": partial(add_noise, level) for level in levels}
    scorer, rows = material.scorer(), []
    for arch, text in material.each(list(zip(material.archs, material.texts, strict=True))):
        for probe, records in material.probes(scorer, arch):
            proxies = {proxy.name: proxy for proxy in records}
            weights = probe.weights
            original = [weight.detach().clone() for weight in weights]
            before = values(probe, proxies)
            for kind, change in kinds.items():
                for repeat in range(repeats):
                    change(weights, torch.Generator().manual_seed(material.seed + repeat))
                    after = values(probe, proxies)
                    rows += [(text, name, kind, repeat, before[name], after[name]) for name in before]
                    restore(weights, original)
    return pd.DataFrame(rows, columns=["arch", "proxy", "perturbation", "repeat", "before", "after"])


@torch.no_grad()
def add_noise(level: float, weights: Sequence[Tensor], draw: torch.Generator) -> None:
    """w (1 + ε z) for every weight, in place."""
    for weight in weights:
        weight.mul_(1 + level * torch.randn(weight.shape, generator=draw).to(weight))


@torch.no_grad()
def move_one(weights: Sequence[Tensor], draw: torch.Generator) -> None:
    """One random weight of a random layer moves by the root mean square of that layer's weights, in place."""
    layer = weights[int(torch.randint(len(weights), (), generator=draw))]
    place = int(torch.randint(layer.numel(), (), generator=draw))
    layer.view(-1)[place] += layer.square().mean().sqrt()


@torch.no_grad()
def restore(weights: Sequence[Tensor], original: Sequence[Tensor]) -> None:
    for weight, value in zip(weights, original, strict=True):
        weight.copy_(value)


def summary_of(moves: pd.DataFrame) -> pd.DataFrame:
    """A row for each proxy and perturbation: medians of the moves, share of scores that moved at all, τ between the
    orders before and after (mean over repeats), failures."""
    rows = []
    for (proxy, kind), group in moves.groupby(["proxy", "perturbation"], sort=False):
        lower, upper = group.drop_duplicates("arch")["before"].quantile([0.25, 0.75])
        spread = upper - lower
        whole = group.dropna(subset=["before", "after"])
        move = (whole["after"] - whole["before"]).abs()
        relative = (move / whole["before"].abs()).where(move > 0, 0.0)
        spreads = move / spread if spread > 0 else move * np.nan
        taus = []
        for _, pairs in group.groupby("repeat"):
            before, after = (oriented(pairs[[column]]).to_numpy().ravel() for column in ("before", "after"))
            taus.append(ranks.kendall(before, after))
        moved = float((move > 0).mean())
        rows.append(
            (proxy, kind, relative.median(), spreads.median(), moved, np.mean(taus), len(group) - len(whole))
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["proxy", "perturbation", "relative", "spreads", "moved", "kendall", "failed"])


def _figure(summary: pd.DataFrame) -> Figure:
    figure, axes = panels(3)
    kinds = list(dict.fromkeys(summary["perturbation"]))
    labels = {
        "relative": "median move / score",
        "spreads": "median move / interquartile range",
        "kendall": "τ of the order before and after",
    }
    for axis, (column, label) in zip(axes, labels.items(), strict=True):
        for number, (name, rows) in enumerate(summary.groupby("proxy", sort=False)):
            heights = rows.set_index("perturbation")[column].reindex(kinds)
            axis.plot([0], heights.iloc[:1], markersize=5, **style(number))
            levels = range(1, len(kinds))
            axis.plot(levels, heights.iloc[1:], label=str(name), markersize=5, linewidth=1, **style(number))
        axis.set_xticks(range(len(kinds)), [ONE.replace(" ", "\n"), *kinds[1:]])
        axis.set(ylabel=label, xlabel="relative noise on all weights")
        axis.grid(alpha=0.3)
    for axis in axes[:2]:
        axis.set_yscale("symlog", linthresh=1e-6)
        axis.set_ylim(bottom=-2e-7)
    axes[2].set_ylim(top=1.03)
    legend_below(figure, axes[0], 6)
    return figure


def _text(summary: pd.DataFrame, turns: pd.DataFrame) -> str:
    lines = []
    for kind, rows in summary.groupby("perturbation", sort=False):
        what = "One changed weight" if kind == ONE else f"Relative noise of {kind}"
        parts = [f"{r.proxy} {r.relative:.2g} ({r.spreads:.2g}; τ {r.kendall:.3f})" for r in rows.itertuples()]
        lines.append(f"{what} moves by the median (in spreads; τ of the order): {', '.join(parts)}.")
    changes = turns.drop(columns="weight")
    parts = [f"{name} {changes[name].median():.2g}, {changes[name].max():.2g}" for name in changes]
    lines.append(f"The toy, each of {len(turns)} weights in turn moves by (median, largest): {'; '.join(parts)}.")
    return "\n".join(lines)
