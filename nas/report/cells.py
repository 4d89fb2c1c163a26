"""Pictures of cells and networks, good enough for a paper: SVG, PNG, PDF by matplotlib, TikZ and Graphviz as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx

from nas.report.layout import HEAD, Arrow, Picture, Point, curve, is_straight, picture
from nas.report.palette import OTHER, colour
from nas.report.written import dot, tikz

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png", ".pdf", ".tex", ".dot")
"""The endings of a picture's file."""
MARGIN = 0.12
"""Inches around a picture."""
HIGHEST = 12.0
"""Inches beyond which cells are not drawn from the top to the bottom to be narrower."""
PLAIN = "#6b6b6b"
"""The colour of an arrow without an operation."""


def draw(graph: nx.DiGraph[int], path: Path, title: str = "", suffix: str = "") -> None:
    """Draws the cells of ``graph`` to ``path`` in the format of ``suffix``, by default the file's own: one of
    `FORMATS`, where .tex is a document of its own in TikZ, and .dot is for Graphviz."""
    suffix = (suffix or path.suffix).lower()
    if suffix == ".dot":
        path.write_text(dot(graph, title), encoding="utf-8")
    elif suffix == ".tex":
        path.write_text(tikz(picture(graph), title), encoding="utf-8")
    else:
        drawing(graph, title).savefig(path, dpi=200, format=suffix[1:])


def drawing(graph: nx.DiGraph[int], title: str = "") -> Figure:
    """A figure of the cells of ``graph`` (see `nas.space.Space.graph`), as `nas.report.layout.picture` places them; an
    operation has the same colour in every picture."""
    return _drawn(picture(graph), title)


def drawings(graphs: Sequence[nx.DiGraph[int]]) -> list[Figure]:
    """Figures of several cells to be seen beside each other, all of the same width, and so at one scale wherever they
    shrink alike: from top to bottom where that is narrower, and not too high for a screen."""
    pictures = [picture(graph) for graph in graphs]
    downwards = [picture(graph, down=True) for graph in graphs]
    (width, _), (down_width, down_height) = _extent(pictures), _extent(downwards)
    if down_width < width and down_height <= HIGHEST:
        pictures, width = downwards, down_width
    return [_drawn(one, width=width) for one in pictures]


def _extent(pictures: Sequence[Picture]) -> tuple[float, float]:
    """The largest width and height of some pictures."""
    bounds = [one.bounds for one in pictures]
    widths, heights = [b[2] - b[0] for b in bounds], [b[3] - b[1] for b in bounds]
    return max(widths, default=0.0), max(heights, default=0.0)


def _drawn(drawn: Picture, title: str = "", width: float = 0.0) -> Figure:
    """A figure at least ``width`` inches wide, without its margin."""
    from matplotlib.figure import Figure

    left, bottom, right, top = drawn.bounds
    lines = textwrap.wrap(title, max(30, int(14 * (right - left))))
    beside = MARGIN + max(0.0, width - (right - left)) / 2
    left, right, bottom = left - beside, right + beside, bottom - MARGIN
    top += MARGIN + 0.14 * len(lines)
    figure = Figure(figsize=(right - left, top - bottom))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    if lines:
        axes.text(
            (left + right) / 2, top - 0.05, "\n".join(lines), ha="center", va="top", fontsize=7, family="monospace",
            parse_math=False,
        )  # fmt: skip
    for arrow in drawn.arrows:
        _draw_arrow(axes, arrow, drawn.down)
    _draw_nodes(axes, drawn)
    return figure


def _draw_nodes(axes: Any, drawn: Picture) -> None:
    from matplotlib.patches import FancyBboxPatch

    for node in drawn.nodes.values():
        box = node.box
        corner = (box.x - box.width / 2, box.y - box.height / 2)
        edge = colour(node.op).light if node.op else OTHER.light
        style = "round,pad=0,rounding_size=0.06"
        look: dict[str, Any] = {"facecolor": "#ffffff", "edgecolor": edge, "linewidth": 1.4, "zorder": 2}
        axes.add_patch(FancyBboxPatch(corner, box.width, box.height, boxstyle=style, **look))
        text = f"${node.lines[0]}$" if node.math else "\n".join(node.lines)
        axes.text(box.x, box.y, text, ha="center", va="center", fontsize=8, zorder=4, parse_math=node.math)
    for (x, y), name in drawn.names:
        axes.text(x, y, name, ha="left", va="center", fontsize=9, style="italic", parse_math=False)


def _draw_arrow(axes: Any, arrow: Arrow, down: bool) -> None:
    """A line that ends where its head begins; the head's point is on the node's border."""
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path as Way

    paint = colour(arrow.op).light if arrow.op else PLAIN
    points = [*arrow.points[:-1], _before_head(arrow.points)]
    vertices, codes = [points[0]], [Way.MOVETO]
    for start, end in pairwise(points):
        steps = [end] if is_straight(start, end) else [*curve(start, end, down=down), end]
        vertices += steps
        codes += [Way.LINETO] if len(steps) == 1 else [Way.CURVE4] * 3
    axes.add_patch(
        PathPatch(Way(vertices, codes), facecolor="none", edgecolor=paint, linewidth=1.5 if arrow.op else 1.0, zorder=1)
    )
    (x, y), (tip_x, tip_y) = points[-1], arrow.points[-1]
    aside = 0.4 * (tip_y - y), 0.4 * (x - tip_x)
    head = [(tip_x, tip_y), (x + aside[0], y + aside[1]), (x - aside[0], y - aside[1])]
    axes.add_patch(Polygon(head, closed=True, facecolor=paint, edgecolor="none", zorder=1))
    if arrow.label is not None:
        axes.text(
            arrow.label.x, arrow.label.y, arrow.op, ha="center", va="center", fontsize=7.5, zorder=3, parse_math=False,
            bbox={"facecolor": "#ffffff", "edgecolor": paint, "linewidth": 0.8, "boxstyle": "round,pad=0.18"},
        )  # fmt: skip


def _before_head(points: tuple[Point, ...]) -> Point:
    (x, y), (end_x, end_y) = points[-2:]
    length = max(abs(end_x - x), abs(end_y - y))
    return end_x - HEAD * (end_x - x) / length, end_y - HEAD * (end_y - y) / length
