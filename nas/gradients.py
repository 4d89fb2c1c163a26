"""Exact per-sample gradients of convolutions and linear layers, block by block.

One forward and one backward pass of the whole batch give all of them: every batch norm normalises each sample by
itself (see `nas.intercept.sample_normalisation`), so no sample sees another, and the weight gradient of each layer is
computed for each sample in the moment the backward pass reaches it. No more than one layer's gradients exist at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.intercept import CONVOLUTION, LINEAR, Intercept, normalising, sample_normalisation, untouched

Target = Literal["loss", "logits"]
"""What is differentiated: each sample's cross-entropy, or the sum of its logits."""


class Block:
    """The per-sample gradients of one convolution or linear weight.

    Attributes:
        weight: the parameter.
        gradients: [samples, weights of the block].
    """

    def __init__(self, weight: Tensor, gradients: Tensor) -> None:
        self.weight = weight
        self.gradients = gradients

    @cached_property
    def signs(self) -> Tensor:
        """The signs of the gradients, -1, 0 or 1: [samples, weights] int8."""
        return self.gradients.sign().to(torch.int8)

    @cached_property
    def gram(self) -> Tensor:
        """Inner products of the samples' gradients: [samples, samples] float64."""
        gradients = self.gradients.double()
        return gradients @ gradients.T

    @cached_property
    def sign_gram(self) -> Tensor:
        """Inner products of the samples' signs: [samples, samples] float64, whole numbers."""
        return product_of_signs(self.signs, self.signs.T)

    def sums(self, group: Tensor, groups: int) -> Tensor:
        """The gradients summed over the samples of each group: [groups, weights].

        Args:
            group: the group of each sample, [samples] whole numbers below ``groups``.
        """
        if self.gradients.device.type == "cpu":
            return self.gradients.new_zeros(groups, self.gradients.shape[1]).index_add_(0, group, self.gradients)
        return (
            F.one_hot(group, groups).T.to(self.gradients.dtype) @ self.gradients
        )  # adds in a fixed order, atomics do not


def product_of_signs(left: Tensor, right: Tensor) -> Tensor:
    """The exact matrix product of two int8 matrices of -1, 0 and 1, as float64.

    With the integer product of processors that have one, which is several times faster than the product of floats;
    otherwise in float32, which is exact as long as fewer than 2²⁴ terms are added.
    """
    if left.device.type == "cpu" and torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return torch._int_mm(left, right).double()
    return (left.float() @ right.float()).double()


def visit_blocks(
    net: nn.Module, images: Tensor, labels: Tensor, visit: Callable[[Block], None], target: Target = "loss"
) -> None:
    """Calls ``visit`` once for the per-sample gradients of each Conv2d and Linear weight that the output depends on.

    Every weight used by ``conv2d`` or ``linear`` counts, wherever the call stands; a weight used several times is one
    block. The network is left as it was.

    Args:
        net: images [samples, channels, height, width] to logits [samples, classes].
        images: the minibatch.
        labels: [samples], used when ``target`` is ``loss``.
        visit: receives each block in the order of the backward pass; its tensors are not kept.
        target: see `Target`.

    Raises:
        RuntimeError: a Conv2d or Linear weight takes part in the output by another way than these two functions, so
            that its gradients would be incomplete.
    """
    collector = _Collector(visit, len(images))
    handlers = normalising(sample_normalisation) | {
        CONVOLUTION: partial(_convolution, collector),
        LINEAR: partial(_linear, collector),
    }
    with untouched(net):
        for parameter in net.parameters():
            parameter.requires_grad_(parameter.ndim > 1)  # the weights alone; no bias or norm gradients are computed
            parameter.grad = None
        with Intercept(handlers):
            logits = net(images)
        total = F.cross_entropy(logits, labels, reduction="sum") if target == "loss" else logits.sum()
        if total.requires_grad:
            total.backward()
        collector.finish()
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.grad is not None:
                raise RuntimeError(f"the weight of {name} is used by other functions than conv2d and linear")


class _Collector:
    """Adds up the per-sample gradients of each weight over its uses; visits each block when the last has come."""

    def __init__(self, visit: Callable[[Block], None], samples: int) -> None:
        self.visit = visit
        self.samples = samples
        self.uses: dict[Tensor, int] = {}
        self.sums: dict[Tensor, Tensor] = {}

    def used(self, weight: Tensor) -> None:
        self.uses[weight] = self.uses.get(weight, 0) + 1

    def add(self, weight: Tensor, gradients: Tensor) -> None:
        if len(gradients) != self.samples:
            raise RuntimeError(
                f"a layer saw {len(gradients)} samples of a minibatch of {self.samples}: it mixes samples, which then "
                "have no gradient of their own"
            )
        gradients = gradients.reshape(self.samples, -1)
        if weight in self.sums:
            gradients = gradients + self.sums.pop(weight)
        self.uses[weight] -= 1
        if self.uses[weight]:
            self.sums[weight] = gradients
        else:
            self.visit(Block(weight, gradients))

    def finish(self) -> None:
        """Visits the weights that were also used where the output does not depend on them."""
        for weight, gradients in self.sums.items():
            self.visit(Block(weight, gradients))


def _convolution(
    collector: _Collector, x: Tensor, weight: Tensor, bias: Any = None,
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    if not weight.is_leaf:
        raise RuntimeError("a convolution weight is computed from other tensors; its own gradients are not defined")
    stride, dilation = _pair(stride), _pair(dilation)
    if padding == "same":
        padding = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        x = F.pad(x, [padding[1] // 2, padding[1] - padding[1] // 2, padding[0] // 2, padding[0] - padding[0] // 2])
        padding = 0
    padding = [0, 0] if padding == "valid" else _pair(padding)
    collector.used(weight)
    geometry = (stride, padding, dilation, groups)
    return _Convolution.apply(x, weight, bias, collector, geometry)  # type: ignore[no-untyped-call, no-any-return]


def _linear(collector: _Collector, x: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    if not weight.is_leaf:
        raise RuntimeError("a linear weight is computed from other tensors; its own gradients are not defined")
    collector.used(weight)
    return _Linear.apply(x, weight, bias, collector)  # type: ignore[no-untyped-call, no-any-return]


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value) * (2 // len(value))


class _Convolution(torch.autograd.Function):
    """`conv2d` whose backward pass hands the per-sample weight gradient to the collector, and to nobody else."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, collector: _Collector, geometry: Geometry
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.collector, ctx.geometry = collector, geometry
        return F.conv2d(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        if weight.requires_grad:
            ctx.collector.add(weight, convolution_gradients(x, weight, delta, ctx.geometry))
        stride, padding, dilation, groups = ctx.geometry
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None
        grad, _, _ = torch.ops.aten.convolution_backward(
            delta, x, weight, None, stride, padding, dilation, False, [0, 0], groups, [True, False, False]
        )
        return grad, None, None, None, None


class _Linear(torch.autograd.Function):
    """`linear` whose backward pass hands the per-sample weight gradient to the collector, and to nobody else."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, collector: _Collector) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.collector = collector
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        if weight.requires_grad:
            rows = x.reshape(len(x), -1, x.shape[-1])  # [samples, positions, in]
            ctx.collector.add(weight, delta.reshape(len(x), -1, delta.shape[-1]).transpose(1, 2) @ rows)
        return delta @ weight if ctx.needs_input_grad[0] else None, None, None, None


Geometry = tuple[list[int], list[int], list[int], int]
"""Stride, padding, dilation and groups of a convolution."""


def convolution_gradients(x: Tensor, weight: Tensor, delta: Tensor, geometry: Geometry) -> Tensor:
    """The weight gradient of a convolution for each sample: [samples, out, in / groups, height, width].

    A kernel of one pixel is a batched matrix product. Otherwise, on a CPU, the samples become groups of one grouped
    convolution, whose weight gradient costs about as much as the ordinary one; elsewhere the input is unfolded and
    multiplied in batches, for which GPUs are built.

    Args:
        x: the input, [samples, in, height, width].
        delta: the gradient of the output, [samples, out, height', width'].
    """
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
        weight.new_empty(1).expand(shape[0] * shape[1], *shape[2:]),  # only its shape is used
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
