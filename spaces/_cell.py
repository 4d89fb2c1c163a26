"""Makes a module of a cell graph, and a network of cells."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from operator import add
from typing import TypeVar
from zlib import crc32

import torch
from torch import Tensor, nn

from nas.graph import Edge
from nas.space import Task
from spaces import _counted as counting
from spaces._counted import Part, Shape
from spaces._ops import relu_conv_bn

MakeCell = Callable[[int], nn.Module]
"""channels -> a fresh cell, from [samples, channels, h, w] to the same shape."""
Skeleton = Callable[[MakeCell, Task], nn.Module]
"""(function that makes a cell, task) -> a network."""


class MixedEdge(nn.ModuleDict):
    """The mean of the operations that are alive on one edge; an edge with ``none`` alive counts it as zero."""

    def __init__(self, operations: Mapping[str, nn.Module], options: int) -> None:
        super().__init__(operations)
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = reduce(
            add, (operation(x) for operation in self.values())
        )  # `sum` would add each first one to 0
        return total if self.options == 1 else total / self.options


class Cell(nn.Module):
    """Node 0 is the input; every other node is the sum of its incoming edges, or zero without any; the last one is
    the output."""

    def __init__(self, nodes: int, edges: Mapping[Edge, MixedEdge]) -> None:
        super().__init__()
        self.incoming = [[i for i, j in edges if j == node] for node in range(nodes)]
        self.edges = nn.ModuleDict({f"{i}-{j}": edge for (i, j), edge in edges.items()})

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for node, sources in enumerate(self.incoming[1:], start=1):
            terms = [self.edges[f"{source}-{node}"](values[source]) for source in sources]
            values.append(reduce(add, terms) if terms else torch.zeros_like(x))
        return values[-1]


class Reduction(nn.Module):
    """NAS-Bench-201's residual block of stride 2 between stages: two 3 x 3 convolutions, and as shortcut a 2 x 2
    average pooling and a 1 x 1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = relu_conv_bn(inputs, outputs, 3, stride=2)
        self.second = relu_conv_bn(outputs, outputs, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.second(self.first(x))  # type: ignore[no-any-return]


def counted_reduction(x: Shape, outputs: int) -> Part:
    """`Reduction`, counted."""
    first, second = (partial(counting.convolution, outputs=outputs, kernel=3, stride=stride) for stride in (2, 1))
    shortcut = partial(counting.convolution, outputs=outputs, kernel=1, norm=False)
    return counting.added(
        [
            counting.series(x, [first, second]),
            counting.series(x, [partial(counting.pooling, kernel=2, stride=2), shortcut]),
        ]
    )


Number = TypeVar("Number", int, float)


def distinct_positive(name: str, values: Sequence[Number]) -> tuple[Number, ...]:
    """``values``; `ValueError` unless they are distinct and larger than 0."""
    if len(set(values)) < len(values) or not values or min(values) <= 0:
        raise ValueError(f"{name} are distinct and larger than 0, not {','.join(map(str, values))}")
    return tuple(values)


def conv_bn_relu(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU, in this order; with stride 1 it keeps the resolution."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def stem(channels: int, width: int) -> nn.Module:
    """A 3 x 3 convolution of the images, and batch norm."""
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))


def pooled(width: int, classes: int) -> dict[str, nn.Module]:
    """Global average pooling and a linear layer."""
    return {"pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "classifier": nn.Linear(width, classes)}


def head(width: int, classes: int) -> dict[str, nn.Module]:
    """NAS-Bench-201's last layers: batch norm, ReLU, global average pooling and a linear layer."""
    return {"norm": nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())} | pooled(width, classes)


def counted_head(x: Shape, classes: int) -> Part:
    """`head`, counted."""
    linear = counting.pooled(x, classes)
    return linear._replace(params=linear.params + 2 * x.channels)


def named(layers: Mapping[str, nn.Module]) -> nn.Sequential:
    """The layers, one after the other, under their names."""
    return nn.Sequential(OrderedDict(layers))


def stages(cell: MakeCell, task: Task, *, widths: Sequence[int], repeats: int, with_stem: bool = True) -> nn.Module:
    """NAS-Bench-201's skeleton: a 3 x 3 stem convolution, stages of ``repeats`` cells at each of the ``widths`` with a
    `Reduction` between them, then batch norm, ReLU, global average pooling and a linear layer. Without a stem the
    first width is the number of the images' channels."""
    layers: dict[str, nn.Module] = {"stem": stem(task.channels, widths[0])} if with_stem else {}
    for stage, width in enumerate(widths):
        if stage:
            layers[f"reduction{stage}"] = Reduction(widths[stage - 1], width)
        for repeat in range(repeats):
            layers[f"cell{stage}-{repeat}"] = cell(width)
    return named(layers | head(widths[-1], task.classes))


def initialise_by_place(net: nn.Module) -> nn.Module:
    """Draws the weights of all convolutions and linear layers again, from PyTorch's default distributions, each from a
    stream of its own; except in modules made by `drawn_by_place`, which keep their author's initialisation.

    The stream depends only on the layer's place in the network and on torch's current seed, so a supernet and the rest
    of it after a cut, or two cells that share an operation, have the same weights where they are the same.
    """
    if any(parameter.is_meta for parameter in net.parameters()):
        return net
    seed = torch.initial_seed()
    placed = {inner for module in net.modules() if hasattr(module, PLACED) for inner in module.modules()}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module not in placed:  # batch norm draws nothing
            torch.default_generator.manual_seed(seed ^ crc32(name.encode()))
            module.reset_parameters()
    torch.default_generator.manual_seed(seed)
    return net


PLACED = "drawn_by_place"
"""Marks a module whose weights were drawn when it was made, from the stream of its place."""


def drawn_by_place(make: Callable[[int], nn.Module], channels: int, where: str) -> nn.Module:
    """``make(channels)`` with random numbers that depend on torch's current seed and on ``where`` alone."""
    seed = torch.initial_seed()
    torch.default_generator.manual_seed(seed ^ crc32(where.encode()))
    module = make(channels)
    torch.default_generator.manual_seed(seed)
    setattr(module, PLACED, True)
    return module
