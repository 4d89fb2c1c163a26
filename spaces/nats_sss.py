"""The size space of NATS-Bench (Dong et al. 2021, arXiv:2009.00437)."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, final

import networkx as nx
from torch import nn

from nas.graph import chain
from nas.registry import Range
from nas.space import Arch, Counts, Space, Task, choice, space
from spaces import _counted as counting
from spaces._cell import (
    Cell,
    MixedEdge,
    Reduction,
    counted_head,
    counted_reduction,
    distinct_positive,
    head,
    initialise_by_place,
    named,
    stem,
)
from spaces._counted import Part, Shape
from spaces._ops import OPERATIONS, counted, relu_conv_bn

CELL = {
    (0, 1): "nor_conv_3x3",
    (0, 2): "nor_conv_3x3",
    (1, 2): "nor_conv_3x3",
    (0, 3): "skip_connect",
    (1, 3): "nor_conv_3x3",
    (2, 3): "nor_conv_3x3",
}
"""The cell of every network, as in NAS-Bench-201."""


@final
class NatsSizeSpace(Space):
    """Five layers (cell, residual block, cell, residual block, cell), each of a width of its own."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        self.widths = widths
        self.slots = (tuple(map(str, widths)),) * 5

    def build(self, arch: Arch, task: Task) -> nn.Module:
        widths = [self.widths[option] for (option,) in arch]
        layers: dict[str, nn.Module] = {"stem": stem(task.channels, widths[0])}
        before = widths[0]
        for number, width in enumerate(widths):
            if number in (1, 3):
                layers[f"reduction{number}"] = Reduction(before, width)
            else:
                layers[f"cell{number}"] = cell(before, width)
            before = width
        return initialise_by_place(named(layers | head(before, task.classes)))

    def counts(self, arch: Arch, task: Task) -> Counts | None:
        widths = [self.widths[option] for (option,) in arch]
        layers: list[counting.Count] = [partial(counting.convolution, outputs=widths[0], kernel=3)]
        layers += [
            partial(counted_reduction if number in (1, 3) else counted_cell, outputs=width)
            for number, width in enumerate(widths)
        ]
        layers.append(partial(counted_head, classes=task.classes))
        return counting.counts(lambda: counting.series(counting.of_image(task), layers))

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        kinds = ("cell", "residual block", "cell", "residual block", "cell")
        widths = [self.widths[option] for (option,) in arch]
        return chain([f"{kind}, {width}" for kind, width in zip(kinds, widths, strict=True)], widths)

    def text(self, arch: Arch) -> str:
        return ":".join("/".join(self.slots[0][option] for option in options) for options in arch)

    def notations(self, arch: Arch) -> dict[str, str]:
        index = 0
        for (option,) in arch:
            index = index * len(self.widths) + option
        return {"text": self.text(arch), "index": str(index)}

    def parse(self, text: str) -> Arch:
        if re.fullmatch(r"\s*(index:)?\s*[0-9]{1,9}\s*", text):
            return self._by_index(int(text.rpartition(":")[2]))
        parts = text.strip().split(":")
        if len(parts) != len(self.slots):
            raise ValueError(f"{text!r} names {len(parts)} widths: it takes {len(self.slots)}, like 8:16:24:32:64")
        return tuple(choice(part.split("/"), self.slots[0], "width") for part in parts)

    def _by_index(self, index: int) -> Arch:
        """The architecture with this index of the benchmark, in whose order the last width changes fastest."""
        if index >= self.size():
            raise ValueError(f"{index} is no index of this space: those are 0 to {self.size() - 1}")
        options = []
        for _ in self.slots:
            index, option = divmod(index, len(self.widths))
            options.append((option,))
        return tuple(reversed(options))


def cell(inputs: int, outputs: int) -> Cell:
    """The cell; where it changes the width, its skip connection is a 1 x 1 convolution with batch norm (and, alone
    among these, without ReLU)."""
    edges = {}
    for edge, name in CELL.items():
        if edge[0] > 0 or inputs == outputs:
            module = OPERATIONS[name](outputs)
        elif name == "skip_connect":
            module = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        else:
            module = relu_conv_bn(inputs, outputs, 3)
        edges[edge] = MixedEdge({name: module}, 1)
    return Cell(4, edges)


def counted_cell(x: Shape, outputs: int) -> Part:
    """`cell`, counted."""
    inner, edges = x._replace(channels=outputs), {}
    for edge, name in CELL.items():
        if edge[0] > 0 or x.channels == outputs:
            edges[edge] = counted(OPERATIONS[name], inner)
        else:
            edges[edge] = counting.convolution(x, outputs, 1 if name == "skip_connect" else 3)
    return counting.cell(x, 4, edges)


@space("nats_sss")
def nats_sss(*, widths: Annotated[tuple[int, ...], Range(1)] = (8, 16, 24, 32, 40, 48, 56, 64)) -> NatsSizeSpace:
    """Networks of five layers with one of eight widths each, written ``8:16:24:32:64``: 32,768.

    An architecture may also be given as its index in the benchmark (``5349`` or ``index:5349``).
    """
    return NatsSizeSpace(distinct_positive("widths", widths))
