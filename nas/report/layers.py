"""A drawing in layers, after Sugiyama, Tagawa and Toda (1981).

Long edges get a place in every layer that they pass, layers are ordered by the mean place of what each part is linked
with, and heights follow from that order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

SWEEPS = 20
"""Passes to and fro over the layers, for their orders and for the heights."""
APART = 0.14
"""Inches between two parts of one layer, at least."""
STUB = 0.03
"""How far an edge goes level beside a node, its head not counted."""
STRAIGHT = 20.0
"""How much more two places of one edge count than the nodes at its ends, when heights are chosen."""
PORTS = 0.11
"""Inches between the ends of two edges at one node, at most."""


@dataclass(eq=False)
class Item:
    """A part of one layer: a node, the place where an edge's label stands, or a place where an edge passes."""

    kind: Literal["node", "label", "pass"]
    width: float
    height: float
    layer: int = 0
    x: float = 0.0
    y: float = 0.0
    before: list[Item] = field(default_factory=list)
    after: list[Item] = field(default_factory=list)


class Layers:
    """Nodes of given sizes, edges between them, and after `arrange` the place of everything."""

    def __init__(self, sizes: Mapping[int, tuple[float, float]], head: float) -> None:
        self.nodes = {node: Item("node", width, height) for node, (width, height) in sizes.items()}
        self.ways: dict[tuple[int, int], list[Item]] = {}
        self._head = head
        self._layers: list[list[Item]] = []
        self._labels: dict[int, int] = {}

    def add_edge(self, source: int, target: int, ranks: Mapping[int, int], label: tuple[float, float] | None) -> None:
        """Adds an edge, and its places in the layers between; the label is in that odd layer near the middle which has
        the fewest."""
        first, last = ranks[source], ranks[target]
        between = [Item("pass", 0.0, 0.0, layer) for layer in range(first + 1, last)]
        if label is not None:
            odd = [item for item in between if item.layer % 2]
            chosen = min(odd, key=lambda item: (self._labels.get(item.layer, 0), abs(2 * item.layer - first - last)))
            chosen.kind, (chosen.width, chosen.height) = "label", label
            self._labels[chosen.layer] = self._labels.get(chosen.layer, 0) + 1
        self.ways[source, target] = between
        way = [self.nodes[source], *between, self.nodes[target]]
        for one, other in pairwise(way):
            one.after.append(other)
            other.before.append(one)

    def arrange(self, ranks: Mapping[int, int]) -> None:
        """Gives every item its place."""
        for node, item in self.nodes.items():
            item.layer = ranks[node]
        every = [*self.nodes.values(), *(item for way in self.ways.values() for item in way)]
        self._layers = [[item for item in every if item.layer == layer] for layer in range(max(ranks.values()) + 1)]
        self._order()
        self._heights()
        self._across()

    def points(self, source: int, target: int) -> tuple[tuple[float, float], ...]:
        """The way of an edge: level within a layer, from border to border."""
        start, end, way = self.nodes[source], self.nodes[target], self.ways[source, target]
        first, last = (way[0], way[-1]) if way else (end, start)
        out, into = start.y + _port(start, first, start.after), end.y + _port(end, last, end.before)
        places = [(start.x + start.width / 2, out), (self._right[start.layer], out)]
        for item in way:
            places += [(self._left[item.layer], item.y), (self._right[item.layer], item.y)]
        places += [(self._left[end.layer], into), (end.x - end.width / 2, into)]
        return tuple(dict.fromkeys(places))

    def _order(self) -> None:
        best, fewest = [list(layer) for layer in self._layers], self._crossings()
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            for layer in self._layers[1:] if down else self._layers[-2::-1]:
                self._sort(layer, down)
            if (crossings := self._crossings()) < fewest:
                best, fewest = [list(layer) for layer in self._layers], crossings
        self._layers = best

    def _sort(self, layer: list[Item], down: bool) -> None:
        """Sorts a layer by the mean place of what its items are connected with in the layer before, or behind."""
        place = {item: number for other in self._layers for number, item in enumerate(other)}

        def mean(item: Item) -> float:
            beside = item.before if down else item.after
            return sum(place[one] for one in beside) / len(beside) if beside else place[item]

        layer.sort(key=mean)

    def _crossings(self) -> int:
        total = 0
        for layer, following in pairwise(self._layers):
            place = {item: number for number, item in enumerate(following)}
            ends = [[place[one] for one in item.after] for item in layer]
            total += sum(
                a > b for number, above in enumerate(ends) for below in ends[number + 1 :] for a in above for b in below
            )
        return total

    def _heights(self) -> None:
        for layer in self._layers:
            _stack(layer, [-number * 0.3 for number in range(len(layer))])
        for sweep in range(2 * SWEEPS):
            for layer in self._layers if sweep % 2 == 0 else reversed(self._layers):
                _stack(layer, [_wished(item) for item in layer])

    def _across(self) -> None:
        x, before = 0.0, 0.0
        self._left: dict[int, float] = {}
        self._right: dict[int, float] = {}
        for number, layer in enumerate(self._layers):
            beside = 2 * (STUB + self._head)
            width = max((item.width + beside * (item.kind == "node") for item in layer), default=0.0)
            rise = max((abs(one.y - item.y) for item in layer for one in item.before), default=0.0)
            x += before + (min(0.7, 0.12 + 0.24 * rise) if number else 0.0)
            self._left[number], self._right[number] = x, x + width
            for item in layer:
                item.x = x + width / 2
            before = width


def _port(node: Item, towards: Item, beside: Sequence[Item]) -> float:
    """How far above a node's middle the edge to ``towards`` ends, among all on that side."""
    if node.kind != "node":
        return 0.0
    order = sorted(range(len(beside)), key=lambda number: -beside[number].y)
    place = order.index(next(number for number, one in enumerate(beside) if one is towards))
    apart = min(PORTS, (node.height - 0.1) / max(1, len(beside) - 1))
    return apart * ((len(beside) - 1) / 2 - place)


def _wished(item: Item) -> float:
    """The mean height of the ends of an item's edges; edges that pass are kept straight."""
    ends = [(one, one.y + _port(one, item, one.after)) for one in item.before]
    ends += [(one, one.y + _port(one, item, one.before)) for one in item.after]
    weights = [STRAIGHT if one.kind != "node" and item.kind != "node" else 1.0 for one, _ in ends]
    total = sum(weights)
    return sum(weight * y for weight, (_, y) in zip(weights, ends, strict=True)) / total if total else item.y


def _stack(layer: Iterable[Item], wishes: Sequence[float]) -> None:
    """Gives the items of a layer, from top to bottom, the heights nearest to those wished for (least squares) at which
    they keep apart: pools of items that touch stand around the mean of their wishes."""
    pools: list[tuple[list[float], list[Item], list[float]]] = []  # wishes for the first one, items, offsets from it
    for item, wish in zip(layer, wishes, strict=True):
        pools.append(([wish], [item], [0.0]))
        while len(pools) > 1:
            (wished, above, offsets), (wished_below, below, offsets_below) = pools[-2:]
            shift = offsets[-1] - (above[-1].height + below[0].height) / 2 - APART
            if _mean(wished_below) <= _mean(wished) + shift:
                break
            wished += [one - shift for one in wished_below]
            pools[-2:] = [(wished, above + below, offsets + [one + shift for one in offsets_below])]
    for wished, items, offsets in pools:
        for item, offset in zip(items, offsets, strict=True):
            item.y = _mean(wished) + offset


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
