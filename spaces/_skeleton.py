"""Counts the skeleton of a cell space, which its author has written, by running it once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.probe import Probe
from nas.space import Counts, Task
from spaces._cell import Skeleton
from spaces._counted import NotCounted, Part, Shape, unseeded


class Placeholder(nn.Module):
    """Stands for a cell: ``path`` convolutions of single pixels, one after the other; None gives zeros."""

    def __init__(self, channels: int, listener: Callable[[tuple[Placeholder, Shape]], None]) -> None:
        super().__init__()
        self.channels, self.listener = channels, listener
        self.path: int | None = 0

    def forward(self, x: Tensor) -> Tensor:
        self.listener((self, Shape(*x.shape[1:])))
        if self.path is None:
            return torch.zeros_like(x)
        for _ in range(self.path):
            x = F.conv2d(x, x.new_empty(x.shape[1], 1, 1, 1), groups=x.shape[1])
        return x


class Skeletal:
    """The network of a skeleton without its cells.

    Attributes:
        shapes: those of the inputs of the cells, in the order in which they run.

    Raises:
        NotCounted: it does not run, or does not run each of its cells once with the channels it was made for.
    """

    def __init__(self, skeleton: Skeleton, task: Task) -> None:
        met: list[tuple[Placeholder, Shape]] = []
        cells: list[Placeholder] = []

        def placeholder(channels: int) -> nn.Module:
            cells.append(Placeholder(channels, met.append))
            return cells[-1]

        try:
            self._net = unseeded(lambda: skeleton(placeholder, task))
            self._image = torch.zeros(1, task.channels, task.size, task.size)
            probe = self._probe()
            self._params, self._flops = probe.params, probe.trace.flops
        except Exception as error:  # then the network is made as a whole, and raises what is wrong
            raise NotCounted from error
        self._cells, self.shapes = [cell for cell, _ in met], [shape for _, shape in met]
        if sorted(map(id, self._cells)) != sorted(map(id, cells)) or any(c.channels != s.channels for c, s in met):
            raise NotCounted
        self._depths: dict[tuple[int | None, ...], int] = {}

    def counts(self, cells: Sequence[Part]) -> Counts:
        """The counts of the network with these cells, in the order in which they run."""
        params, flops = sum(cell.params for cell in cells), sum(cell.flops for cell in cells)
        return Counts(self._params + params, self._flops + flops, self._depth(tuple(cell.path for cell in cells)))

    def _depth(self, paths: tuple[int | None, ...]) -> int:
        if paths not in self._depths:
            for cell, path in zip(self._cells, paths, strict=True):
                cell.path = path
            self._depths[paths] = self._probe().trace.depth
        return self._depths[paths]

    def _probe(self) -> Probe:
        return Probe(self._net, self._image, torch.zeros(1))
