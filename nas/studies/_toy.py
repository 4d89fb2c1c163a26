"""A network on the plane whose regions can be counted, and drawn, while one of its weights moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from nas.passes.initialisation import seeded
from nas.probe import Probe
from nas.proxy import Proxy
from nas.studies import values
from nas.studies._figures import legend_below, panels, style
from nas.studies._regions import Region, regions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RADIUS = 3.0
"""The square on which regions are counted reaches to three standard deviations of the inputs."""
FARTHEST = 4.0
"""How far the weight moves, over the root mean square of its layer."""


def toy(width: int, seed: int) -> tuple[nn.Sequential, tuple[Tensor, Tensor]]:
    """A network R² → R² with two hidden layers, and 64 labelled points: two classes, inside and outside a circle."""
    with seeded(seed):
        layers = (nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
        net = nn.Sequential(nn.Flatten(), *layers).double()
        points = torch.randn(64, 2, dtype=torch.float64)
        labels = (points.norm(dim=1) > 1.18).long()  # the median length of such a point
    return net, (points[:, :, None, None], labels)


@contextmanager
def moved(net: nn.Sequential, place: int, by: float) -> Iterator[None]:
    """A context in which the first layer's weight number ``place`` is moved by ``by`` times the layer's root mean
    square."""
    weights = next(net.parameters()).data.view(-1)
    before = weights[place].item()
    weights[place] += by * weights.square().mean().sqrt()
    try:
        yield
    finally:
        weights[place] = before


def scores(net: nn.Sequential, data: tuple[Tensor, Tensor], proxies: Sequence[Proxy]) -> dict[str, float]:
    """The exact number of ``regions``, and the value of each proxy that measures a network as it is drawn; nan for a
    failure."""
    usual = {p.name: p for p in proxies if p.network == "full" and p.initialisation == "default"}
    return {"regions": float(len(regions(net, RADIUS)))} | values(Probe(net, *data), usual)


def path_of_one(net: nn.Sequential, data: tuple[Tensor, Tensor], proxies: Sequence[Proxy], points: int) -> pd.DataFrame:
    """A row for each position of the first weight: ``moved`` and the scores; failing proxies are left out."""
    rows = []
    for by in np.linspace(-FARTHEST, FARTHEST, points).tolist():
        with moved(net, 0, by):
            rows.append({"moved": by} | scores(net, data, proxies))
    return pd.DataFrame(rows).dropna(axis=1)


def each_in_turn(net: nn.Sequential, data: tuple[Tensor, Tensor], proxies: Sequence[Proxy]) -> pd.DataFrame:
    """A row for each weight of the first layer, moved by the layer's root mean square: |after / before − 1|."""
    before, rows = pd.Series(scores(net, data, proxies)), []
    for place in range(next(net.parameters()).numel()):
        with moved(net, place, 1.0):
            rows.append(scores(net, data, proxies))
    changes = (pd.DataFrame(rows) / before - 1).abs().dropna(axis=1)
    return changes.rename_axis("weight").reset_index()


def figure_of(net: nn.Sequential, path: pd.DataFrame) -> Figure:
    """The regions with the weight moved down, as drawn and moved up, and the scores in between."""
    figure, axes = panels(4, width=3.6, height=3.8)
    for axis, by in zip(axes, (-FARTHEST, 0.0, FARTHEST), strict=False):
        with moved(net, 0, by):
            pieces = regions(net, RADIUS)
        draw_regions(axis, pieces)
        axis.set_title(f"weight moved by {by:+g}: {len(pieces)} regions" if by else f"as drawn: {len(pieces)} regions")
    middle = path.iloc[path["moved"].abs().argmin()]
    for number, name in enumerate(path.columns.drop("moved")):
        relative = path[name] / middle[name]
        axes[3].plot(path["moved"], relative, label=name, markersize=4, linewidth=1, **style(number))
    axes[3].set(xlabel="one weight, in RMS of its layer", ylabel="score / score as drawn")
    axes[3].grid(alpha=0.3)
    legend_below(figure, axes[3], 5)
    return figure


def draw_regions(axes: Axes, pieces: Sequence[Region]) -> None:
    from matplotlib.collections import PolyCollection

    colours = np.random.default_rng(0).permutation(np.linspace(0.1, 0.95, len(pieces)))
    patches = PolyCollection(
        [region.corners for region in pieces], array=colours, cmap="Pastel1", edgecolor="0.25", linewidth=0.5
    )
    axes.add_collection(patches)
    axes.set(xlim=(-RADIUS, RADIUS), ylim=(-RADIUS, RADIUS), aspect="equal", xticks=[], yticks=[])
