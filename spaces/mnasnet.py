"""The networks of Accel-NASBench (Ahmad et al. 2024, arXiv:2404.08005): MnasNet's space for ImageNet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, final

import networkx as nx
from torch import Tensor, nn

from nas.choices import Choice, ChoiceSpace, choices, integers, one_of, repeated
from nas.graph import chain
from nas.registry import Range
from nas.space import Arch, Counts, SpaceWrapper, Task, choice, is_leaf, space
from spaces import _counted as counting
from spaces._counted import Part, Shape
from spaces._json import check_length

EXPANSIONS, KERNELS = (1, 4, 6), (3, 5)
LAYERS = (3, 3, 3, 3, 3, 4, 3)
"""The most layers of each block."""
STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""The stride of the first layer of each block."""
WIDTHS = (16, 24, 40, 80, 112, 192, 320)
BLOCK = re.compile(r"e([\d/]+)k([\d/]+)l([\d/]+)(s\??)?")
FORM = "e1k3l1 e6k3l2s e6k5l2s e6k3l3s e6k5l3s e6k5l4s e6k3l1s"
DIALECT = "anb"


class SqueezeExcite(nn.Module):
    """Scales each channel by the result of two 1 x 1 convolutions with bias on the means of all channels."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1),
            nn.Hardsigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(x)  # type: ignore[no-any-return]


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


class Layer(nn.Module):
    """An inverted bottleneck: 1 x 1 where it expands, depthwise, squeeze-and-excitation of a quarter of the inputs'
    width where asked for, 1 x 1 without activation."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, shortcut: bool, *, expansion: int, kernel: int, se: bool
    ) -> None:
        super().__init__()
        wide = expansion * inputs
        body = [*conv_bn(inputs, wide, 1), nn.ReLU()] if expansion > 1 else []
        body += [*conv_bn(wide, wide, kernel, stride, wide), nn.ReLU()]
        body += [SqueezeExcite(wide, squeezed(inputs))] if se else []
        self.body = nn.Sequential(*body, *conv_bn(wide, outputs, 1))
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.shortcut else y


def squeezed(inputs: int) -> int:
    return max(1, inputs // 4)


def block(inputs: int, outputs: int, stride: int, *, expansion: int, kernel: int, layers: int, se: bool) -> nn.Module:
    """Layers, the first of which changes the shape; the others have a shortcut."""
    layer = partial(Layer, expansion=expansion, kernel=kernel, se=se)
    return nn.Sequential(
        layer(inputs, outputs, stride, shortcut=False),
        *(layer(outputs, outputs, 1, shortcut=True) for _ in range(layers - 1)),
    )


def counted_layer(x: Shape, outputs: int, stride: int, expansion: int, kernel: int, se: bool) -> Part:
    """`Layer`, counted."""
    wide = expansion * x.channels
    hidden = squeezed(x.channels)
    parts: list[counting.Count] = []
    if expansion > 1:
        parts.append(partial(counting.convolution, outputs=wide, kernel=1))
    parts.append(partial(counting.convolution, outputs=wide, kernel=kernel, stride=stride, groups=wide))
    if se:
        parts.append(lambda y: Part(2 * wide * hidden + hidden + wide, 2 * wide * hidden, 2, y))
    return counting.series(x, [*parts, partial(counting.convolution, outputs=outputs, kernel=1)])


@final
class MnasNetSpace(SpaceWrapper):
    """Seven blocks, each of an expansion, a kernel, a number of layers, with or without squeeze-and-excitation."""

    def __init__(self, widths: tuple[int, ...], stem: int, last: int) -> None:
        if len(widths) != len(LAYERS):
            raise ValueError(f"widths are those of the {len(LAYERS)} blocks, not {','.join(map(str, widths))}")
        self.widths, self.stem, self.last = widths, stem, last
        blocks = [
            repeated(1, expansion=one_of(*EXPANSIONS), kernel=one_of(*KERNELS), layers=integers(1, most),
                     se=one_of(False, True))
            for most in LAYERS
        ]  # fmt: skip
        declared = choices(**{f"block{number}": one for number, one in enumerate(blocks, start=1)})
        super().__init__(ChoiceSpace(declared, self._network, supernet=True))

    def _network(self, chosen: Choice, task: Task) -> nn.Module:
        layers = [*conv_bn(task.channels, self.stem, 3, 2), nn.ReLU()]
        for number, (inputs, outputs, stride) in enumerate(self._shapes(), start=1):
            (own,) = getattr(chosen, f"block{number}")
            layers.append(own.mixed(partial(block, inputs, outputs, stride)))
        layers += [*conv_bn(self.widths[-1], self.last, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(self.last, task.classes))

    def _shapes(self) -> Iterator[tuple[int, int, int]]:
        return zip((self.stem, *self.widths), self.widths, STRIDES, strict=False)

    def counts(self, arch: Arch, task: Task) -> Counts | None:
        if any(len(options) > 1 for options in arch):
            return None
        parts: list[counting.Count] = [partial(counting.convolution, outputs=self.stem, kernel=3, stride=2)]
        for (_, outputs, first), (e, k, layers, se) in zip(self._shapes(), self._values(arch), strict=True):
            for stride in [first] + [1] * (layers - 1):
                parts.append(partial(counted_layer, outputs=outputs, stride=stride, expansion=e, kernel=k, se=se))
        parts.append(partial(counting.convolution, outputs=self.last, kernel=1))
        parts.append(partial(counting.pooled, classes=task.classes))
        return counting.counts(lambda: counting.series(counting.of_image(task), parts))

    def _values(self, arch: Arch) -> list[tuple[int, int, int, bool]]:
        """Expansion, kernel, layers and squeeze-and-excitation of each block."""
        blocks = [arch[start : start + 4] for start in range(0, len(arch), 4)]
        return [(EXPANSIONS[e], KERNELS[k], layers + 1, bool(se)) for ((e,), (k,), (layers,), (se,)) in blocks]

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        if not is_leaf(arch):
            return chain(self.text(arch).split(), self.widths)
        layers = [
            f"MB{e}, {k}x{k}{' SE' * se}; {layers} layer{'s' * (layers > 1)}" for e, k, layers, se in self._values(arch)
        ]
        return chain(layers, self.widths)

    def text(self, arch: Arch) -> str:
        return " ".join(_written(arch[start : start + 4], start // 4) for start in range(0, len(arch), 4))

    def parse(self, text: str) -> Arch:
        check_length(text, FORM)
        dialect, colon, rest = text.strip().partition(":")
        if colon and dialect == DIALECT:
            return self.parse(_of_lists(rest))
        blocks = text.split()
        if len(blocks) != len(LAYERS):
            raise ValueError(f"{text[:200]!r} has {len(blocks)} blocks, not the {len(LAYERS)} of one like {FORM}")
        return tuple(options for number, one in enumerate(blocks) for options in _read(one, number))

    def notations(self, arch: Arch) -> dict[str, str]:
        lists = [list(values) for values in zip(*self._values(arch), strict=True)]
        return {"text": self.text(arch), DIALECT: json.dumps([*lists[:3], [int(se) for se in lists[3]]])}


def _written(options: Arch, number: int) -> str:
    """A block: ``e6k3l2s``; with several options ``e4/6k3l1/2s?``."""
    columns = [EXPANSIONS, KERNELS, range(1, LAYERS[number] + 1)]
    e, k, layers = (
        "/".join(str(values[option]) for option in alive) for values, alive in zip(columns, options[:3], strict=True)
    )
    return f"e{e}k{k}l{layers}{'s?' if len(options[3]) > 1 else 's' * options[3][0]}"


def _read(text: str, number: int) -> Arch:
    match = BLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f"block {number + 1}, {text!r}, is not like e6k3l2 or e6k3l2s")
    named = zip(("expansion", "kernel", "number of layers"), match.groups()[:3], strict=True)
    columns = [EXPANSIONS, KERNELS, range(1, LAYERS[number] + 1)]
    options = []
    for (kind, names), values in zip(named, columns, strict=True):
        parts = names.split("/")
        if len(set(parts)) < len(parts):
            raise ValueError(f"block {number + 1}, {text!r}, names an option twice")
        options.append(choice(parts, tuple(map(str, values)), f"{kind} of block {number + 1}"))
    return (*options, {None: (0,), "s": (1,), "s?": (0, 1)}[match[4]])


def _of_lists(text: str) -> str:
    """The notation of ``[[e…],[k…],[l…],[se…]]``."""
    form = "[[1,6,6,6,6,6,6],[3,3,5,3,5,5,3],[1,2,2,3,3,4,1],[1,1,1,1,1,1,1]]"
    try:
        parts: Any = json.loads(text)
    except (ValueError, RecursionError):
        parts = None
    lists = parts if isinstance(parts, list) and len(parts) == 4 else []
    if not lists or any(not isinstance(one, list) or len(one) != len(LAYERS) for one in lists):
        raise ValueError(f"{DIALECT}:{text[:200]} is not four lists of {len(LAYERS)} numbers like {DIALECT}:{form}")
    if any(type(value) is not int for one in lists for value in one) or not set(lists[3]) <= {0, 1}:
        raise ValueError(
            f"{DIALECT}:{text[:200]} has entries that are no whole numbers, or squeezes neither 0 nor 1 times"
        )
    return " ".join(f"e{e}k{k}l{layers}{'s' * se}" for e, k, layers, se in zip(*lists, strict=True))


@space("mnasnet")
def mnasnet(
    *,
    widths: Annotated[tuple[int, ...], Range(1)] = WIDTHS,
    stem: Annotated[int, Range(1)] = 32,
    last: Annotated[int, Range(1)] = 1280,
) -> MnasNetSpace:
    """MnasNets of seven blocks, written ``e6k3l2s``: expansion, kernel, layers, squeeze-and-excitation; 10^11.

    ``anb:[[e…],[k…],[l…],[se…]]`` is read as well. Trained networks have 1,000 classes and see ImageNet; stochastic
    depth is left out. ``widths`` are those of the blocks, ``last`` that of the 1 x 1 convolution before the pooling.
    """
    return MnasNetSpace(widths, stem, last)
