"""Batch norm and convolution whose gradients are cheap to differentiate again.

PyTorch differentiates the gradient of batch norm by some twenty operations on whole feature maps; here it takes the
gradient's own kernel once more, and five operations. PyTorch differentiates the gradient of a convolution by
convolutions in which samples and channels have changed places, for which kernels are slow on a CPU; here it takes the
ordinary ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from nas.passes.layers import Geometry, pair


def batch_norm(x: Tensor, mean: Any, var: Any, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Training-mode batch norm over the whole batch, recording nothing; weight and bias get no gradient."""
    return _BatchNorm.apply(x, weight, bias, eps)  # type: ignore[no-untyped-call, no-any-return]


def hardsigmoid(x: Tensor, inplace: bool = False) -> Tensor:
    """`torch.nn.functional.hardsigmoid`, whose gradient PyTorch does not differentiate."""
    out = F.relu6(x + 3) / 6
    return x.copy_(out) if inplace else out


class _BatchNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        out, mean, inverse = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, inverse)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _Gradient.apply(gradient, *ctx.saved_tensors), None, None, None  # type: ignore[no-untyped-call]


class _Gradient(Function):
    """d = r P(h) with h = weight · g and P(h) = h − ⟨h⟩ − x̂ ⟨h x̂⟩: x̂ the normalised input, r the inverse of the
    standard deviation, ⟨·⟩ the mean over all but channels.

    For z with ∂z/∂d = v:  ∂z/∂g = weight · r P(v)  and, with S = ⟨v h⟩ − ⟨v⟩⟨h⟩ − ⟨v x̂⟩⟨h x̂⟩,
    ∂z/∂x = −r² S x̂ − r ⟨v x̂⟩ d − r ⟨h x̂⟩ r P(v).
    """

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, inverse: Tensor) -> Tensor:
        d, along, total = _backward(g, x, weight, mean, inverse)
        ctx.save_for_backward(g, x, weight, mean, inverse, d, along, total)
        return d

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        g, x, weight, mean, r, d, along, total = ctx.saved_tensors
        shape, number = [1, -1, *[1] * (x.ndim - 2)], x.numel() / x.shape[1]
        scale = torch.ones_like(r) if weight is None else weight
        by_g, v_along, v_total = _backward(v, x, weight, mean, r)
        b, c = along / number, v_along / number  # without the weight in b
        s = scale * (_inner(v, g, mean) / number - v_total / number * total / number - b * c)
        slope = -(r**3) * s  # of x in −r² S x̂
        result = torch.addcmul((-slope * mean).view(shape), x, slope.view(shape))
        result = result.addcmul_(d, (-r * c).view(shape)).addcmul_(by_g, (-r * b).view(shape))
        return by_g, result, None, None, None


def _inner(a: Tensor, b: Tensor, mean: Tensor) -> Tensor:
    """Σ a b over all but channels, [channels]: the gradient of batch norm's weight where the mean is 0 and the
    deviation 1."""
    zero, one = torch.zeros_like(mean), torch.ones_like(mean)
    _, by_weight, _ = torch.ops.aten.native_batch_norm_backward(
        a, b, None, None, None, zero, one, True, 0.0, [False, True, False]
    )
    return by_weight  # type: ignore[no-any-return]


def _backward(
    g: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """r P(weight · g), and the sums of g x̂ and of g over all but channels."""
    return torch.ops.aten.native_batch_norm_backward(  # type: ignore[no-any-return]
        g, x, weight, None, None, mean, inverse, True, 0.0, [True, True, True]
    )


class Convolution:
    """`torch.nn.functional.conv2d`. Named paddings, biases with a gradient and autocast are left to PyTorch.

    Attributes:
        weights: whether a backward pass is for the weights too; PyTorch does not tell.
    """

    weights = True

    def __call__(
        self, input: Tensor, weight: Tensor, bias: Tensor | None = None,
        stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
    ) -> Tensor:  # fmt: skip
        ordinary = isinstance(padding, str) or input.ndim < 4 or torch.is_autocast_enabled(input.device.type)
        if ordinary or (bias is not None and bias.requires_grad):
            return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
        geometry = (pair(stride), pair(padding), pair(dilation), groups)
        return _Convolution.apply(input, weight, bias, geometry, self)  # type: ignore[no-untyped-call, no-any-return]


class _Convolution(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, owner: Convolution
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry, ctx.owner = geometry, owner
        return F.conv2d(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_input, by_weight = ctx.needs_input_grad[:2]
        wanted = (by_input, by_weight and ctx.owner.weights)
        gradients = _ConvolutionGradient.apply(gradient, *ctx.saved_tensors, ctx.geometry, wanted)  # type: ignore[no-untyped-call]
        return *gradients, None, None, None


class _ConvolutionGradient(Function):
    """The gradients X(g, w) with respect to the input and W(g, x) with respect to the weight of y = C(x, w).

    All three are linear in each argument. For z with ∂z/∂X = u and ∂z/∂W = v:
    ∂z/∂g = C(u, w) + C(x, v),  ∂z/∂x = X(g, v),  ∂z/∂w = W(g, u).
    """

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, ...]:
        ctx.save_for_backward(g, x, weight)
        ctx.geometry = geometry
        ctx.set_materialize_grads(False)
        return _convolution_backward(g, x, weight, geometry, wanted)

    @staticmethod
    def backward(ctx: Any, u: Tensor | None, v: Tensor | None) -> tuple[Tensor | None, ...]:
        g, x, weight = ctx.saved_tensors
        by_g = None if u is None else F.conv2d(u, weight, None, *ctx.geometry)
        if v is not None:
            along = F.conv2d(x, v, None, *ctx.geometry)
            by_g = along if by_g is None else by_g.add_(along)
        wanted = (v is not None and ctx.needs_input_grad[1], u is not None and ctx.needs_input_grad[2])
        u, v = x if u is None else u, weight if v is None else v
        return by_g, *_convolution_backward(g, u, v, ctx.geometry, wanted), None, None


def _convolution_backward(
    g: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """X(g, weight) and W(g, x), each where it is wanted."""
    stride, padding, dilation, groups = geometry
    by_x, by_weight, _ = torch.ops.aten.convolution_backward(
        g, x, weight, None, stride, padding, dilation, False, [0, 0], groups, [*wanted, False]
    )
    return by_x, by_weight
