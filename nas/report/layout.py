"""Where the parts of a cell's picture are: boxes, labels and arrows, in inches, whatever draws them.

A chain goes to and fro in rows. Any other cell is drawn in layers, each node after all that it depends on; what an edge
does is written in a layer between them, where the edge has a place of its own. So nothing that is written lies on
another edge, and no edge crosses a node.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import networkx as nx

from nas.graph import terminals
from nas.report.layers import Layers

WRAPPED = 10
"""The most layers of a chain in one row."""
GAP = 0.34
"""Inches between the boxes of a chain, and between its rows."""
HEAD = 0.1
"""The length of an arrow's head."""
TALLEST = 1.5
"""The height of the widest layer of a chain whose widths are drawn."""
LINE, CHARACTER, PADDING = 0.145, 0.068, 0.14
"""The height of a line and the width of a character of a node's text, and what is around the text."""


class Box(NamedTuple):
    """A rectangle around (x, y)."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        across, down = abs(self.x - other.x), abs(self.y - other.y)
        return across < (self.width + other.width) / 2 and down < (self.height + other.height) / 2

    def moved(self, x: float, y: float) -> Box:
        return self._replace(x=self.x + x, y=self.y + y)


Point = tuple[float, float]


class Node(NamedTuple):
    """A box with lines of text; ``math`` is a formula."""

    box: Box
    lines: tuple[str, ...]
    op: str = ""
    math: bool = False


class Arrow(NamedTuple):
    """From the border of one node to that of another. Between two points of the same height or the same place across,
    the way is straight, between others it is a curve (see `curve`).

    Attributes:
        label: where its operation is written.
    """

    source: int
    target: int
    points: tuple[Point, ...]
    op: str = ""
    label: Box | None = None


@dataclass
class Picture:
    """The parts of a picture; y grows upwards.

    Attributes:
        names: what is written in italics, and where it begins: a cell's name, or what heights stand for.
        down: its cells go from the top to the bottom, not from left to right.
    """

    nodes: dict[int, Node] = field(default_factory=dict)
    arrows: list[Arrow] = field(default_factory=list)
    names: list[tuple[Point, str]] = field(default_factory=list)
    down: bool = False

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of all boxes and arrows."""
        boxes = [*(node.box for node in self.nodes.values()), *(arrow.label for arrow in self.arrows if arrow.label)]
        points = [point for arrow in self.arrows for point in arrow.points] + [point for point, _ in self.names]
        across = [b.x + side * b.width / 2 for b in boxes for side in (-1, 1)] + [x for x, _ in points]
        along = [b.y + side * b.height / 2 for b in boxes for side in (-1, 1)] + [y for _, y in points]
        return min(across), min(along), max(across), max(along)

    def add(self, other: Picture, x: float, y: float) -> None:
        """Adds the parts of another picture, moved."""

        def moved(point: Point) -> Point:
            return point[0] + x, point[1] + y

        self.nodes |= {name: node._replace(box=node.box.moved(x, y)) for name, node in other.nodes.items()}
        self.arrows += [
            arrow._replace(points=tuple(map(moved, arrow.points)), label=arrow.label and arrow.label.moved(x, y))
            for arrow in other.arrows
        ]
        self.names += [(moved(place), name) for place, name in other.names]


def curve(start: Point, end: Point, *, down: bool = False) -> tuple[Point, Point]:
    """The two points that, between these, control a cubic curve which begins and ends level, or upright in a picture
    that goes ``down``."""
    if down:
        middle = (start[1] + end[1]) / 2
        return (start[0], middle), (end[0], middle)
    middle = (start[0] + end[0]) / 2
    return (middle, start[1]), (middle, end[1])


def is_straight(start: Point, end: Point) -> bool:
    return abs(start[0] - end[0]) < 1e-9 or abs(start[1] - end[1]) < 1e-9


def picture(graph: nx.DiGraph[int], *, down: bool = False) -> Picture:
    """The picture of the cells of ``graph`` (see `nas.space.Space.graph`), one above the other. A vertex with an
    operation but without edges is left out.

    Args:
        down: cells go from the top to the bottom, which makes most of them narrower.
    """
    graph = graph.subgraph([n for n, node in graph.nodes(data=True) if "op" not in node or graph.degree(n)])
    whole, top = Picture(down=down), 0.0
    for cell in dict.fromkeys(str(graph.nodes[node].get("cell", "")) for node in graph):
        part = graph.subgraph([node for node in graph if str(graph.nodes[node].get("cell", "")) == cell])
        drawn = _layered(part, down)
        if _is_chain(part):
            drawn = _column(part) if down else _chain(part)
        left, bottom, _, highest = drawn.bounds
        if cell:
            whole.names.append(((0.0, top - 0.1), cell))
            top -= 0.3
        whole.add(drawn, -left, top - highest)
        top -= highest - bottom + 0.25
    return whole


def text_of(graph: nx.DiGraph[int], node: int) -> Node:
    """A node with its text, not yet anywhere."""
    attributes = graph.nodes[node]
    op: str = attributes.get("op", "")
    kind = next((kind for kind in ("input", "output") if node in terminals(graph, kind)), "")
    label: str = attributes.get("label") or op or kind or str(node)
    if "cell" in attributes and not attributes.get("label"):
        label = str(node - min(graph))
    if math := "_{" in label:
        return Node(Box(0, 0, PADDING + 0.6 * CHARACTER * len(label), PADDING + LINE), (label,), op, math)
    lines = tuple(line for part in label.split("; ") for line in textwrap.wrap(part, 24))
    width = PADDING + CHARACTER * max(map(len, lines), default=1)
    return Node(Box(0, 0, width, PADDING + LINE * len(lines)), lines, op)


def label_size(op: str) -> tuple[float, float]:
    """Width and height of what is written on an arrow."""
    return PADDING / 2 + 0.064 * len(op), 0.2


def _is_chain(graph: nx.DiGraph[int]) -> bool:
    return len(graph) > 2 and all(graph.in_degree(node) <= 1 and graph.out_degree(node) <= 1 for node in graph)


def _chain(graph: nx.DiGraph[int]) -> Picture:
    """Boxes in rows of at most `WRAPPED`; where the layers have a ``width``, their heights stand for it."""
    drawn, order = Picture(), sorted(graph)
    nodes = {node: text_of(graph, node) for node in order}
    widths = {node: graph.nodes[node]["width"] for node in order if "width" in graph.nodes[node]}
    for node, width in widths.items():
        box = nodes[node].box
        height = max(box.height, TALLEST * width / max(widths.values()))
        nodes[node] = nodes[node]._replace(box=box._replace(height=height))
    across = max(node.box.width for node in nodes.values()) + GAP
    in_one_row = len(order) <= WRAPPED
    y = 0.0
    for number, start in enumerate(range(0, len(order), WRAPPED)):
        row = order[start : start + WRAPPED]
        height = max(nodes[node].box.height for node in row)
        for place, node in enumerate(row):
            x = across * (place if number % 2 == 0 else WRAPPED - 1 - place)
            if in_one_row:
                x = sum(nodes[one].box.width + GAP for one in row[:place]) + nodes[node].box.width / 2
            drawn.nodes[node] = nodes[node]._replace(box=nodes[node].box.moved(x, y - height / 2))
        y -= height + GAP
    if widths:
        drawn.names.append(
            (
                (drawn.bounds[0], drawn.bounds[1] - 0.2),
                "a box is as high as its layer is wide, and at least as its text",
            )
        )
    for source, target in pairwise(order):
        start_box, end_box = drawn.nodes[source].box, drawn.nodes[target].box
        if abs(start_box.x - end_box.x) < 1e-9:
            way = ((start_box.x, start_box.y - start_box.height / 2), (end_box.x, end_box.y + end_box.height / 2))
        else:
            side = 1 if end_box.x > start_box.x else -1
            way = (
                (start_box.x + side * start_box.width / 2, start_box.y),
                (end_box.x - side * end_box.width / 2, end_box.y),
            )
        drawn.arrows.append(Arrow(source, target, way))
    return drawn


def _column(graph: nx.DiGraph[int]) -> Picture:
    """The boxes of a chain one below the other; where the layers have a ``width``, their own widths stand for it."""
    drawn, order, y = Picture(), sorted(graph), 0.0
    widths = {node: graph.nodes[node]["width"] for node in order if "width" in graph.nodes[node]}
    for node in order:
        one = text_of(graph, node)
        wide = TALLEST * widths[node] / max(widths.values()) if node in widths else 0.0
        box = one.box._replace(width=max(one.box.width, wide))
        drawn.nodes[node] = one._replace(box=box.moved(0.0, y - box.height / 2))
        y -= box.height + 0.7 * GAP
    for source, target in pairwise(order):
        start, end = drawn.nodes[source].box, drawn.nodes[target].box
        way = ((0.0, start.y - start.height / 2), (0.0, end.y + end.height / 2))
        drawn.arrows.append(Arrow(source, target, way))
    if widths:
        left, bottom, _, _ = drawn.bounds
        lines = textwrap.wrap("a box is as wide as its layer, and at least as its text", 24)
        drawn.names += [((left, bottom - 0.2 - LINE * number), line) for number, line in enumerate(lines)]
    return drawn


def _layered(graph: nx.DiGraph[int], down: bool) -> Picture:
    def turned(one: Point) -> Point:
        """A place in the picture, of a place in a drawing from left to right."""
        return (-one[1], -one[0]) if down else one

    def sized(width: float, height: float) -> Point:
        return (height, width) if down else (width, height)

    nodes = {node: text_of(graph, node) for node in sorted(graph)}
    labels = {(i, j): str(edge["op"]) for i, j, edge in graph.edges(data=True) if edge.get("op")}
    layers = Layers({node: sized(one.box.width, one.box.height) for node, one in nodes.items()}, HEAD)
    ranks = _ranks(graph, 2 if labels else 1)
    for source, target in sorted(graph.edges):
        size = sized(*label_size(labels[source, target])) if (source, target) in labels else None
        layers.add_edge(source, target, ranks, size)
    layers.arrange(ranks)
    drawn = Picture()
    for node, one in nodes.items():
        item = layers.nodes[node]
        drawn.nodes[node] = one._replace(box=Box(*turned((item.x, item.y)), *sized(item.width, item.height)))
    for (source, target), way in layers.ways.items():
        spots = [Box(*turned((i.x, i.y)), *sized(i.width, i.height)) for i in way if i.kind == "label"]
        points = tuple(map(turned, layers.points(source, target)))
        drawn.arrows.append(Arrow(source, target, points, labels.get((source, target), ""), *spots[:1]))
    return drawn


def _ranks(graph: nx.DiGraph[int], step: int) -> dict[int, int]:
    """The layer of each node: inputs in the first, outputs in the last one, any other after all that it depends on."""
    inputs, outputs = terminals(graph, "input"), terminals(graph, "output")
    ranks = dict.fromkeys(inputs, 0)
    for node in sorted(graph):
        if node not in ranks:
            ranks[node] = step + max((ranks[before] for before in graph.predecessors(node)), default=0)
    last = max([ranks[node] for node in graph if node not in outputs], default=0) + step
    return ranks | dict.fromkeys(outputs, last)
