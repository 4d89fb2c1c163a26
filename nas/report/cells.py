"""Pictures of cells, good enough for a paper: SVG, PNG or PDF by matplotlib."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from math import hypot
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import networkx as nx

from nas.graph import terminals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN, ROW, LAYER = 2.4, 0.8, 1.5
"""Inches between the columns and the rows of a cell, and between the layers of a chain."""
GAP = 0.3
"""Inches between the boxes of a chain, at least."""
WRAPPED = 8
"""The most layers of a chain in one row."""
COLOURS = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9")
"""Matplotlib's, except the grey of edges without an operation."""
AROUND = 0.45
"""How far, in inches, an edge bends away from the straight line to get around a node."""


class Box(NamedTuple):
    """A rectangle around (x, y), in inches."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        across, down = abs(self.x - other.x), abs(self.y - other.y)
        return across < (self.width + other.width) / 2 and down < (self.height + other.height) / 2

    def reach(self, dx: float, dy: float) -> float:
        """The distance of the border from the middle, in this direction."""
        steps = [size / 2 / abs(step) for size, step in ((self.width, dx), (self.height, dy)) if step]
        return min(steps) * hypot(dx, dy)


def draw(graph: nx.DiGraph[int], path: Path, title: str = "") -> None:
    """Draws the cells of ``graph`` to ``path``, as `drawing` does: SVG, PNG or PDF by its suffix."""
    drawing(graph, title).savefig(path, dpi=150)


def drawing(
    graph: nx.DiGraph[int], title: str = "", *, operations: Sequence[str] = (), column: float = COLUMN
) -> Figure:
    """A figure of the cells of ``graph`` (see `nas.space.Space.graph`).

    Args:
        operations: all that have a colour, where several pictures share them; without any, those of ``graph``.
        column: inches between the columns of a cell.

    Cells stand one above the other. A chain goes to and fro in rows; any other cell has its nodes in columns, each
    after all that it depends on. Operations are written on the edges or in the nodes, and have a colour each. A vertex
    with an operation but without edges is left out.
    """
    from matplotlib.figure import Figure

    graph = graph.subgraph([n for n, node in graph.nodes(data=True) if "op" not in node or graph.degree(n)])
    labelled = [*(node for _, node in graph.nodes(data=True)), *(edge for *_, edge in graph.edges(data=True))]
    names = operations or sorted({attributes["op"] for attributes in labelled if attributes.get("op")})
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    top = width = 0.0
    boxes: dict[int, Box] = {}
    for cell in dict.fromkeys(_cell(graph, node) for node in graph):
        places = _places(graph.subgraph([node for node in graph if _cell(graph, node) == cell]), column)
        highest, lowest = max(y for _, y in places.values()), min(y for _, y in places.values())
        margin = 0.3 if all(y == highest or graph.in_degree(n) <= 1 for n, (_, y) in places.items()) else 0.7
        margin = max(margin, _size(graph.subgraph(places))[1] / 2 + 0.1)
        for node, (x, y) in places.items():
            boxes[node] = _draw_node(axes, graph, node, x, y + top - margin - highest, colours)
        if cell:
            axes.text(-0.6, top - 0.15, cell, ha="left", va="center", fontsize=10, style="italic")
        top -= highest - lowest + 2 * margin
        width = max(width, *(x for x, _ in places.values()))
    _draw_edges(axes, graph, boxes, colours)
    lines = textwrap.wrap(title, max(30, int(14 * (width + 1.2))))
    axes.text(width / 2, 0.1, "\n".join(lines), ha="center", va="bottom", fontsize=7, family="monospace")
    above = 0.1 + 0.14 * len(lines)
    axes.set_xlim(-0.8, width + 0.8)
    axes.set_ylim(top, above)
    figure.set_size_inches(width + 1.6, above - top)
    return figure


def _cell(graph: nx.DiGraph[int], node: int) -> str:
    return str(graph.nodes[node].get("cell", ""))


def _places(graph: nx.DiGraph[int], apart: float) -> dict[int, tuple[float, float]]:
    """The place of each node, in inches."""
    nodes = sorted(graph)
    if _is_chain(graph):
        rows = [nodes[start : start + WRAPPED] for start in range(0, len(nodes), WRAPPED)]
        turned = [
            row if number % 2 == 0 else [*reversed(row + [-1] * (WRAPPED - len(row)))]
            for number, row in enumerate(rows)
        ]
        width, height = _size(graph)
        across, down = max(LAYER, width + GAP), max(ROW, height + GAP)
        return {n: (across * x, -down * y) for y, row in enumerate(turned) for x, n in enumerate(row) if n >= 0}
    inputs, outputs = terminals(graph, "input"), terminals(graph, "output")
    column = dict.fromkeys(inputs, 0)
    for node in nodes:
        if node not in column:
            column[node] = 1 + max((column[source] for source in graph.predecessors(node)), default=0)
    last = max([column[node] for node in nodes if node not in outputs], default=0) + 1
    column |= dict.fromkeys(outputs, last)
    gap = ROW if any("op" in node for _, node in graph.nodes(data=True)) else 2 * ROW
    places: dict[int, tuple[float, float]] = {}
    for number in range(last + 1):
        here = [node for node in nodes if column[node] == number]
        aside = gap * (0.4 if number % 2 else -0.4) if 0 < number < last and len(here) % 2 else 0.0
        for row, node in enumerate(here):
            places[node] = apart * number, gap * ((len(here) - 1) / 2 - row) + aside
    return places


def _is_chain(graph: nx.DiGraph[int]) -> bool:
    return len(graph) > 2 and all(graph.in_degree(node) <= 1 and graph.out_degree(node) <= 1 for node in graph)


def _lines(label: str) -> list[str]:
    """A label in lines that fit into a box; each semicolon begins a new one."""
    return [line for part in label.split("; ") for line in textwrap.wrap(part, 18)]


def _box(x: float, y: float, lines: Sequence[str]) -> Box:
    """The box around these lines."""
    return Box(x, y, 0.13 + 0.072 * max(map(len, lines), default=0), 0.12 + 0.14 * len(lines))


def _size(graph: nx.DiGraph[int]) -> tuple[float, float]:
    """The width of the widest operation at a node, and the height of the highest one, in inches."""
    boxes = [_box(0, 0, _lines(node.get("op", ""))) for _, node in graph.nodes(data=True)]
    return max(box.width for box in boxes), max(box.height for box in boxes)


def _draw_node(axes: Any, graph: nx.DiGraph[int], node: int, x: float, y: float, colours: Mapping[str, str]) -> Box:
    attributes = graph.nodes[node]
    op: str = attributes.get("op", "")
    kind = next((kind for kind in ("input", "output") if node in terminals(graph, kind)), "")
    label: str = attributes.get("label") or op or kind or str(node)
    if "cell" in attributes and not attributes.get("label"):
        label = str(node - min(n for n in graph if _cell(graph, n) == attributes["cell"]))
    lines = _lines(label)
    axes.text(
        x, y, f"${label}$" if "_{" in label else "\n".join(lines), ha="center", va="center", fontsize=8, zorder=4,
        bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": colours.get(op, "black"), "linewidth": 1.2},
    )  # fmt: skip
    box = _box(x, y, lines)
    return box._replace(width=0.13 + 0.6 * (box.width - 0.13)) if "_{" in label else box


def _draw_edges(axes: Any, graph: nx.DiGraph[int], boxes: Mapping[int, Box], colours: Mapping[str, str]) -> None:
    from matplotlib.patches import FancyArrowPatch

    obstacles = list(boxes.values())
    for source, target, attributes in sorted(graph.edges(data=True), key=lambda edge: edge[1] - edge[0]):
        op: str = attributes.get("op", "")
        start, end = boxes[source], boxes[target]
        dx, dy = end.x - start.x, end.y - start.y
        bend = _bend(start, end, [box for node, box in boxes.items() if node not in (source, target)])
        colour = colours.get(op, "0.5")
        axes.add_patch(
            FancyArrowPatch(
                (start.x, start.y), (end.x, end.y), shrinkA=72 * start.reach(dx, dy),
                shrinkB=72 * end.reach(dx, dy) + 2,
                connectionstyle=f"arc3,rad={bend:.4f}", arrowstyle="-|>", mutation_scale=11,
                linewidth=1.5 if op else 1.0, color=colour, zorder=1,
            )
        )  # fmt: skip
        if op:
            spots = [Box(*_point(start, end, bend, part), 0.085 + 0.067 * len(op), 0.17) for part in LABELS]
            spot = next((s for s in spots if not any(s.overlaps(box) for box in obstacles)), spots[0])
            obstacles.append(spot)
            axes.text(
                spot.x, spot.y, op, ha="center", va="center", fontsize=7.5, color=colour, zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip


def _bend(start: Box, end: Box, others: list[Box]) -> float:
    """The curvature with which the edge crosses the fewest nodes; the smallest of several."""
    length = hypot(end.x - start.x, end.y - start.y)
    parts = [number / 20 for number in range(1, 20)]

    def met(bend: float) -> int:
        way = [Box(*_point(start, end, bend, part), 0.15, 0.15) for part in parts]
        return sum(any(point.overlaps(box) for point in way) for box in others)

    return min((side * AROUND / length for side in (0, 2, -2, 4, -4)), key=met)


def _point(start: Box, end: Box, bend: float, part: float) -> tuple[float, float]:
    """The point of a curve of this curvature after ``part`` of its length, as matplotlib's ``arc3`` draws it."""
    dx, dy = end.x - start.x, end.y - start.y
    aside = 2 * part * (1 - part) * bend
    return start.x + part * dx + aside * dy, start.y + part * dy - aside * dx


LABELS = (0.5, 0.4, 0.6, 0.33, 0.67, 0.27, 0.73, 0.45, 0.55, 0.2, 0.8)
"""The fractions of an edge's length at which its label may be, the best first."""
