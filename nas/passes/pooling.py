"""Pooling with overlapping windows on a CPU, to the same numbers as torch's functions but for rounding, several times
faster.

Torch's kernels for feature maps whose channels are not their last dimension visit each window by itself: forward and
backward, 3 x 3 pooling of 16 channels of 32 x 32 pixels takes four times as long as a 3 x 3 convolution, and three to
six times as long as here (`python -m benchmarks.pooling`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import debug_unwrap
from torch.nn import functional as F

from nas.passes.layers import pair

MAX_PIXELS = 128
"""The largest height or width of which averages are products: twice as fast there, no faster at 224."""


def average_pooling(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """`torch.nn.functional.avg_pool2d`: the sums over rows and over columns are a product with a matrix each. Products
    spread what is not finite beyond its windows, so such feature maps, as large ones, are left to torch."""
    small = divisor_override is None and _overlapping(x, kernel_size, stride) and max(x.shape[2:]) <= MAX_PIXELS
    if small and x.detach().sum().isfinite():
        sizes = zip(x.shape[2:], pair(kernel_size), pair(stride or kernel_size), pair(padding), strict=True)
        (rows, of_rows), (columns, of_columns) = (
            _windows(*size, ceil_mode, count_include_pad, x.dtype) for size in sizes
        )  # fmt: skip
        if len(rows) > 1 < len(columns):  # else a step between the two might be taken for a feature map
            return rows @ (x @ columns.T) / (of_rows[:, None] * of_columns)
    return F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _windows(
    pixels: int, kernel: int, stride: int, padding: int, ceil_mode: bool, count_include_pad: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Which pixels each window holds, [windows, pixels] of 0 and 1, and by how much its sum is divided, [windows]."""
    pixel = torch.eye(pixels, dtype=dtype, device="cpu")
    means = F.avg_pool1d(pixel, kernel, stride, padding, ceil_mode, count_include_pad).T
    divisors = (1 / means.amax(1)).round()
    return (means * divisors[:, None]).round(), divisors


def max_pooling(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """`torch.nn.functional.max_pool2d`, by the kernel for channels that are the last dimension."""
    geometry = (kernel_size, stride, padding, dilation, ceil_mode)
    if return_indices:
        return F.max_pool2d(x, *geometry, return_indices=True)
    if not _overlapping(x, kernel_size, stride):
        return F.max_pool2d(x, *geometry)
    return F.max_pool2d(x.contiguous(memory_format=torch.channels_last), *geometry).contiguous()


def _overlapping(x: Tensor, kernel_size: Any, stride: Any) -> bool:
    """Whether the windows overlap, of feature maps [samples, channels, height, width] on a CPU, in their precision,
    which no function of `torch.func` maps or differentiates."""
    return (
        debug_unwrap(x) is x
        and x.ndim == 4
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and any(step < size for step, size in zip(pair(stride or kernel_size), pair(kernel_size), strict=True))
    )


POOLINGS: dict[Callable[..., Any], Callable[..., Any]] = {F.avg_pool2d: average_pooling, F.max_pool2d: max_pooling}
