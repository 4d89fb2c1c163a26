"""Exact per-sample gradients of convolutions and linear layers, block by block.

One forward and one backward pass of the whole batch give nearly all of them: no sample sees another, and the weight
gradient of each layer is computed for each sample at the moment when the backward pass reaches it. No more than one
block's gradients exist at a time.

That no sample sees another cannot be checked by values, which may hide it; it holds by construction. The batch is run
as it is, every batch norm on each sample by itself, as long as each call of the network is known to treat samples apart
(`nas.passes.samples_apart`): the networks of published spaces make no other. At the first other call it is run by
`torch.func.vmap` instead, in which the network sees a batch of one. Networks that cannot run in this way, and weights
that other functions use too, are computed image by image (`nas.passes.per_image`): more slowly, to the same numbers.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import disable_saved_tensors_hooks
from torch.func import debug_unwrap, vmap
from torch.nn import functional as F
from torch.nn.modules import module as modules

from nas.passes.blocks import Block, product_of_signs, slices
from nas.passes.intercept import (
    ATTENTION,
    CONVOLUTION,
    LINEAR,
    Intercept,
    attention_projected_by,
    image_normalisation,
    normalising,
    sample_normalisation,
)
from nas.passes.layers import pair, same_padding
from nas.passes.per_image import Target, failing, logits_of_one, objective, visit_imagewise
from nas.passes.running import Drawn, untouched
from nas.passes.sample_layers import Convolution, Linear
from nas.passes.samples_apart import NotKnown, Watch
from nas.passes.state import hooks_of
from nas.passes.weights import Weights, leaves, nodes, real, weights_of

__all__ = ["Block", "Target", "product_of_signs", "visit_blocks"]


def visit_blocks(
    net: nn.Module, images: Tensor, labels: Tensor, visit: Callable[[Block], None], target: Target = "loss"
) -> None:
    """Calls ``visit`` for the per-sample gradients of all Conv2d and Linear weights that the output depends on.

    `nas.passes.weights.Weights` says which these are. A weight is one block, however often it is used, or, if large,
    several blocks of some output channels each. The network is left as it was. Even under `torch.autocast`, gradients
    have the parameter's dtype; those of a complex weight are the real and imaginary parts.

    Args:
        net: images [samples, channels, height, width] to logits [samples, classes].
        images: the minibatch.
        labels: [samples], used when ``target`` is ``loss``.
        visit: receives each block, in the order of the backward pass, then those computed image by image; its tensors
            are not kept.
        target: see `Target`.
    """
    remaining, obstacle = None, "the network has hooks on gradients"
    if not _has_hooks_on_gradients(net):
        remaining = _visit_rows(net, images, labels, visit, target)
        if remaining is None:
            remaining, obstacle = _visit_mapped(net, images, labels, visit, target)
    if remaining is None:
        remaining = weights_of(net, torch.split(images, 1))
    else:
        obstacle = ""
    visit_imagewise(net, remaining, images, labels, visit, target, obstacle)


def _has_hooks_on_gradients(net: nn.Module) -> bool:
    """Whether hooks may change gradients on their way, which autograd's record does not show."""
    everywhere = modules._global_backward_hooks or modules._global_backward_pre_hooks
    return (
        bool(everywhere)
        or any(module._backward_hooks or module._backward_pre_hooks for module in net.modules())
        or any(any(hooks_of(parameter)) for parameter in net.parameters())
    )


def _visit_rows(
    net: nn.Module, images: Tensor, labels: Tensor, visit: Callable[[Block], None], target: Target
) -> list[Tensor] | None:
    """Visits the blocks of the weights that a batched pass serves, and returns the others; None where some call of the
    network is not known to treat the samples apart."""
    batch = _Batch(Weights(net), len(images), visit, len(images), lambda input: len(input) == len(images))
    handlers = normalising(sample_normalisation) | {CONVOLUTION: batch.convolution, LINEAR: batch.linear}
    watch = Watch(handlers, len(images), [*net.parameters(), *net.buffers()])
    with untouched(net) as run:
        batch.weights.require_gradients(net)
        try:
            logits = run(images, watch, lambda own: net(watch.follow(own)))
        except NotKnown:
            return None
        if watch.ended or any(isinstance(node, BackwardCFunction) and type(node) not in OWN for node in nodes(logits)):
            return None  # a function whose backward pass may do anything
        return batch.differentiate(logits, labels, target)


def _visit_mapped(
    net: nn.Module, images: Tensor, labels: Tensor, visit: Callable[[Block], None], target: Target
) -> tuple[list[Tensor] | None, str]:
    """The same by `torch.func.vmap`, in which samples cannot see each other; or None and why it failed."""
    batch = _Batch(Weights(net), len(images), visit, 1, _is_of_one_sample)
    handlers = normalising(image_normalisation) | {CONVOLUTION: batch.convolution, LINEAR: batch.linear}
    handlers |= {ATTENTION: attention_projected_by(batch.linear)} | dict.fromkeys(GRAPH, _no_graph)
    each = vmap(partial(logits_of_one, net), randomness="error")
    with untouched(net) as run:
        batch.weights.require_gradients(net)
        try:
            with warnings.catch_warnings(), disable_saved_tensors_hooks("they are given what belongs to all samples"):
                warnings.filterwarnings("ignore", "There is a performance drop")  # slower, and as right
                logits = run(images, Intercept(handlers), each).flatten(0, 1)
        except Drawn:
            raise
        except Exception as error:  # it cannot be mapped, or else the first image alone raises it again
            return None, failing(error)
        return batch.differentiate(logits, labels, target), ""


class _Batch:
    """A pass of all samples: it replaces the layers, and visits a weight's blocks when its last use has been reached.

    Weights that it serves are hidden from autograd, so that autograd's record shows which are used elsewhere.

    Attributes:
        weights: those whose gradients are wanted.
        rows: the number of rows in the input of a convolution that it serves.
        serves_input: whether it serves layers with this input.
        elsewhere: weights that other functions use too.
        uses: how many uses of each weight the backward pass has not reached yet.
        anchor: a tensor that all layers it serves depend on, so that the backward pass reaches them.
    """

    def __init__(
        self,
        weights: Weights,
        samples: int,
        visit: Callable[[Block], None],
        rows: int,
        serves: Callable[[Tensor], bool],
    ) -> None:
        self.weights = weights
        self.samples = samples
        self.visit = visit
        self.rows = rows
        self.serves_input = serves
        self.elsewhere: set[Tensor] = set()
        self.uses: Counter[Tensor] = Counter()
        self.reached: dict[Tensor, list[Use]] = {}
        self.anchor = torch.zeros((), requires_grad=True)

    def serves(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
        self.weights.use(weight)
        own_bias = bias is None or (not bias.requires_grad and debug_unwrap(bias) is bias)
        served = weight in self.weights.known and not weight.is_complex() and own_bias and self.serves_input(input)
        self.uses[weight] += served
        return served

    def convolution(
        self, input: Tensor, weight: Tensor, bias: Tensor | None = None,
        stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
    ) -> Tensor:  # fmt: skip
        if input.ndim != 4 or len(input) != self.rows or not self.serves(input, weight, bias):
            return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
        stride, dilation = pair(stride), pair(dilation)
        if padding == "same":
            input, padding = F.pad(input, same_padding(weight, dilation)), 0
        geometry = (stride, [0, 0] if padding == "valid" else pair(padding), dilation, groups)
        keep = partial(self.keep, weight)
        return Convolution.apply(input, weight.detach(), bias, self.anchor, keep, geometry)  # type: ignore[no-untyped-call, no-any-return]

    def linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if not self.serves(input, weight, bias):
            return F.linear(input, weight, bias)
        return Linear.apply(input, weight.detach(), bias, self.anchor, partial(self.keep, weight))  # type: ignore[no-untyped-call, no-any-return]

    def differentiate(self, logits: Tensor, labels: Tensor, target: Target) -> list[Tensor]:
        """Visits the blocks in a backward pass, and returns the weights that it does not serve."""
        self.elsewhere = leaves(logits)
        if logits.requires_grad:
            torch.autograd.grad(objective(logits, labels, target), self.anchor, allow_unused=True)
        for weight, uses in self.reached.items():  # used where the output does not depend on them, too
            self.visit_weight(weight, uses)
        return [weight for weight in self.weights.known if weight in self.elsewhere]

    def keep(self, weight: Tensor, unit: int, gradients: Callable[[slice], Tensor]) -> None:
        if weight not in self.elsewhere:
            self.reached.setdefault(weight, []).append((unit, gradients))
            self.uses[weight] -= 1
            if not self.uses[weight]:
                self.visit_weight(weight, self.reached.pop(weight))

    def visit_weight(self, weight: Tensor, uses: list[Use]) -> None:
        for rows in slices(weight, self.samples, gcd(*(unit for unit, _ in uses))):
            (_, gradients), *others = uses
            with torch.no_grad():
                total = gradients(rows)
                for _, gradients in others:
                    total += gradients(rows)
            self.visit(Block(weight, real(total.reshape(self.samples, -1).to(weight.dtype)).flatten(1), rows))


def _is_of_one_sample(tensor: Tensor) -> bool:
    """Whether `torch.func.vmap` gives each sample a tensor of its own here, and no other such call does."""
    own = debug_unwrap(tensor, recurse=False)
    return own is not tensor and debug_unwrap(own) is own


def _no_graph(tensor: Tensor, *_: Any) -> Any:
    raise RuntimeError("the network asks for a tensor's place in autograd's graph")


OWN = {Convolution._backward_cls, Linear._backward_cls}
GRAPH = [Tensor.register_hook, *(getattr(Tensor, name).__get__ for name in ("requires_grad", "grad_fn", "is_leaf"))]
"""Attributes of tensors that differ in `torch.func.vmap`."""

Use = tuple[int, Callable[[slice], Tensor]]
"""One use of a weight: its output channels per group, and the per-sample gradients of a slice of output channels."""
