"""The costs of parts of networks, counted from their shapes: a space's counts without making a network.

The counts are those of `nas.passes.counts` for the modules that the parts stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nas.graph import Edge
from nas.probe import Probe
from nas.space import Counts, Task


class Shape(NamedTuple):
    """The shape of a feature map."""

    channels: int
    height: int
    width: int


class Part(NamedTuple):
    """The counts of a part, which makes one feature map of another.

    Attributes:
        params: its parameters.
        flops: its multiply-accumulates.
        path: convolutions on the longest path through it; None where its output does not depend on its input.
        shape: that of its output.
    """

    params: int
    flops: int
    path: int | None
    shape: Shape


class NotCounted(Exception):
    """The shapes of a network do not fit, or it cannot be counted by parts: it has to be made."""


Count = Callable[[Shape], Part]
"""A part for an input of this shape."""


def measured(make: Callable[[], nn.Module], x: Shape) -> Part:
    """The counts of the module that ``make`` makes, run once on an input of this shape."""
    shapes: list[Shape] = []

    def look(module: nn.Module, inputs: object, out: Tensor) -> None:
        shapes.append(Shape(*out.shape[1:]))

    try:
        net = unseeded(make)
        net.register_forward_hook(look)
        probe = Probe(net, torch.zeros(1, *x), torch.zeros(1))
        return Part(probe.params, probe.trace.flops, probe.trace.path, shapes[0])
    except Exception as error:  # then the network is made as a whole, and raises what is wrong
        raise NotCounted from error


def unseeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A network that is made without drawing from torch's stream. It has weights: to run it without, torch would import
    its compiler, which takes seconds."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        return make()


def of_image(task: Task) -> Shape:
    return Shape(task.channels, task.size, task.size)


def counts(network: Callable[[], Part]) -> Counts | None:
    """The counts of what ``network`` returns; None where it is `NotCounted`."""
    try:
        part = network()
    except NotCounted:
        return None
    return Counts(part.params, part.flops, part.path or 0)


def same(x: Shape) -> Part:
    return Part(0, 0, 0, x)


def convolution(
    x: Shape, outputs: int, kernel: int | tuple[int, int], stride: int | tuple[int, int] = 1, *,
    padding: int | tuple[int, int] | None = None, dilation: int = 1, groups: int = 1, norm: bool = True,
) -> Part:  # fmt: skip
    """A convolution without bias, and batch norm; by default it is padded so as to keep the resolution."""
    (down, right), (high, wide) = _pair(stride), _pair(kernel)
    top, left = (dilation * (high // 2), dilation * (wide // 2)) if padding is None else _pair(padding)
    shape = Shape(outputs, _side(x.height, high, down, top, dilation), _side(x.width, wide, right, left, dilation))
    weights = outputs * (x.channels // groups) * high * wide
    return Part(weights + 2 * outputs * norm, weights * shape.height * shape.width, 1, shape)


def pooling(x: Shape, kernel: int, stride: int, padding: int = 0) -> Part:
    sides = (_side(side, kernel, stride, padding) for side in x[1:])
    return Part(0, 0, 0, Shape(x.channels, *sides))


def zeros(x: Shape, stride: int = 1) -> Part:
    """Zeros, which do not depend on the input, in the shape of every ``stride``-th pixel of it."""
    return Part(0, 0, None, Shape(x.channels, -(-x.height // stride), -(-x.width // stride)))


def pooled(x: Shape, classes: int) -> Part:
    """Global average pooling and a linear layer."""
    return Part(x.channels * classes + classes, x.channels * classes, 0, Shape(classes, 1, 1))


def series(x: Shape, parts: Iterable[Count]) -> Part:
    """Parts one after the other."""
    whole = same(x)
    for count in parts:
        whole = _after(whole, count(whole.shape))
    return whole


def _after(first: Part, second: Part) -> Part:
    path = along(first.path, second.path)
    return Part(first.params + second.params, first.flops + second.flops, path, second.shape)


def added(parts: Iterable[Part]) -> Part:
    """Parts of one input, whose outputs are added."""
    parts = list(parts)
    return together(parts, longest(part.path for part in parts), only(part.shape for part in parts))


def together(parts: Iterable[Part], path: int | None, shape: Shape) -> Part:
    parts = list(parts)
    return Part(sum(part.params for part in parts), sum(part.flops for part in parts), path, shape)


def cell(x: Shape, nodes: int, edges: Mapping[Edge, Part]) -> Part:
    """`spaces._cell.Cell`, whose ``edges`` are counted."""
    paths: list[int | None] = [0]
    for node in range(1, nodes):
        into = [(paths[source], part.path) for (source, target), part in edges.items() if target == node]
        paths.append(longest(along(a, b) for a, b in into))
    return together(edges.values(), paths[-1], only([part.shape for part in edges.values()] or [x]))


def along(first: int | None, second: int | None) -> int | None:
    """One path after another."""
    return None if first is None or second is None else first + second


def longest(paths: Iterable[int | None]) -> int | None:
    return max((path for path in paths if path is not None), default=None)


def only(shapes: Iterable[Shape]) -> Shape:
    """The shape that all of these share."""
    first, *others = set(shapes)
    if others:
        raise NotCounted
    return first


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _side(side: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    after = (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if after < 1:
        raise NotCounted
    return after
