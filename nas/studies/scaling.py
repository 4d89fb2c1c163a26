"""The cost of scores as the batch, the width and the depth grow."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd

from nas.errors import UsageError
from nas.registry import Range
from nas.scoring.cost import ALL, PLAIN, proxy_costs
from nas.scoring.scorer import Scorer
from nas.space import Arch
from nas.studies import Findings, Material, study
from nas.studies._figures import legend_below, panels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST = 4
"""Images in the smallest minibatch."""


@study("scaling")
def scaling(
    material: Material,
    *,
    factors: Annotated[tuple[float, ...], Range(above=0)] = (0.25, 0.5, 1.0, 2.0),
    networks: Annotated[int, Range(1)] = 1,
    width: tuple[str, ...] = ("widths", "width", "hidden_dims", "stem"),
    depth: tuple[str, ...] = ("repeats", "depths", "depth", "modules"),
) -> Findings:
    """Time and peak memory of each score against batch size, width and depth, with fitted exponents, and beside them
    a plain forward and backward pass.

    One of the three is multiplied by each factor while the other two keep their values. The exponent b is that of the
    least-squares fit cost = a · size^b on logarithms. Time and memory are those of `nas bench`: a visit in which the
    network is built and measured, so that an exponent below that of the plain pass may show a fixed cost.

    Args:
        factors: by which the batch size and the space's options are multiplied, rounded to whole numbers.
        networks: how many of the architectures are measured; their mean is taken. Where another depth has other slots,
            new architectures are drawn.
        width: the option of the space that is its width: the first of these names that it has.
        depth: the same for its depth.
    """
    frames = []
    settings = list(variants(material, factors, {"width": width, "depth": depth}, networks))
    for axis, size, scorer, archs in material.each(settings):
        costs = proxy_costs(scorer, archs, {proxy.name: [proxy] for proxy in material.proxies})
        frames.append(costs[costs["proxy"] != ALL].assign(axis=axis, size=size))
    costs = pd.concat(frames, ignore_index=True)[["axis", "size", "proxy", "ms", "ratio", "peak_mb", "reason"]]
    fitted = exponents(costs)
    return Findings({"exponents": fitted, "costs": costs}, {"scaling": _figure(costs, fitted)}, _text(fitted, costs))


def variants(
    material: Material, factors: tuple[float, ...], options: dict[str, tuple[str, ...]], networks: int
) -> Iterator[tuple[str, float, Scorer, list[Arch]]]:
    """(what grows, its size, scorer, architectures) for every setting; a factor that changes nothing comes once."""
    archs = list(material.archs[:networks])
    for size in dict.fromkeys(max(SMALLEST, round(material.batch_size * factor)) for factor in factors):
        yield "batch size", size, material.scorer(batch_size=size), archs
    for axis, names in options.items():
        name = next((name for name in names if name in material.options), None)
        if name is None:
            continue
        for value in dict.fromkeys(scaled(material.options[name], factor) for factor in factors):
            try:
                space = material.vary(**{name: value})
            except ValueError as error:
                raise UsageError(f"{error}: give other factors with --set scaling.factors=1,2") from None
            rng = Random(material.seed)
            same = list(map(len, space.slots)) == list(map(len, material.space.slots))
            chosen = archs if same else [space.sample(rng) for _ in archs]
            yield axis, float(np.mean(value)), material.scorer(space=space), chosen


def scaled(value: Any, factor: float) -> Any:
    """A number, or each of several, multiplied and rounded to a whole number from 1."""
    if isinstance(value, tuple):
        return tuple(scaled(part, factor) for part in value)
    return max(1, round(value * factor))


def exponents(costs: pd.DataFrame) -> pd.DataFrame:
    """For each axis and row of ``proxy``, plain last, the fitted exponents of ``ms`` and ``peak_mb``, and the ratio to
    the plain pass at the largest size."""
    rows = []
    for (axis, proxy), group in costs.groupby(["axis", "proxy"], sort=False):
        largest = group.sort_values("size").iloc[-1]
        fitted = [exponent(group["size"].tolist(), group[cost].tolist()) for cost in ("ms", "peak_mb")]
        rows.append((axis, proxy, *fitted, largest["ratio"], largest["ms"], largest["peak_mb"]))
    columns = ["axis", "proxy", "ms_exponent", "peak_mb_exponent", "ratio", "ms", "peak_mb"]
    return pd.DataFrame(rows, columns=columns)


def exponent(sizes: list[float], costs: list[float]) -> float:
    """b of the least-squares fit log cost = log a + b log size; nan with fewer than two sizes or a cost that is not
    positive (below what can be measured)."""
    if len(set(sizes)) < 2 or not all(cost > 0 for cost in costs):
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def _figure(costs: pd.DataFrame, fitted: pd.DataFrame) -> Figure:
    axes_of = list(dict.fromkeys(costs["axis"]))
    figure, axes = panels(len(axes_of), 2, width=4.2, height=3.2)
    names = list(dict.fromkeys(costs["proxy"]))
    for column, axis_name in enumerate(axes_of):
        for row, (cost, label) in enumerate((("ms", "ms"), ("peak_mb", "peak MB"))):
            axis = axes[row * len(axes_of) + column]
            for number, name in enumerate(names):
                rows = costs[(costs["axis"] == axis_name) & (costs["proxy"] == name)].sort_values("size")
                look: dict[str, Any] = (
                    {"color": "black", "marker": "x", "linewidth": 2} if name == PLAIN else style(number)
                )
                axis.plot(rows["size"], rows[cost].where(rows[cost] > 0), label=name, markersize=5, **look)
            sizes = sorted(set(costs.loc[costs["axis"] == axis_name, "size"]))
            axis.set(xscale="log", yscale="log", xlabel=axis_name, ylabel=label)
            axis.set_xticks(sizes, [f"{size:.3g}" for size in sizes])
            axis.set_xticks([], minor=True)
            axis.grid(alpha=0.3)
    legend_below(figure, axes[0], 5)
    return figure


def _text(fitted: pd.DataFrame, costs: pd.DataFrame) -> str:
    lines = []
    for axis, rows in fitted.groupby("axis", sort=False):
        parts = [
            f"{r.proxy} {r.ms_exponent:.2f}, {r.peak_mb_exponent:.2f} ({r.ratio:.2f} plain)" for r in rows.itertuples()
        ]
        lines.append(f"Exponents of time, memory with {axis} (time at the largest): {'; '.join(parts)}.")
    failed = costs[costs["reason"] != ""].drop_duplicates("proxy")
    lines += [f"{row.proxy} gave no score: {row.reason}." for row in failed.itertuples()]
    return "\n".join(lines)
