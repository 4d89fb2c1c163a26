"""Convolutions and linear layers whose backward pass offers per-sample weight gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from nas.passes.layers import Geometry, convolution_gradients, linear_gradients

Keep = Callable[[int, Callable[[slice], Tensor]], None]
"""Takes a layer's output channels per group, and a function: the per-sample gradients of a slice of them."""


class Convolution(Function):
    """`conv2d` whose backward pass offers the per-sample weight gradient to ``keep``, and to nobody else.

    Under autocast the output's gradient has the lower precision and the saved input may not: the gradient's dtype
    decides. Within `torch.func.vmap`, where a sample is a batch of one, the samples are the rows.
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, anchor: Tensor, keep: Keep, geometry: Geometry
    ) -> Tensor:
        return F.conv2d(x, weight, bias, *geometry)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _, _, ctx.keep, ctx.geometry = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.geometry
        with torch.autocast(x.device.type, enabled=False):
            x, weight = x.to(delta.dtype), weight.to(delta.dtype)
            ctx.keep(len(weight) // groups, partial(convolution_gradients, x, weight, delta, ctx.geometry))
            if not ctx.needs_input_grad[0]:
                return (None,) * 6
            grad, _, _ = torch.ops.aten.convolution_backward(
                delta, x, weight, None, stride, padding, dilation, False, [0, 0], groups, [True, False, False]
            )
        return grad, None, None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], x: Tensor, *others: Any) -> tuple[Tensor, int]:
        samples = x.movedim(in_dims[0], 0).flatten(0, 1)
        return Convolution.apply(samples, *others).unsqueeze(1), 0  # type: ignore[no-untyped-call]


class Linear(Function):
    """`linear` whose backward pass offers the per-sample weight gradient to ``keep``; see `Convolution`.

    Within `torch.func.vmap` a sample may be any input that `linear` takes.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, anchor: Tensor, keep: Keep) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _, _, ctx.keep = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            ctx.keep(len(weight), partial(linear_gradients, x.to(delta.dtype), delta))
            grad = delta @ weight.to(delta.dtype) if ctx.needs_input_grad[0] else None
        return grad, None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], x: Tensor, *others: Any) -> tuple[Tensor, int]:
        return Linear.apply(x.movedim(in_dims[0], 0), *others), 0  # type: ignore[no-untyped-call]
