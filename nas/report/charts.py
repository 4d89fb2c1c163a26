"""The figures of the reports, for a notebook as well: each function returns a matplotlib figure of its own.

Marks are scatters in the order in which the arguments name them, so that `nas.report.svg.Chart` can say what each
stands for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nas.report.svg import CYCLE, FAILED, LEVELS, SERIES
from nas.report.ticks import plain_ticks, short, whole_ticks

Vector = NDArray[np.float64]
SMALL, MEDIUM = (3.4, 2.7), (4.6, 3.0)
"""Inches: one of many figures, and one of a few."""
WIDE_RANGE = 10.0
"""The ratio of the largest size to the median beyond which an axis is logarithmic."""
MAX_LABEL_CHARACTERS = 32
"""The most characters of a name, so that it leaves room for the chart."""
Groups = list[NDArray[np.int64]]
"""Places of architectures that share a mark."""
GRID = 60, 45
"""Cells of the grid in which marks are grouped, across and up."""
SIZES = (25, 1), (36, 2), (49, 5), (64, 15), (81, 50)
"""Areas of marks, each with the fewest architectures that such a mark stands for."""
DOT, LARGE = 25.0, 49.0
"""Areas of a mark and of one that stands out, in square points."""
MOST_DRAWN = 1e120
"""Beyond this size, or below its inverse, the ratio of the ends of an axis, which is longer than its data, may be
infinite."""
REACH = 0.75
"""How far a mark may lie beyond the middle 90 %, as a share of their width."""
FEW = 12
"""Points up to which their names find room on a figure that a phone shows whole."""
MOST_MARKED = 40
"""The most values of a line that are marked by dots."""
MAIN, STANDING_OUT, STANDING_BACK = (colour for colour, _ in SERIES)


def levels(params: Vector) -> NDArray[np.int64]:
    """The sixth that each architecture is in by its number of parameters: 0 (fewest) to 5; unknown ones are in the
    first."""
    finite = params[np.isfinite(params)]
    if not len(finite):
        return np.zeros(len(params), dtype=np.int64)
    edges = np.quantile(finite, np.arange(1, len(LEVELS)) / len(LEVELS))
    return np.searchsorted(edges, np.where(np.isfinite(params), params, -np.inf), side="left")


def scatter(
    scores: Vector, targets: Vector, level: NDArray[np.int64], groups: Groups | None = None, *, title: str = "",
    across: str = "score", up: str = "",
) -> Figure:  # fmt: skip
    """Targets against scores, coloured by ``level``; a score that is not finite is a cross at the left.

    Marks far beyond the others, which would press these together, are drawn at the edge.
    Marks: the architectures with a score in their order, then those without; or one for each of the ``groups`` of
    architectures (see `grouped`), at the place of its first member, in the colour of the median, and the larger the
    more members it has.
    """
    figure, axes = _axes(SMALL, title, across, up)
    scores, targets = drawable(scores), _within(drawable(targets))
    finite = np.isfinite(scores)
    groups = groups or [*np.flatnonzero(finite)[:, None], *np.flatnonzero(~finite)[:, None]]
    first = np.array([members[0] for members in groups])
    colours = np.array([colour for colour, _ in LEVELS])
    dots = [members for members in groups if finite[members[0]]]
    if dots:
        shown = scores.copy()
        if not _scale(axes, scores[finite], "x"):
            shown[finite] = _within(scores[finite])
        places = first[finite[first]]
        axes.scatter(
            shown[places], targets[places], s=[_size(len(members)) for members in dots],
            c=colours[[round(np.median(level[members])) for members in dots]], label="scored",
        )  # fmt: skip
    low, high = targets.min(), targets.max()
    room = 0.05 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    if not finite.all():
        crosses = first[~finite[first]]
        axes.scatter(
            np.full(len(crosses), 0.03), targets[crosses], s=36, c=STANDING_OUT, marker="x", linewidths=1.2,
            label=FAILED, clip_on=False, transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        axes.margins(x=0.12)
        axes.text(0.03, 1.0, FAILED, transform=axes.transAxes, fontsize=8, color=STANDING_OUT, ha="center", va="bottom")
    return figure


def grouped(scores: Vector, targets: Vector) -> Groups:
    """The architectures in each cell of a fine grid over a `scatter`, which may share a mark: first those with a score,
    then those without."""
    scores, targets = drawable(scores), _within(drawable(targets))
    finite = np.isfinite(scores)
    up = (targets - targets.min()) / (np.ptp(targets) or 1.0)
    groups = []
    for members, spread in ((np.flatnonzero(finite), _spread_out), (np.flatnonzero(~finite), np.zeros_like)):
        if len(members):
            across = spread(scores[members])
            places = np.column_stack([(across - across.min()) / (np.ptp(across) or 1.0), up[members]])
            cells = (places * GRID).astype(np.int64)
            _, own, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
            order = np.argsort(own.reshape(-1), kind="stable")
            groups += [members[cell] for cell in np.split(order, np.cumsum(counts)[:-1])]
    return groups


def drawable(values: Vector) -> Vector:
    """The values, with those that are too large or too near to zero for an axis brought within its range."""
    sizes = np.clip(np.abs(values), 1 / MOST_DRAWN, MOST_DRAWN)
    return np.where(np.isfinite(values) & (values != 0), np.sign(values) * sizes, values)


def _size(count: int) -> float:
    """The area of a mark for this many architectures, in five steps."""
    return float(next(size for size, least in reversed(SIZES) if count >= least))


def selection(scores: Vector, targets: Vector, chosen: NDArray[np.bool_], *, up: str) -> Figure:
    """Targets against scores, with the chosen ones highlighted and the last of them largest. Marks: the others, the
    chosen."""
    figure, axes = _axes(MEDIUM, "", "score", up)
    scores = drawable(scores)
    axes.scatter(scores[~chosen], targets[~chosen], s=DOT, c=STANDING_BACK, label="evaluated")
    sizes = np.full(chosen.sum(), LARGE)
    sizes[-1:] = 2 * LARGE
    axes.scatter(scores[chosen], targets[chosen], s=sizes, c=STANDING_OUT, label="best when it was found")
    _scale(axes, scores, "x")
    _legend(figure)
    return figure


def front(
    first: Vector, second: Vector, members: NDArray[np.bool_], bend: int | None, *, across: str, up: str
) -> Figure:
    """Two objectives against each other, with the members of the front joined and highlighted, and its knee marked.
    Marks: the others, the members."""
    figure, axes = _axes(MEDIUM, "", across, up)
    first, second = drawable(first), drawable(second)
    axes.scatter(first[~members], second[~members], s=DOT, c=STANDING_BACK, label="dominated")
    axes.scatter(first[members], second[members], s=LARGE, c=STANDING_OUT, label="front")
    order = np.argsort(first[members], kind="stable")
    axes.plot(first[members][order], second[members][order], color=STANDING_OUT, linewidth=0.8)
    if bend is not None:
        axes.plot(first[bend], second[bend], "o", markersize=13, color=STANDING_OUT, fillstyle="none", label="knee")
    _scale(axes, first, "x")
    _scale(axes, second, "y")
    _legend(figure)
    return figure


def progress_of(numbers: NDArray[np.int64], values: Vector, *, up: str) -> Figure:
    """A quantity that only grows, by trial."""
    figure, axes = _axes(MEDIUM, "", "evaluation", up)
    axes.step(numbers, drawable(values), where="post", color=MAIN, linewidth=1.5)
    whole_ticks(axes.xaxis, numbers)
    return figure


def curves(across_values: Vector, series: Mapping[str, Vector], *, across: str, up: str) -> Figure:
    """Several quantities over one, each a line by its name; a single value is a dot. The first line is the widest, so
    that it is seen below one that runs alike."""
    figure, axes = _axes(MEDIUM, "", across, up)
    looks = zip((STANDING_BACK, MAIN, STANDING_OUT), (3.2, 1.5, 1.0), strict=True)
    for (name, values), (colour, width) in zip(series.items(), looks, strict=False):
        marker = "o" if len(across_values) <= MOST_MARKED else ""
        axes.plot(across_values, values, color=colour, linewidth=width, marker=marker, markersize=4, label=plain(name))
    whole_ticks(axes.xaxis, across_values)
    _legend(figure)
    return figure


def beliefs(numbers: Vector, weights: Mapping[str, Vector], doubts: Mapping[str, Vector]) -> Figure:
    """What each proxy was believed to be worth after each evaluation, with one standard deviation around it."""
    figure, axes = _axes((MEDIUM[0], 3.4), "", "evaluation", "weight")
    axes.axhline(0, color="0.5", linewidth=0.8)
    looks = zip(cycle(CYCLE), cycle(("-", "--", ":")), cycle("osD^"))  # lines that run alike are all seen
    for (name, own), (colour, dashes, marker) in zip(weights.items(), looks, strict=False):
        axes.fill_between(numbers, own - doubts[name], own + doubts[name], color=colour, alpha=0.12, linewidth=0)
        marker = marker if len(numbers) <= MOST_MARKED else ""
        axes.plot(
            numbers, own, color=colour, linewidth=1.8, linestyle=dashes, marker=marker, markersize=4, label=plain(name)
        )
    whole_ticks(axes.xaxis, numbers)
    _legend(figure)
    return figure


def level_key(params: Vector) -> Figure:
    """The colours of `levels` and the numbers of parameters that they stand for."""
    level = levels(params)
    figure = Figure(figsize=(SMALL[0], 1.8))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.05, 1), ylim=(len(LEVELS) - 0.4, -0.6))
    axes.set_axis_off()
    for number, (colour, _) in enumerate(LEVELS):
        within = params[(level == number) & np.isfinite(params)]
        if len(within):
            least, most = (short(count, count) for count in (within.min(), within.max()))
            axes.plot(0, number, "o", color=colour, markersize=7)
            axes.text(0.05, number, least if least == most else f"{least} to {most}", va="center", fontsize=9)
    return figure


def progress(
    numbers: NDArray[np.int64], scores: Vector, leaf: NDArray[np.bool_], descent: Sequence[tuple[int, int]] = (),
    *, up: str = "score",
) -> Figure:  # fmt: skip
    """Scores by trial, the best single network so far, and the line of descent of the best one.

    Args:
        numbers: of the trials, rising.
        scores: nan for a failure, which has no mark.
        leaf: whether each is a single network; open architectures are drawn paler.
        descent: (parent, child), numbers of trials among them.

    Marks: all trials in their order.
    """
    figure, axes = _axes(MEDIUM, "", "evaluation", up)
    scores = drawable(scores)
    axes.scatter(numbers, scores, s=DOT, c=np.where(leaf, MAIN, STANDING_BACK), label="evaluated")
    whole_ticks(axes.xaxis, numbers)
    single = leaf & np.isfinite(scores)
    if single.any():
        best = np.maximum.accumulate(scores[single])
        axes.step(
            np.append(numbers[single], numbers[-1]), np.append(best, best[-1]), where="post", color=MAIN, linewidth=1.5,
            label="best so far",
        )  # fmt: skip
        _scale(axes, scores[np.isfinite(scores)], "y")
    for number, (parent, child) in enumerate(descent):
        places = np.searchsorted(numbers, [parent, child])
        axes.plot(
            numbers[places], scores[places], color=STANDING_OUT, linewidth=1.0, marker="o",
            markersize=4, label="" if number else "ancestry of the best",
        )  # fmt: skip
    _legend(figure)
    return figure


def distribution(
    values: Vector, *, across: str, up: str = "architectures", marked: Mapping[str, float] | None = None
) -> Figure:
    """A histogram, with lines at the values marked."""
    figure, axes = _axes(MEDIUM, "", across, up)
    values = drawable(values)
    _scale(axes, values, "x")
    bins: Any = max(5, min(40, round(2 * len(values) ** 0.5)))
    if values.min() < values.max():
        scale = axes.xaxis.get_transform()
        low, high = map(float, scale.transform(np.array([values.min(), values.max()])))
        bins = scale.inverted().transform(np.linspace(low, high, bins))
        bins[0], bins[-1] = values.min(), values.max()
    else:
        half = max(0.5, 1e-3 * abs(values[0]))
        bins = np.linspace(values[0] - half, values[0] + half, bins + 1)
    axes.hist(values, bins=bins, color=MAIN, alpha=0.8)
    whole_ticks(axes.yaxis)
    for name, value in (marked or {}).items():
        axes.axvline(float(drawable(np.array(value))), color=STANDING_OUT, linewidth=1.5, label=plain(name))
    if marked:
        _legend(figure)
    return figure


def intervals(table: pd.DataFrame) -> Figure:
    """Kendall's τ of each proxy with its interval, the best at the top; the columns of ``correlations.csv``."""
    rows = table.sort_values("kendall", na_position="first", kind="stable")
    figure, axes = _axes((MEDIUM[0], 0.9 + 0.22 * len(rows)), "", "Kendall's τ", "")
    places = np.arange(len(rows), dtype=np.float64)
    tau = rows["kendall"].to_numpy(np.float64)
    reach = np.abs(rows[["kendall_lo", "kendall_hi"]].to_numpy(np.float64) - tau[:, None]).T
    axes.errorbar(tau, places, xerr=reach, fmt="o", markersize=5, color=MAIN, elinewidth=1.4)
    axes.axvline(0, color="0.5", linewidth=0.8)
    axes.set_yticks(places, [plain(str(name)) for name in rows["proxy"]], fontsize=9)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    return figure


def against_time(table: pd.DataFrame) -> Figure:
    """Kendall's τ against milliseconds for one architecture, with the proxies' names. Marks: the rows that have both.

    Names are beside their points where there is room, or a little way off.
    """
    size = (MEDIUM[0], 3.6) if len(table) <= FEW else (6.4, 4.4)
    figure, axes = _axes(size, "", "ms for one architecture", "Kendall's τ")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.scatter(table["ms_per_arch"], table["kendall"], s=DOT, c=MAIN)
    axes.margins(x=0.12, y=0.08)
    _name_points(figure, axes, [plain(str(name)) for name in table["proxy"]], table[["ms_per_arch", "kendall"]])
    return figure


def heat_map(table: pd.DataFrame) -> Figure:
    """A square for each number from -1 to 1, rows and columns named; grey where there is none."""
    rows, columns = table.shape
    longest = max((len(plain(str(name))) for name in table.index), default=0)
    figure = Figure(figsize=(0.8 + 0.075 * longest + 0.36 * columns, 1.2 + 0.26 * rows), layout="constrained")
    axes = figure.add_subplot()
    from matplotlib import colormaps

    colours = colormaps["RdBu"].with_extremes(bad="0.7")
    numbers = table.to_numpy(np.float64)
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(numbers), cmap=colours, vmin=-1, vmax=1, linewidth=0.1, edgecolor="face"
    )
    axes.invert_yaxis()
    for (row, column), number in np.ndenumerate(numbers):
        if np.isfinite(number):
            shown = f"{number:.2f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")
            colour = "#fefefe" if abs(number) > 0.6 else "#010101"
            axes.text(column + 0.5, row + 0.5, shown, ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(np.arange(columns) + 0.5, [plain(str(name)) for name in table.columns], fontsize=8, rotation=45,
                    ha="left", rotation_mode="anchor")  # fmt: skip
    axes.set_yticks(np.arange(rows) + 0.5, [plain(str(name)) for name in table.index], fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    mesh.set_rasterized(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def plain(text: str) -> str:
    """``text`` for matplotlib, which would read formulas between dollar signs; of a long text its beginning and end."""
    if len(text) > MAX_LABEL_CHARACTERS:
        text = f"{text[: MAX_LABEL_CHARACTERS // 2]}…{text[-MAX_LABEL_CHARACTERS // 2 + 1 :]}"
    return text.replace("$", r"\$")


def _axes(size: tuple[float, float], title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(plain(title), fontsize=9.5)
    axes.set_xlabel(plain(across), fontsize=9)
    axes.set_ylabel(plain(up), fontsize=9)
    axes.tick_params(labelsize=8.5)
    plain_ticks(axes.xaxis, axes.yaxis)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend(figure: Figure) -> None:
    """Adds the legend above the axes, where it covers nothing."""
    figure.legend(loc="outside upper right", ncols=3, fontsize=8.5, frameon=False)


def _within(values: Vector) -> Vector:
    """The values, with outliers brought to the edge of the others."""
    low, high = np.nanquantile(values, [0.05, 0.95])
    reach = REACH * (high - low)
    return np.clip(values, low - reach, high + reach) if reach > 0 else values


def _scale(axes: Axes, values: Vector, way: str) -> bool:
    """Makes the axis logarithmic where values span orders of magnitude, on both sides of zero if need be; returns
    whether it is."""
    middle = _logarithmic_from(values)
    if not middle:
        return False
    scale = {"value": "log"} if values.min() > 0 else {"value": "symlog", "linthresh": middle}
    (axes.set_xscale if way == "x" else axes.set_yscale)(**scale)
    return True


def _logarithmic_from(values: Vector) -> float:
    """The median size of values that span orders of magnitude; 0 for others."""
    sizes = np.abs(values)
    middle = float(np.median(sizes))
    return middle if sizes.max() > WIDE_RANGE * middle else 0.0


def _spread_out(values: Vector) -> Vector:
    """The values as far apart as on the axis that `_scale` makes."""
    middle = _logarithmic_from(values)
    if not middle:
        return _within(values)
    return np.log(values) if values.min() > 0 else np.sign(values) * np.log1p(np.abs(values) / middle)


def _name_points(figure: Figure, axes: Axes, names: Sequence[str], places: pd.DataFrame) -> None:
    """Writes each name beside its point, or where there is room, with a line to it."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # so that what is placed now stays there
    unit = 72 / figure.dpi
    frame = axes.get_window_extent()
    obstacles = [(x - 3, y - 3, x + 3, y + 3) for x, y in axes.transData.transform(places.to_numpy(np.float64)) * unit]
    for name, (left, low, _, _) in zip(names, list(obstacles), strict=True):
        x, y, width = left + 3, low + 3, 4.8 * len(name)
        spots = [
            (x + side * 6 - (side < 0) * width, y + up - 4, side, abs(up) > 8)
            for up in (0, 7, -7, 14, -14, 22, -22, 30, -30, 40, -40, 52, -52)
            for side in (1, -1)
        ]
        boxes = {(a, b, a + width, b + 8.0): (side, far) for a, b, side, far in spots}
        free = [
            box for box in boxes
            if frame.x0 * unit < box[0] and box[2] < frame.x1 * unit + 8
            and not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in obstacles)
        ]  # fmt: skip
        box = free[0] if free else next(iter(boxes))
        side, far = boxes[box]
        obstacles.append(box)
        line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.5, "shrinkA": 1, "shrinkB": 3}
        axes.annotate(
            name, (x, y), (box[0] if side > 0 else box[2], box[1] + 4), fontsize=8.5, va="center",
            ha="left" if side > 0 else "right", xycoords="figure points", textcoords="figure points",
            arrowprops=line if far else None,
        )  # fmt: skip
