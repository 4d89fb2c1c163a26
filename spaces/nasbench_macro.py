"""NAS-Bench-Macro (Su et al. 2021, arXiv:2103.11922)."""

from __future__ import annotations

from functools import partial
from typing import Annotated, final

import networkx as nx
from torch import Tensor, nn

from nas.graph import chain
from nas.registry import Range
from nas.space import Arch, Counts, Space, Task, space
from spaces import _counted as counting
from spaces._cell import conv_bn_relu, initialise_by_place, named, pooled
from spaces._counted import Part, Shape

LAYERS = ("identity", "MB3-k3", "MB6-k5")
"""The digits 0, 1 and 2: nothing, or an inverted bottleneck of expansion 3 or 6 and kernel 3 or 5."""
BOTTLENECKS = {"MB3-k3": (3, 3), "MB6-k5": (6, 5)}
STAGES = (2, 3, 3)
"""Layers in each stage; the first of a stage halves the resolution and doubles the width."""


class InvertedBottleneck(nn.Module):
    """MobileNetV2's: 1 x 1 to ``expansion`` times the width, depthwise, 1 x 1; with a shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, kernel: int) -> None:
        super().__init__()
        hidden = expansion * inputs
        self.body = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.shortcut else y


@final
class MacroSpace(Space):
    """Eight layers in three stages, each nothing or one of two inverted bottlenecks; a digit for each."""

    slots = (LAYERS,) * sum(STAGES)

    def __init__(self, width: int, last: int) -> None:
        self.width, self.last = width, last

    def build(self, arch: Arch, task: Task) -> nn.Module:
        width, number = self.width, 0
        layers: dict[str, nn.Module] = {"stem": conv_bn_relu(task.channels, width, 3)}
        for stage in STAGES:
            for place in range(stage):
                before, stride = width, 1 if place else 2
                width *= stride
                layers[f"layer{number}"] = layer(LAYERS[arch[number][0]], before, width, stride)
                number += 1
        layers["last"] = conv_bn_relu(width, self.last, 1)
        return initialise_by_place(named(layers | pooled(self.last, task.classes)))

    def counts(self, arch: Arch, task: Task) -> Counts | None:
        digits, width = iter(arch), self.width
        layers: list[counting.Count] = [partial(counting.convolution, outputs=width, kernel=3)]
        for stage in STAGES:
            for place in range(stage):
                width *= 1 if place else 2
                layers.append(partial(counted_layer, LAYERS[next(digits)[0]], outputs=width, stride=1 if place else 2))
        layers.append(partial(counting.convolution, outputs=self.last, kernel=1))
        layers.append(partial(counting.pooled, classes=task.classes))
        return counting.counts(lambda: counting.series(counting.of_image(task), layers))

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        widths = [self.width * 2**number for number, stage in enumerate(STAGES, start=1) for _ in range(stage)]
        return chain([LAYERS[option] for (option,) in arch], widths)

    def text(self, arch: Arch) -> str:
        return "".join(str(o[0]) if len(o) == 1 else f"[{''.join(map(str, o))}]" for o in arch)

    def parse(self, text: str) -> Arch:
        digits = text.strip()
        if len(digits) != len(self.slots) or not set(digits) <= set("012"):
            raise ValueError(f"{text!r} is not eight digits 0 (identity), 1 (MB3-k3) or 2 (MB6-k5), like 02012100")
        return tuple((int(digit),) for digit in digits)


def layer(name: str, inputs: int, outputs: int, stride: int) -> nn.Module:
    """A layer by its name; an identity that must change shapes is a 1 x 1 convolution with batch norm."""
    if name in BOTTLENECKS:
        return InvertedBottleneck(inputs, outputs, stride, *BOTTLENECKS[name])
    if stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def counted_layer(name: str, x: Shape, outputs: int, stride: int) -> Part:
    """`layer`, counted; beside a bottleneck, the shortcut is no longer path."""
    if name not in BOTTLENECKS:
        return counting.same(x) if stride == 1 else counting.convolution(x, outputs, 1, stride)
    expansion, kernel = BOTTLENECKS[name]
    hidden = expansion * x.channels
    wide = partial(counting.convolution, outputs=hidden, kernel=1)
    spatial = partial(counting.convolution, outputs=hidden, kernel=kernel, stride=stride, groups=hidden)
    return counting.series(x, [wide, spatial, partial(counting.convolution, outputs=outputs, kernel=1)])


@space("nasbench_macro")
def nasbench_macro(*, width: Annotated[int, Range(1)] = 32, last: Annotated[int, Range(1)] = 1280) -> MacroSpace:
    """Chains of eight layers, a digit each (``02012100``): 0 identity, 1 MB3-k3, 2 MB6-k5; 6,561.

    ``width`` is the stem's, doubled in each of three stages; ``last`` that of the 1 x 1 convolution before the pooling.
    """
    return MacroSpace(width, last)
