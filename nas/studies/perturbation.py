"""How far a small change of the weights moves each score, and the order of the architectures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from nas import stats
from nas.findings import Findings, Material, oriented, study
from nas.probe import Probe, measure
from nas.proxy import Proxy
from nas.registry import Range
from nas.studies._figures import legend_below, panels, style
from nas.studies._regions import Region, regions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ONE = "one weight"
RADIUS = 3.0
"""The toy's square reaches to three standard deviations of its inputs."""


@study("perturbation")
def perturbation(
    material: Material,
    *,
    levels: Annotated[tuple[float, ...], Range(above=0)] = (1e-4, 1e-3, 1e-2, 1e-1),
    repeats: Annotated[int, Range(1)] = 3,
    width: Annotated[int, Range(2)] = 16,
    points: Annotated[int, Range(2)] = 17,
) -> Findings:
    """How far one changed weight, and noise on all weights, move each score.

    GradAlign's authors argue that the number of linear regions is no dependable criterion, since a small change of the
    weights changes it (Li & Guo 2024, arXiv:2411.19819); their networks are not published, so the toy is ours: two
    hidden layers on R², whose regions are counted exactly.

    With noise of a level ε every convolution and linear weight w becomes w (1 + ε z), z standard normal. One weight, a
    random one of a random layer, moves by the root mean square of its layer's weights. A move is given as a share of
    the score (``relative``), as a share of the interquartile range of the architectures' scores (``spreads``), and by
    the τ between the architectures' orders before and after.

    Args:
        levels: the ε.
        repeats: how many perturbations of each kind, for each network.
        width: units in each hidden layer of the toy.
        points: how many values one weight of the toy takes, over ± 4 standard deviations of its layer.
    """
    moves = measured_moves(material, levels, repeats)
    summary = summary_of(moves)
    net, data = toy(width, material.seed)
    toy_scores = toy_moves(net, data, material.proxies, points)
    figures = {"perturbation": _figure(summary), "toy": _toy_figure(net, toy_scores)}
    return Findings({"summary": summary, "moves": moves, "toy": toy_scores}, figures, _text(summary, toy_scores))


def measured_moves(material: Material, levels: Sequence[float], repeats: int) -> pd.DataFrame:
    """A row for each perturbed score: ``arch, proxy, perturbation, repeat, before, after``; no value for a failure."""
    kinds: dict[str, Callable[[Sequence[Tensor], torch.Generator], None]] = {ONE: move_one}
    kinds |= {f"{level:g}": partial(add_noise, level) for level in levels}
    scorer, rows = material.scorer(), []
    for arch, text in material.each(list(zip(material.archs, material.texts, strict=True))):
        for probe, proxies in material.probes(scorer, arch):
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


def values(probe: Probe, proxies: Sequence[Proxy]) -> dict[str, float]:
    """The value by each proxy's name; not a number for a failure."""
    measured = measure(probe, {proxy.name: proxy for proxy in proxies})
    numbers = {n: float("nan") if isinstance(value, Exception) else float(value) for n, (value, _) in measured.items()}
    return {name: number if np.isfinite(number) else float("nan") for name, number in numbers.items()}


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
    """A row for each proxy and perturbation: medians of the moves, share of scores that moved at all, τ of the order
    before with that after (mean over repeats), failures."""
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
            taus.append(stats.kendall(before, after))
        moved = float((move > 0).mean())
        rows.append(
            (proxy, kind, relative.median(), spreads.median(), moved, np.mean(taus), len(group) - len(whole))
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["proxy", "perturbation", "relative", "spreads", "moved", "kendall", "failed"])


def toy(width: int, seed: int) -> tuple[nn.Sequential, tuple[Tensor, Tensor]]:
    """A network R² → R² with two hidden layers, and 64 labelled points: two classes, inside and outside a circle."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = (nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
        net = nn.Sequential(nn.Flatten(), *layers).double()
        points = torch.randn(64, 2, dtype=torch.float64)
        labels = (points.norm(dim=1) > 1.18).long()  # the median length of such a point
    return net, (points[:, :, None, None], labels)


def toy_moves(net: nn.Sequential, data: tuple[Tensor, Tensor], proxies: Sequence[Proxy], points: int) -> pd.DataFrame:
    """Scores of the toy, and the exact number of its regions, while one weight of its second layer moves.

    Columns ``moved`` (in standard deviations of the layer), ``regions``, and each proxy that looks at the network as
    it is and has a number for it.
    """
    probe, layer = Probe(net, *data), net[3]
    assert isinstance(layer, nn.Linear)
    start, unit = layer.weight[0, 0].item(), layer.weight.std().item()
    usual = [p for p in proxies if p.network == "full" and p.initialisation == "default"]
    rows = []
    for moved in np.linspace(-4, 4, points):
        _set_first(layer, start + moved * unit)
        rows.append({"moved": float(moved), "regions": float(len(regions(net, RADIUS)))} | values(probe, usual))
    _set_first(layer, start)
    return pd.DataFrame(rows).dropna(axis=1)


@torch.no_grad()
def _set_first(layer: nn.Linear, value: float) -> None:
    layer.weight[0, 0] = value


def _figure(summary: pd.DataFrame) -> Figure:
    figure, axes = panels(3)
    kinds = list(dict.fromkeys(summary["perturbation"]))
    labels = {
        "relative": "median move / score",
        "spreads": "median move / spread of the architectures",
        "kendall": "τ of the order before and after",
    }
    for axis, (column, label) in zip(axes, labels.items(), strict=True):
        for number, (name, rows) in enumerate(summary.groupby("proxy", sort=False)):
            heights = rows.set_index("perturbation")[column].reindex(kinds)
            axis.plot(kinds, heights, label=str(name), markersize=5, linewidth=1, **style(number))
        axis.set_ylabel(label)
        axis.set_xlabel("perturbation (relative noise on all weights)")
        axis.grid(alpha=0.3)
    for axis in axes[:2]:
        axis.set_yscale("symlog", linthresh=1e-6)
    axes[2].set_ylim(top=1.03)
    legend_below(figure, axes[0], 5)
    return figure


def _toy_figure(net: nn.Sequential, scores: pd.DataFrame) -> Figure:
    figure, axes = panels(4, width=3.6, height=3.8)
    layer = net[3]
    assert isinstance(layer, nn.Linear)
    start, unit = layer.weight[0, 0].item(), layer.weight.std().item()
    for axis, moved in zip(axes, (-4, 0, 4), strict=False):
        _set_first(layer, start + moved * unit)
        found = regions(net, RADIUS)
        draw_regions(axis, found)
        axis.set_title(f"weight {moved:+d} σ: {len(found)} regions" if moved else f"as drawn: {len(found)} regions")
    _set_first(layer, start)
    middle = scores.iloc[(scores["moved"].abs()).argmin()]
    for number, name in enumerate(scores.columns.drop("moved")):
        axes[3].plot(
            scores["moved"], scores[name] / middle[name], label=name, markersize=4, linewidth=1, **style(number)
        )
    axes[3].set_xlabel("one weight, in σ of its layer")
    axes[3].set_ylabel("score / score as drawn")
    axes[3].grid(alpha=0.3)
    legend_below(figure, axes[3], 5)
    return figure


def draw_regions(axes: Axes, found: Sequence[Region]) -> None:
    from matplotlib.collections import PolyCollection

    colours = np.random.default_rng(0).permutation(np.linspace(0.1, 0.95, len(found)))
    patches = PolyCollection(
        [region.corners for region in found], array=colours, cmap="Pastel1", edgecolor="0.25", linewidth=0.5
    )
    axes.add_collection(patches)
    axes.set(xlim=(-RADIUS, RADIUS), ylim=(-RADIUS, RADIUS), aspect="equal", xticks=[], yticks=[])


def _text(summary: pd.DataFrame, toy_scores: pd.DataFrame) -> str:
    lines = []
    for kind, rows in summary.groupby("perturbation", sort=False):
        what = "One changed weight" if kind == ONE else f"Relative noise of {kind}"
        parts = [f"{r.proxy} {r.relative:.2g} ({r.spreads:.2g}; τ {r.kendall:.3f})" for r in rows.itertuples()]
        lines.append(f"{what} moves by the median (in spreads; τ of the order): {', '.join(parts)}.")
    extent = toy_scores.drop(columns="moved")
    shares = (extent.max() - extent.min()) / extent.iloc[(toy_scores["moved"].abs()).argmin()].abs()
    lines.append("Toy, range over the score as drawn: " + ", ".join(f"{n} {v:.2g}" for n, v in shares.items()) + ".")
    return "\n".join(lines)
