"""Batch norm whose gradient is cheap to differentiate again.

PyTorch differentiates the gradient of batch norm by some twenty operations on whole feature maps; here it takes the
gradient's own kernel once more, and five.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def twice_differentiable(
    x: Tensor, mean: Any, var: Any, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Training-mode batch norm over the whole batch, recording nothing; weight and bias get no gradient."""
    return _BatchNorm.apply(x, weight, bias, eps)  # type: ignore[no-untyped-call, no-any-return]


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
        shape, others = [1, -1, *[1] * (x.ndim - 2)], [0, *range(2, x.ndim)]
        number = x.numel() / x.shape[1]
        scale = torch.ones_like(r) if weight is None else weight
        projected, v_along, v_total = _backward(v, x, None, mean, r)
        b, c = scale * along / number, v_along / number
        s = scale * (v * g).sum(others) / number - v_total / number * scale * total / number - b * c
        slope = -(r**3) * s  # of x in −r² S x̂
        result = torch.addcmul((-slope * mean).view(shape), x, slope.view(shape))
        result = result.addcmul_(d, (-r * c).view(shape)).addcmul_(projected, (-r * b).view(shape))
        return projected * scale.view(shape), result, None, None, None


def _backward(
    g: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """r P(weight · g), and the sums of g x̂ and of g over all but channels."""
    return torch.ops.aten.native_batch_norm_backward(  # type: ignore[no-any-return]
        g, x, weight, None, None, mean, inverse, True, 0.0, [True, True, True]
    )
