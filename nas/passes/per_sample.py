"""Exact per-sample gradients of convolutions and linear layers, block by block.

One forward and one backward pass of the whole batch give nearly all of them: every batch norm normalises each sample by
itself (see `nas.passes.intercept.sample_normalisation`), so no sample sees another, and the weight gradient of each
layer is computed for each sample in the moment the backward pass reaches it. No more than one block's gradients exist
at a time. What that pass cannot give exactly is computed image by image (`nas.passes.per_image`): more slowly, to the
same numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.passes.blocks import Block, product_of_signs, slices
from nas.passes.intercept import CONVOLUTION, LINEAR, READS, Intercept, normalising, sample_normalisation, untouched
from nas.passes.layers import Geometry, convolution_gradients, linear_gradients, pair, same_padding
from nas.passes.per_image import Target, objective, visit_imagewise
from nas.passes.samples_apart import Watch

__all__ = ["Block", "Target", "product_of_signs", "visit_blocks"]


def visit_blocks(
    net: nn.Module, images: Tensor, labels: Tensor, visit: Callable[[Block], None], target: Target = "loss"
) -> None:
    """Calls ``visit`` for the per-sample gradients of all Conv2d and Linear weights that the output depends on.

    These are: the weights of `nn.Conv2d`, `nn.Linear` and `nn.MultiheadAttention`, any other parameter that is used by
    ``conv2d`` or ``linear``, and the parameters of more than one dimension that such a weight is computed from. The
    weights of other layers (``conv1d``, ``conv3d``, transposed convolutions, embeddings) are left out. A weight is one
    block, however often it is used, or several blocks of some output channels each where it is large.

    The batched pass gives a weight's gradients where ``conv2d`` and ``linear`` alone use it, on one row for each
    sample; the others are computed image by image, and all of them where samples are mixed or the network asks for
    values. The network is left as it was. Under `torch.autocast` gradients have the parameter's dtype all the same.

    Args:
        net: images [samples, channels, height, width] to logits [samples, classes].
        images: the minibatch.
        labels: [samples], used when ``target`` is ``loss``.
        visit: receives each block, in the order of the backward pass and then what is computed image by image; its
            tensors are not kept.
        target: see `Target`.
    """
    remaining = _visit_batched(net, images, labels, visit, target)
    visit_imagewise(net, remaining, images, labels, visit, target)


def _visit_batched(
    net: nn.Module, images: Tensor, labels: Tensor, visit: Callable[[Block], None], target: Target,
    refused: set[Tensor] | None = None,
) -> list[Tensor]:  # fmt: skip
    """Visits the blocks of the weights that the batched pass serves, and returns the other weights.

    Args:
        refused: weights that it would not serve; None: to be found out, where the calls that the network makes leave it
            open, and if there are any the pass is made again.
    """
    parameters = list(net.parameters())
    batch = _Batch(net, parameters, len(images), visit, refused or set())
    handlers = normalising(sample_normalisation) | {CONVOLUTION: batch.convolution, LINEAR: batch.linear}
    with untouched(net):
        for parameter in parameters:
            parameter.requires_grad_(parameter.ndim > 1)  # the weights alone; no bias or norm gradients are computed
        with Watch(handlers, len(images)) as watch:
            logits = net(images.clone())  # which the network may write to
        known = refused is not None or watch.apart or len(images) == 1
        found = set() if known else _refused(net, images)
        if not found:
            elsewhere = _leaves(logits)
            batch.refused |= elsewhere
            if logits.requires_grad:
                torch.autograd.grad(objective(logits, labels, target), batch.anchor, allow_unused=True)
            batch.finish()
    if found:
        del batch, logits, handlers, watch  # and their activations
        return _visit_batched(net, images, labels, visit, target, found)
    if refused and refused.issuperset(parameters):  # one image may use weights that the batch did not
        elsewhere = refused
    asked = batch.weights & elsewhere
    return [parameter for parameter in parameters if parameter in asked]


def _refused(net: nn.Module, images: Tensor) -> set[Tensor]:
    """Weights that a batched pass would not serve, and more: those of layers whose rows are not the samples, or all.

    The network is given the first image followed by one or two of nothing but NaN, of which the first image's row must
    stay free in every layer and in the logits; so small a batch also tells rows that are samples from rows that are as
    many only by chance. Reading values means that a batch may be treated as a whole.
    """
    samples = 2 if len(images) != 2 else 3
    nothing = torch.full_like(images[:1], torch.nan).expand(samples - 1, *images.shape[1:])
    everything: set[Tensor] = set(net.parameters())
    refused: set[Tensor] = set()
    suspects: list[Tensor] = []
    mixed: list[Tensor] = []  # of each suspect whether it is; looked at once, so that a GPU need not be waited for

    def checking(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def check(input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if len(input) == samples:
                suspects.append(weight)
                mixed.append(input[0].isnan().any())
            else:
                refused.add(weight)
            return function(input, weight, *args, **kwargs)

        return check

    def reading(function: Callable[..., Any]) -> Callable[..., Any]:
        def read(*args: Any, **kwargs: Any) -> Any:
            refused.update(everything)
            return function(*args, **kwargs)

        return read

    handlers = normalising(sample_normalisation) | {function: reading(function) for function in READS}
    handlers |= {function: checking(function) for function in (CONVOLUTION, LINEAR)}
    try:
        with untouched(net), torch.no_grad(), Intercept(handlers):
            logits = net(torch.cat([images[:1], nothing]))
    except Exception:  # it cannot bear NaN; if that is not the reason, the batched pass meets the same error
        return everything
    if len(logits) != samples:
        return everything
    *found, last = torch.stack([*mixed, logits[0].isnan().any()]).tolist()
    return (
        everything if last else refused | {weight for weight, is_mixed in zip(suspects, found, strict=True) if is_mixed}
    )


def _leaves(tensor: Tensor) -> set[Tensor]:
    """The tensors requiring gradients from which ``tensor`` was computed, as autograd recorded it."""
    leaves: set[Tensor] = set()
    waiting = [tensor.grad_fn]
    seen = {None, *waiting}
    while waiting:
        if (node := waiting.pop()) is not None:
            if hasattr(node, "variable"):
                leaves.add(node.variable)
            before = {function for function, _ in node.next_functions} - seen
            seen |= before
            waiting += before
    return leaves


class _Batch:
    """The batched pass: takes part in its layers, and visits a weight's blocks when the last of its uses has come.

    Weights that it serves are hidden from autograd, so that autograd's record shows what uses a weight elsewhere.

    Attributes:
        weights: all whose gradients are asked for.
        refused: those that it does not serve.
        uses: how many uses of each weight the backward pass has not reached yet.
        anchor: what all layers that it serves depend on, so that the backward pass reaches them.
    """

    def __init__(
        self, net: nn.Module, parameters: Iterable[Tensor], samples: int, visit: Callable[[Block], None],
        refused: set[Tensor],
    ) -> None:  # fmt: skip
        self.parameters = set(parameters)
        self.weights: set[Tensor] = {
            parameter
            for module in net.modules()
            if isinstance(module, nn.Conv2d | nn.Linear | nn.MultiheadAttention)
            for name, parameter in module.named_parameters(recurse=False)
            if name.endswith("weight")
        }
        self.samples = samples
        self.visit = visit
        self.refused = set(refused)
        self.uses: Counter[Tensor] = Counter()
        self.reached: dict[Tensor, list[Use]] = {}
        self.anchor = torch.zeros((), requires_grad=True)

    def serves(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
        self.weights |= {weight} & self.parameters or _leaves(weight)
        computed_bias = bias is not None and bias.requires_grad
        served = weight in self.parameters - self.refused and len(x) == self.samples and not computed_bias
        self.uses[weight] += served
        return served

    def convolution(
        self, input: Tensor, weight: Tensor, bias: Tensor | None = None,
        stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
    ) -> Tensor:  # fmt: skip
        if input.ndim != 4 or not self.serves(input, weight, bias):
            return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
        stride, dilation = pair(stride), pair(dilation)
        if padding == "same":
            input, padding = F.pad(input, same_padding(weight, dilation)), 0
        geometry = (stride, [0, 0] if padding == "valid" else pair(padding), dilation, groups)
        keep = partial(self.keep, weight)
        return _Convolution.apply(input, weight.detach(), bias, self.anchor, keep, geometry)  # type: ignore[no-untyped-call, no-any-return]

    def linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if input.ndim < 2 or not self.serves(input, weight, bias):
            return F.linear(input, weight, bias)
        return _Linear.apply(input, weight.detach(), bias, self.anchor, partial(self.keep, weight))  # type: ignore[no-untyped-call, no-any-return]

    def keep(self, weight: Tensor, unit: int, gradients: Callable[[slice], Tensor]) -> None:
        if weight not in self.refused:
            self.reached.setdefault(weight, []).append((unit, gradients))
            self.uses[weight] -= 1
            if not self.uses[weight]:
                self.visit_weight(weight, self.reached.pop(weight))

    def finish(self) -> None:
        """Visits the weights that were also used where the output does not depend on them."""
        for weight, uses in self.reached.items():
            self.visit_weight(weight, uses)

    def visit_weight(self, weight: Tensor, uses: list[Use]) -> None:
        for rows in slices(weight, self.samples, gcd(*(unit for unit, _ in uses))):
            (_, gradients), *others = uses
            total = gradients(rows)
            for _, gradients in others:
                total += gradients(rows)
            self.visit(Block(weight, total.reshape(self.samples, -1).to(weight.dtype), rows))


Use = tuple[int, Callable[[slice], Tensor]]
"""One use of a weight: its output channels per group, and the per-sample gradients of a slice of output channels."""


class _Convolution(torch.autograd.Function):
    """`conv2d` whose backward pass offers the per-sample weight gradient to ``keep``, and to nobody else.

    Under autocast the output's gradient has the lower precision and the saved input may not: its dtype decides.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, anchor: Tensor, keep: Any, geometry: Geometry
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.keep, ctx.geometry = keep, geometry
        return F.conv2d(x, weight, bias, *geometry)

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


class _Linear(torch.autograd.Function):
    """`linear` whose backward pass offers the per-sample weight gradient to ``keep``; see `_Convolution`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, anchor: Tensor, keep: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.keep = keep
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            ctx.keep(len(weight), partial(linear_gradients, x.to(delta.dtype), delta))
            grad = delta @ weight.to(delta.dtype) if ctx.needs_input_grad[0] else None
        return grad, None, None, None, None
