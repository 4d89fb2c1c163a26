"""One linear layer or convolution: its arguments, and its per-sample weight gradients from its input and its output's
gradient.

The gradients take ``rows``, the wanted output channels: nothing is computed for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Geometry = tuple[list[int], list[int], list[int], int]
"""Stride, padding, dilation and groups of a convolution."""


def pair(value: Any) -> list[int]:
    """Height and width of an argument that a convolution takes as one number, as a sequence of one, or as both."""
    return [value, value] if isinstance(value, int) else list(value) * (2 // len(value))


def same_padding(weight: Tensor, dilation: Sequence[int]) -> list[int]:
    """The padding that ``same`` adds: left, right, top, bottom."""
    height, width = (d * (kernel - 1) for d, kernel in zip(dilation, weight.shape[2:], strict=True))
    return [width // 2, width - width // 2, height // 2, height - height // 2]


def own_weight(layer: nn.Conv2d | nn.Linear, name: str) -> nn.Parameter:
    """The layer's weight. `ValueError` where it is computed from others, as by weight normalisation."""
    weight = layer._parameters.get("weight")  # the attribute itself would be computed
    if weight is None:
        raise ValueError(f"the weight of {name or 'the network'} is computed from other parameters")
    return weight


def seen_by_first_entry(
    x: Tensor, weight: Tensor, out: Sequence[int], stride: Any, padding: Any, dilation: Any
) -> Tensor:
    """The inputs that a convolution multiplies by its weight's entry [0, 0, 0, 0], one for each pixel of the output.

    Args:
        x: the input, [samples, in, height, width].
        out: the shape of the output, [samples, out, height', width'].

    Returns:
        [samples, height', width']
    """
    (down, right), (height, width) = pair(stride), out[2:]
    if padding == "same":
        left, _, top, _ = same_padding(weight, pair(dilation))
    else:
        top, left = [0, 0] if padding == "valid" else pair(padding)
    rows, columns = (height - 1) * down + 1, (width - 1) * right + 1  # from the first to the last that is seen
    below, beside = (max(0, rows - top - x.shape[2]), max(0, columns - left - x.shape[3]))
    return F.pad(x[:, 0], (left, beside, top, below))[:, :rows:down, :columns:right]


def linear_gradients(x: Tensor, delta: Tensor, rows: slice) -> Tensor:
    """The weight gradient of a linear layer for each sample: [samples, rows, in].

    Args:
        x: the input, [samples, …, in].
        delta: the gradient of the output, [samples, …, out].
    """
    delta = delta[..., rows]
    return delta.reshape(len(x), -1, delta.shape[-1]).transpose(1, 2) @ x.reshape(len(x), -1, x.shape[-1])


def convolution_gradients(x: Tensor, weight: Tensor, delta: Tensor, geometry: Geometry, rows: slice) -> Tensor:
    """The weight gradient of a convolution for each sample: [samples, rows, in / groups, height, width].

    A kernel of one pixel is a batched matrix product. Otherwise, on a CPU, the samples become groups of one grouped
    convolution, whose weight gradient costs about as much as the ordinary one; elsewhere the input is unfolded and
    multiplied in batches, for which GPUs are built.

    Args:
        x: the input, [samples, in, height, width].
        delta: the gradient of the output, [samples, out, height', width'].
        rows: all of the weight's, or some within one group.
    """
    if rows.stop - rows.start < len(weight):
        stride, padding, dilation, groups = geometry
        group = rows.start * groups // len(weight)
        x = x[:, group * weight.shape[1] : (group + 1) * weight.shape[1]]
        weight, delta, geometry = weight[rows], delta[:, rows], (stride, padding, dilation, 1)
    if weight.shape[2:] == (1, 1) and geometry[1] == [0, 0] and geometry[3] == 1:
        return by_product(x, weight, delta, geometry)
    return (by_grouping if x.device.type == "cpu" else by_unfolding)(x, weight, delta, geometry)


def by_product(x: Tensor, weight: Tensor, delta: Tensor, geometry: Geometry) -> Tensor:
    """The gradients of a 1 x 1 convolution without padding and groups."""
    height, width = geometry[0]
    x = x[:, :, ::height, ::width]
    return (delta.flatten(2) @ x.flatten(2).transpose(1, 2)).reshape(len(x), *weight.shape)


def by_grouping(x: Tensor, weight: Tensor, delta: Tensor, geometry: Geometry) -> Tensor:
    """The gradients by one grouped convolution in which each sample is a group."""
    stride, padding, dilation, groups = geometry
    shape = (len(x), *weight.shape)
    _, gradients, _ = torch.ops.aten.convolution_backward(
        delta.reshape(1, -1, *delta.shape[2:]),
        x.reshape(1, -1, *x.shape[2:]),
        x.new_empty(shape[0] * shape[1], *shape[2:]),  # only its shape is used; expanded from one number it is copied
        None, stride, padding, dilation, False, [0, 0], groups * len(x), [False, True, False],
    )  # fmt: skip
    return gradients.reshape(shape)  # type: ignore[no-any-return]


def by_unfolding(x: Tensor, weight: Tensor, delta: Tensor, geometry: Geometry) -> Tensor:
    """The gradients by the product of the output's gradient with the input's patches."""
    stride, padding, dilation, groups = geometry
    columns = F.unfold(x, weight.shape[2:], tuple(dilation), tuple(padding), tuple(stride))
    columns = columns.reshape(len(x) * groups, -1, columns.shape[-1])  # [samples * groups, …, positions]
    rows = delta.reshape(len(x) * groups, len(weight) // groups, -1)
    return (rows @ columns.transpose(1, 2)).reshape(len(x), *weight.shape)


def check_samples(out: Tensor, samples: int) -> None:
    rows = len(out) if out.ndim > 1 else 1
    if rows != samples:
        raise ValueError(f"a layer gives {rows} rows for {samples} images: which are whose is not known")
