"""The operations of cell spaces, by their published names. Each keeps the number of channels and the resolution."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

Operation = Callable[[int], nn.Module]
"""channels -> a fresh module from [samples, channels, h, w] to the same shape."""


def relu_conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """ReLU, convolution without bias, batch norm, in this order (NAS-Bench-201's convolutions)."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


NONE = "none"
"""The operation that is no edge at all."""

OPERATIONS: dict[str, Operation] = {
    "skip_connect": lambda channels: nn.Identity(),
    "nor_conv_1x1": lambda channels: relu_conv_bn(channels, channels, 1),
    "nor_conv_3x3": lambda channels: relu_conv_bn(channels, channels, 3),
    "avg_pool_3x3": lambda channels: nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
    "max_pool_3x3": lambda channels: nn.MaxPool2d(3, stride=1, padding=1),
}
