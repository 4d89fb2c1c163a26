"""The operations of cell spaces, by their published names.

Each keeps the number of channels; with stride 1 it keeps the resolution, with stride 2 it halves it (rounded up).
Convolutions have no bias and are followed by batch norm.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spaces._counted import Part, Shape, convolution, measured

Operation = Callable[..., nn.Module]
"""(channels) or (channels, stride) -> a fresh module from [samples, channels, h, w] to the same shape, or to half of h
and w where the stride is 2."""

NONE = "none"
"""The operation that stands for no edge."""


def relu_conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """ReLU, convolution, batch norm, in this order."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


def separable(channels: int, kernel: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    """ReLU, a depthwise and a pointwise convolution, batch norm."""
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    ]


def separable_twice(channels: int, kernel: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """Two separable convolutions, the stride in the first."""
    return nn.Sequential(*separable(channels, kernel, stride, dilation), *separable(channels, kernel, 1, dilation))


def factorised(channels: int, kernel: int, stride: int) -> nn.Sequential:
    """ReLU, a 1 x k and a k x 1 convolution, batch norm."""
    padding = kernel // 2
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, kernel), (1, stride), (0, padding), bias=False),
        nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (padding, 0), bias=False),
        nn.BatchNorm2d(channels),
    )


class FactorizedReduce(nn.Module):
    """ReLU, two 1 x 1 convolutions of stride 2 that see the even and the odd pixels, batch norm of both together."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))  # type: ignore[no-any-return]


class Zero(nn.Module):
    """Zeros in the right shape."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


def average(channels: int, kernel: int, stride: int) -> nn.Module:
    return nn.AvgPool2d(kernel, stride, kernel // 2, count_include_pad=False)


def maximum(channels: int, kernel: int, stride: int) -> nn.Module:
    return nn.MaxPool2d(kernel, stride, kernel // 2)


def skip_connect(channels: int, stride: int = 1) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)


def _published(make: Callable[..., nn.Module], *settings: int) -> Operation:
    """``make(channels, kernel, stride, dilation)`` as an operation; ``settings`` are the kernel and the dilation."""
    return partial(_sized, make, settings)


def _sized(make: Callable[..., nn.Module], settings: tuple[int, ...], channels: int, stride: int = 1) -> nn.Module:
    kernel, *dilation = settings
    return make(channels, kernel, stride, *dilation)


def _convolution(channels: int, kernel: int, stride: int) -> nn.Module:
    return relu_conv_bn(channels, channels, kernel, stride)


def _dilated(channels: int, kernel: int, stride: int, dilation: int) -> nn.Module:
    return nn.Sequential(*separable(channels, kernel, stride, dilation))


OPERATIONS: dict[str, Operation] = {
    "skip_connect": skip_connect,
    "nor_conv_1x1": _published(_convolution, 1),
    "nor_conv_3x3": _published(_convolution, 3),
    "avg_pool_3x3": _published(average, 3),
    "max_pool_3x3": _published(maximum, 3),
    "max_pool_5x5": _published(maximum, 5),
    "max_pool_7x7": _published(maximum, 7),
    "conv_1x1": _published(_convolution, 1),
    "conv_3x3": _published(_convolution, 3),
    "conv_3x1_1x3": _published(factorised, 3),
    "conv_7x1_1x7": _published(factorised, 7),
    "sep_conv_3x3": _published(separable_twice, 3),
    "sep_conv_5x5": _published(separable_twice, 5),
    "sep_conv_7x7": _published(separable_twice, 7),
    "dil_conv_3x3": _published(_dilated, 3, 2),
    "dil_conv_5x5": _published(_dilated, 5, 2),
    "dil_sep_conv_3x3": _published(separable_twice, 3, 2),
}
"""NAS-Bench-201's ``nor_conv_1x1`` and ``nor_conv_3x3`` are what the others call ``conv_1x1`` and ``conv_3x3``."""


def counted_reduction(x: Shape, outputs: int) -> Part:
    """`FactorizedReduce`, whose two halves cost what one convolution does."""
    return convolution(x, outputs, 1, 2)


@cache
def counted(operation: Operation, x: Shape, stride: int = 1) -> Part:
    """One of the `OPERATIONS`, counted once for each shape."""
    return measured(partial(operation, x.channels, stride), x)
