"""The cells of TransNAS-Bench-101 (Duan et al. 2021, arXiv:2105.11871)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial, reduce
from operator import add
from typing import Annotated, Any, Literal, final

import networkx as nx
import torch
from torch import Tensor, nn

from nas.graph import Edge, alive
from nas.registry import Range
from nas.space import Arch, Counts, Space, Task, is_leaf, space
from spaces import _counted as counting
from spaces._cell import MixedEdge, initialise_by_place, named, pooled
from spaces._counted import Part, Shape
from spaces._ops import FactorizedReduce, relu_conv_bn

OPERATIONS = ("none", "skip", "conv_1x1", "conv_3x3")
NONE, SKIP = 0, 1
KERNELS = {"conv_1x1": 1, "conv_3x3": 3}
NODES = 4
EDGES = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
SWAPPED = (1, 0, 2, 3, 5, 4)
"""The slots after swapping nodes 1 and 2, where no edge joins them."""
MODULES = {"1": (1, 1), "2": (2, 1), "3": (1, 2), "4": (2, 2)}
"""For each digit, the ratio of a module's width to that of the one before, and its stride."""
CELLS = 2
"""Cells of each module; the first one changes the shape."""
TILES = 3
"""Tiles a side of the jigsaw puzzle."""
TEXT = re.compile(r"(\d+)-(\d+)-([^-_]+)_([^-_]+)_([^-_]+)")
OPTIONS = re.compile(r"\[([0-3]+)\]|([0-3])")
DIALECT = "tuple"


class Zeros(nn.Module):
    """Zeros in the shape of the other operations' outputs."""

    def __init__(self, outputs: int, stride: int) -> None:
        super().__init__()
        self.outputs, self.stride = outputs, stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :1, :: self.stride, :: self.stride]).repeat(1, self.outputs, 1, 1)


def operation(name: str, inputs: int, outputs: int, stride: int) -> nn.Module:
    if name in KERNELS:
        return relu_conv_bn(inputs, outputs, KERNELS[name], stride)
    if name == "none":
        return Zeros(outputs, stride)
    if stride == 2:
        return FactorizedReduce(inputs, outputs)
    return nn.Identity() if inputs == outputs else relu_conv_bn(inputs, outputs, 1)


def counted_operation(name: str, x: Shape, outputs: int, stride: int) -> Part:
    """`operation`, counted."""
    if name == "none":
        return counting.zeros(x._replace(channels=outputs), stride)
    if name == "skip" and (stride, x.channels) == (1, outputs):
        return counting.same(x)
    return counting.convolution(x, outputs, KERNELS.get(name, 1), stride)


class Cell(nn.Module):
    """Node 0 is the input; every other node is the sum of its incoming edges. Those from node 0 change the shape."""

    def __init__(self, edges: Mapping[Edge, nn.Module]) -> None:
        super().__init__()
        self.edges = nn.ModuleDict({f"{i}-{j}": edge for (i, j), edge in edges.items()})

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for node in range(1, 4):
            terms: list[Tensor] = [self.edges[f"{source}-{node}"](values[source]) for source in range(node)]
            values.append(reduce(add, terms))
        return values[-1]


class Jigsaw(nn.Module):
    """Nine tiles of each image through one network, and a linear layer on all their features."""

    def __init__(self, tile: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.tile = tile
        self.classifier = nn.Linear(TILES**2 * features, classes)

    def forward(self, x: Tensor) -> Tensor:
        tiles = [part for rows in x.chunk(3, 2) for part in rows.chunk(3, 3)]
        return self.classifier(torch.cat([self.tile(tile) for tile in tiles], 1))  # type: ignore[no-any-return]


@final
class TransNasSpace(Space):
    """Cells of four nodes with one of four operations on each edge, in modules that change width and resolution.

    In a module's first cell the three edges from the input carry the change of shape: a skip there has weights, one
    between other nodes has none.
    """

    supernet = True
    slots = (OPERATIONS,) * len(EDGES)

    def __init__(self, width: int, macro: str, head: str) -> None:
        if not re.fullmatch("[1-4]+", macro):
            raise ValueError(f"macro is a digit for each module, 1 to 4, like 41414, not {macro!r}")
        self.width, self.macro, self.head = width, macro, head

    def build(self, arch: Arch, task: Task) -> nn.Module:
        if self.head == "jigsaw" and task.size % TILES:
            raise ValueError(f"a jigsaw puzzle takes images of {TILES} equal tiles a side, not of {task.size} pixels")
        layers: dict[str, nn.Module] = {"stem": _stem(task.channels, self.width)}
        for name, inputs, outputs, stride in self._cells():
            layers[name] = self._cell(arch, inputs, outputs, stride)
        width = list(self._cells())[-1][2]
        if self.head == "pooled":
            return initialise_by_place(named(layers | pooled(width, task.classes)))
        tile = named(layers | {"pool": pooled(width, 1)["pool"]})
        return initialise_by_place(Jigsaw(tile, width, task.classes))

    def _cells(self) -> list[tuple[str, int, int, int]]:
        """Name, inputs, outputs and stride of each."""
        cells, width = [], self.width
        for module, digit in enumerate(self.macro):
            widening, stride = MODULES[digit]
            cells.append((f"module{module}-0", width, widening * width, stride))
            width *= widening
            cells += [(f"module{module}-{number}", width, width, 1) for number in range(1, CELLS)]
        return cells

    def _cell(self, arch: Arch, inputs: int, outputs: int, stride: int) -> Cell:
        edges = {}
        for (i, j), options in zip(EDGES, arch, strict=True):
            shape = (inputs, outputs, stride) if i == 0 else (outputs, outputs, 1)
            modules = {OPERATIONS[option]: operation(OPERATIONS[option], *shape) for option in options}
            edges[i, j] = MixedEdge(modules, len(options))
        return Cell(edges)

    def counts(self, arch: Arch, task: Task) -> Counts | None:
        if not is_leaf(arch) or self.head != "pooled":
            return None
        parts: list[counting.Count] = [
            partial(counting.convolution, outputs=self.width // 2, kernel=3, stride=2),
            partial(counting.convolution, outputs=self.width, kernel=3, stride=2),
        ]
        parts += [
            partial(_counted_cell, arch, outputs=outputs, stride=stride) for _, _, outputs, stride in self._cells()
        ]
        parts.append(partial(counting.pooled, classes=task.classes))
        return counting.counts(lambda: counting.series(counting.of_image(task), parts))

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        cell: nx.DiGraph[int] = nx.DiGraph()
        cell.add_nodes_from(range(NODES))
        for (i, j), options in zip(EDGES, arch, strict=True):
            if options != (NONE,):
                cell.add_edge(i, j, op="/".join(OPERATIONS[option] for option in options))
        return cell

    def canonical(self, arch: Arch) -> Arch:
        """Skips without weights that are on no path from input to output are removed; of two orders of nodes 1 and 2,
        the first is taken."""
        if not is_leaf(arch):
            return arch
        options = [option for (option,) in arch]
        living = alive([edge for edge, option in zip(EDGES, options, strict=True) if option != NONE], NODES)
        changes_shape = any(digit != "1" for digit in self.macro)
        for slot, edge in enumerate(EDGES):
            if options[slot] == SKIP and not living.issuperset(edge) and not (edge[0] == 0 and changes_shape):
                options[slot] = NONE
        orders = [options] if options[2] != NONE else [options, [options[slot] for slot in SWAPPED]]
        return tuple((option,) for option in min(orders))

    def text(self, arch: Arch) -> str:
        digits = ["".join(map(str, o)) for o in arch]
        written = [one if len(one) == 1 else f"[{one}]" for one in digits]
        groups = "_".join(("".join(written[:1]), "".join(written[1:3]), "".join(written[3:])))
        return f"{self.width}-{self.macro}-{groups}"

    def parse(self, text: str) -> Arch:
        dialect, colon, rest = text.strip().partition(":")
        if colon and dialect == DIALECT:
            return _of_tuple(rest)
        form = f"{self.width}-{self.macro}-1_02_333"
        match = TEXT.fullmatch(text.strip()[:1000])
        if match is None:
            raise ValueError(
                f"{text[:200]!r} is not like {form}: width, modules, and the digits of edges into each node"
            )
        if (match[1], match[2]) != (str(self.width), self.macro):
            raise ValueError(
                f"{text[:200]!r} has the width {match[1]} and the modules {match[2]}, this space {self.width} and "
                f"{self.macro}: see its options width and macro"
            )
        slots: list[tuple[int, ...]] = []
        for node, group in enumerate(match.groups()[2:], start=1):
            matches = OPTIONS.findall(group)
            if len(matches) != node or OPTIONS.sub("", group):
                raise ValueError(f"{group!r} in {text[:200]!r} is not {node} digits from 0 to 3, like {form}")
            slots += [tuple(map(int, several or one)) for several, one in matches]
        if any(sorted(set(options)) != list(options) for options in slots):
            raise ValueError(f"{text[:200]!r} has options that are not each named once and in order, as in [013]")
        return tuple(slots)

    def notations(self, arch: Arch) -> dict[str, str]:
        return {"text": self.text(arch), DIALECT: str(tuple(option for (option,) in arch))}


def _stem(channels: int, width: int) -> nn.Module:
    first = [nn.Conv2d(channels, width // 2, 3, 2, 1, bias=False), nn.BatchNorm2d(width // 2), nn.ReLU()]
    return nn.Sequential(*first, nn.Conv2d(width // 2, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width))


def _counted_cell(arch: Arch, x: Shape, *, outputs: int, stride: int) -> Part:
    inner = counting.zeros(x._replace(channels=outputs), stride).shape
    edges = {}
    for (i, j), (option,) in zip(EDGES, arch, strict=True):
        shape = (x, outputs, stride) if i == 0 else (inner, outputs, 1)
        edges[i, j] = counted_operation(OPERATIONS[option], *shape)
    return counting.cell(x, NODES, edges)


def _of_tuple(text: str) -> Arch:
    form = "(1, 0, 2, 3, 3, 3)"
    try:
        options: Any = json.loads(re.sub(r"^\((.*)\)$", r"[\1]", text.strip()[:1000]))
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, list) or len(options) != len(EDGES) or any(type(o) is not int for o in options):
        raise ValueError(f"{DIALECT}:{text[:200]} is not {len(EDGES)} whole numbers like {DIALECT}:{form}")
    if not set(options) <= set(range(len(OPERATIONS))):
        raise ValueError(f"{DIALECT}:{text[:200]} has other numbers than 0 (none), 1 (skip), 2 (1x1) and 3 (3x3)")
    return tuple((option,) for option in options)


@space("transnas_micro")
def transnas_micro(
    *,
    width: Annotated[int, Range(2)] = 64,
    macro: str = "41414",
    head: Literal["pooled", "jigsaw"] = "pooled",
) -> TransNasSpace:
    """Cells of four nodes with none, skip, 1x1 or 3x3 on each edge, as TransNAS-Bench-101 stacks them: 4,096.

    Written ``64-41414-1_02_333``: width, a digit for each module of two cells (1 same shape, 2 twice the width, 3 half
    the resolution, 4 both), then the operations of the edges into each node; ``tuple:(1, 0, 2, 3, 3, 3)`` is read too.
    Scenes have 63 classes and objects 100; with ``head=jigsaw`` nine tiles of each image go through one network, for
    1,000 permutations. There are no decoders for dense tasks: take the backbone with its linear head.
    """
    return TransNasSpace(width, macro, head)
