"""A user's own cell space: nodes, edges, operations and a skeleton."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import count
from typing import Annotated, NamedTuple, final

import networkx as nx
import torch
from torch import nn

from nas.graph import Edge, canonical
from nas.registry import Range
from nas.space import Arch, Counts, Space, Task, choice, is_leaf, space
from spaces import _counted as counting
from spaces._cell import Cell, MixedEdge, Skeleton, drawn_by_place, initialise_by_place, stages
from spaces._counted import NotCounted, Part, Shape, measured
from spaces._ops import NONE, OPERATIONS, Operation, counted
from spaces._skeleton import Skeletal

__all__ = ["CellSpace", "Dialect", "cells", "staged"]


class Dialect(NamedTuple):
    """Another way to write an architecture: functions that read and write it."""

    read: Callable[[str], Arch]
    write: Callable[[Arch], str]


@final
class CellSpace(Space):
    """All cells on a fixed graph, one operation chosen for each edge.

    The notation is NAS-Bench-201's: for each node but the first a group ``|op~i|op~i|`` of its incoming edges, each
    with the node it comes from, the groups joined with ``+``. Operations alive together are joined with ``/``.

    Args:
        nodes: the number of nodes, input and output included.
        operations: name -> function from a number of channels to a fresh module that keeps shapes. The name ``none``
            means no edge; its function is not called. Published operations are drawn from PyTorch's defaults; any other
            keeps its own initialisation. None may write to its input (``inplace=True``), which other edges take too.
        skeleton: ``(cell, task) -> network``, where ``cell(channels)`` makes a fresh cell.
        edges: pairs (i, j), i < j; all of them when not given.
        thin: a skeleton of width 1 with one cell per stage and no stem, for proxies that measure a thin copy.
        dialects: other ways to write an architecture, by name; they are read as ``name:…``.
    """

    supernet = True

    def __init__(
        self,
        nodes: int,
        operations: Mapping[str, Operation | None],
        skeleton: Skeleton,
        edges: Sequence[Edge] | None = None,
        thin: Skeleton | None = None,
        dialects: Mapping[str, Dialect] | None = None,
    ) -> None:
        every = [(i, j) for j in range(1, nodes) for i in range(j)]
        self.edges = every if edges is None else sorted(((i, j) for i, j in edges), key=lambda edge: edge[::-1])
        wrong = [edge for edge in self.edges if edge not in every]
        if wrong or len(set(self.edges)) < len(self.edges) or not self.edges:
            raise ValueError(f"edges are distinct pairs (i, j) with 0 <= i < j < {nodes}, not {wrong or self.edges}")
        self.nodes = nodes
        self.operations = dict(operations)
        self.slots = (tuple(operations),) * len(self.edges)
        self.skeleton = skeleton
        self._thin = thin
        self.dialects = dict(dialects or {})
        self._representatives: dict[Arch, Arch] = {}
        self._skeletons: dict[Task, Skeletal] = {}
        self._measured: dict[tuple[str, Shape], Part] = {}

    def build(self, arch: Arch, task: Task) -> nn.Module:
        return initialise_by_place(self.skeleton(partial(self._cell, arch, count()), task))

    def counts(self, arch: Arch, task: Task) -> Counts | None:
        """The counts of the skeleton and of its cells: each operation is counted once for each shape."""
        try:
            if task not in self._skeletons:
                self._skeletons[task] = Skeletal(self.skeleton, task)
            skeleton = self._skeletons[task]
            cells = {shape: self._counted(arch, shape) for shape in set(skeleton.shapes)}
            parts = [cells[shape] for shape in skeleton.shapes]
            return skeleton.counts(parts)
        except NotCounted:
            return None

    def _counted(self, arch: Arch, x: Shape) -> Part:
        """`_cell` for an input of this shape, counted."""
        edges = {}
        for edge, options in zip(self.edges, arch, strict=True):
            alive = [name for name in (self.slots[0][option] for option in options) if name != NONE]
            if alive:
                edges[edge] = counting.added(self._operation(name, x) for name in alive)
        return counting.cell(x, self.nodes, edges)

    def _operation(self, name: str, x: Shape) -> Part:
        make = self.operations[name]
        if make is None:
            raise NotCounted
        if make in PUBLISHED:
            return counted(make, x)
        if (name, x) not in self._measured:
            self._measured[name, x] = measured(partial(make, x.channels), x)
        if self._measured[name, x].shape != x:
            raise NotCounted
        return self._measured[name, x]

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        graph: nx.DiGraph[int] = nx.empty_graph(self.nodes, create_using=nx.DiGraph)
        for edge, options in zip(self.edges, arch, strict=True):
            names = [self.slots[0][option] for option in options]
            if names != [NONE]:
                graph.add_edge(*edge, op="/".join(names))
        return graph

    def text(self, arch: Arch) -> str:
        groups: dict[int, str] = {}
        for (i, j), options in zip(self.edges, arch, strict=True):
            names = "/".join(self.slots[0][option] for option in options)
            groups[j] = groups.get(j, "|") + f"{names}~{i}|"
        return "+".join(groups.values())

    def parse(self, text: str) -> Arch:
        dialect, _, rest = text.partition(":") if ":" in text else ("index", ":", text)
        if dialect in self.dialects and (":" in text or re.fullmatch(r"\s*[0-9]+\s*", text)):
            return self.dialects[dialect].read(rest)
        if "|" not in text:
            named = "".join(f" or {name}:…" for name in self.dialects)
            raise ValueError(f"{text!r} is not in this space's notation |operation~node|…{named}")
        options_of = {}
        groups = text.strip().split("+")
        targets = list(dict.fromkeys(j for _, j in self.edges))
        if len(groups) != len(targets):
            raise ValueError(f"{text!r} has {len(groups)} groups |…| joined with +, the space has {len(targets)}")
        for target, group in zip(targets, groups, strict=True):
            if not re.fullmatch(r"\|([^|~+]+~\d+\|)+", group):
                raise ValueError(f"{group!r} in {text!r} is not of the form |operation~node|operation~node|")
            for part in group[1:-1].split("|"):
                names, _, source = part.partition("~")
                edge = (int(source), target)
                if edge not in self.edges or edge in options_of:
                    raise ValueError(f"{part!r} in {text!r}: the incoming edges of node {target} are each named once")
                options_of[edge] = choice(names.split("/"), self.slots[0])
        if len(options_of) < len(self.edges):
            raise ValueError(f"{text!r} names {len(options_of)} edges, the space has {len(self.edges)}")
        return tuple(options_of[edge] for edge in self.edges)

    def notations(self, arch: Arch) -> dict[str, str]:
        return {"text": self.text(arch)} | {name: dialect.write(arch) for name, dialect in self.dialects.items()}

    def canonical(self, arch: Arch) -> Arch:
        if arch not in self._representatives:
            self._representatives[arch] = self._representative(arch) if is_leaf(arch) else arch
        return self._representatives[arch]

    def _representative(self, arch: Arch) -> Arch:
        none = self.slots[0].index(NONE) if NONE in self.slots[0] else -1
        operations = {edge: option for edge, (option,) in zip(self.edges, arch, strict=True) if option != none}
        stays = self._weighted if none >= 0 else range(len(self.slots[0]))  # what cannot become none stays
        representative = canonical(operations, self.edges, self.nodes, stays)
        return tuple((representative.get(edge, none),) for edge in self.edges)

    def thin(self) -> Space | None:
        if self._thin is None:
            return None
        return CellSpace(self.nodes, self.operations, self._thin, self.edges, dialects=self.dialects)

    @cached_property
    def _weighted(self) -> set[int]:
        """The operations that have weights at the skeleton's first number of channels."""
        widths: list[int] = []

        def ask(channels: int) -> nn.Module:
            widths.append(channels)
            return nn.Identity()

        with torch.device("meta"):
            self.skeleton(ask, Task(2))
            return {
                option
                for option, (name, make) in enumerate(self.operations.items())
                if name != NONE and make is not None and (not widths or list(make(widths[0]).parameters()))
            }

    def _cell(self, arch: Arch, numbers: Iterator[int], channels: int) -> Cell:
        edges, cell = {}, next(numbers)
        for edge, options in zip(self.edges, arch, strict=True):
            names = [self.slots[0][option] for option in options]
            makers = {name: self.operations[name] for name in names if name != NONE}
            if makers:
                where = f"cell {cell}, edge {edge[0]}-{edge[1]}"
                modules = {
                    name: make(channels) if make in PUBLISHED else drawn_by_place(make, channels, f"{where}, {name}")
                    for name, make in makers.items()
                    if make is not None
                }
                edges[edge] = MixedEdge(modules, len(options))
        return Cell(self.nodes, edges)


PUBLISHED = set(OPERATIONS.values())


def staged(widths: Sequence[int], repeats: int) -> tuple[Skeleton, Skeleton]:
    """NAS-Bench-201's skeleton at these widths, and its thin version. Raises `ValueError` for numbers below 1."""
    if not widths or min(widths) < 1 or repeats < 1:
        raise ValueError(f"widths and repeats are at least 1, not {','.join(map(str, widths))} and {repeats}")
    thin = [max(1, width // widths[0]) for width in widths]
    return partial(stages, widths=widths, repeats=repeats), partial(stages, widths=thin, repeats=1, with_stem=False)


@space("cells")
def cells(
    *,
    nodes: Annotated[int, Range(2)] = 3,
    operations: tuple[str, ...] = ("none", "skip_connect", "nor_conv_3x3"),
    widths: Annotated[tuple[int, ...], Range(1)] = (16, 32, 64),
    repeats: Annotated[int, Range(1)] = 3,
) -> CellSpace:
    """Cells on the complete graph of ``nodes`` nodes with named ``operations``, stacked as in NAS-Bench-201: a stem,
    stages of ``repeats`` cells at each of the ``widths``, a head. More freedom: call `CellSpace` in a plug-in."""
    if len(set(operations)) < len(operations):
        raise ValueError(f"operations are distinct, not {','.join(operations)}")
    chosen = {name: OPERATIONS.get(name) for name in operations}
    choice([name for name in operations if name != NONE], tuple(OPERATIONS))
    skeleton, thin = staged(widths, repeats)
    return CellSpace(nodes, chosen, skeleton, thin=thin)
