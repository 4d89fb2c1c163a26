"""A forward and backward pass that shows what ReLUs are given, with its gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.passes.features import blocks, with_parts
from nas.passes.intercept import Intercept, Visits, batch_normalisation, normalising
from nas.passes.layers import check_samples
from nas.passes.running import untouched
from nas.passes.tokens import are_tokens, loss
from nas.passes.weights import gradients_of, one_backward_pass, require_gradients

RECTIFIERS = (
    F.relu, F.relu_, F.relu6, F.leaky_relu, F.leaky_relu_, F.prelu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_,
)  # fmt: skip


class Rectified(NamedTuple):
    """What one ReLU is given.

    Attributes:
        level: the number of the network's block that it runs in, from 0; ReLUs before, between and after blocks have
            numbers of their own, in the order in which all run.
        value: the ReLU's input, [samples, …].
        gradient: of the loss, through this ReLU alone, with respect to it; of the same shape, zero where the loss does
            not depend on it.
    """

    level: int
    value: Tensor
    gradient: Tensor


def visit_rectified(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
    """A pass of all images together, batch norm in training mode over them; the loss is the samples' mean.

    Visitors:
        rectified: each call of a function that is a ReLU, `Rectified`, in the order of the backward pass, those on
            which the loss does not depend last; ReLUs that are written in another way are not seen.
    """
    recording = False
    numbers, unreached = count(), dict[int, tuple[int, Tensor]]()

    def watched(function: Callable[..., Tensor], levels: _Levels) -> Callable[..., Tensor]:
        def rectify(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if isinstance(x, nn.Parameter):  # it bounds a weight, which is not a unit of the network
                return function(x, *args, **kwargs)
            check_samples(x, len(images))
            level, own = levels.of_relu(), x.clone()  # its gradient is the one through this ReLU
            value = own.detach().clone()
            number = next(numbers)
            unreached[number] = level, value
            if own.requires_grad:
                own.register_hook(lambda gradient: take(number, gradient))  # type: ignore[no-untyped-call]
            out = function(own, *args, **kwargs)
            return x.copy_(out) if out is own else out

        return rectify

    def take(number: int, gradient: Tensor) -> None:
        if recording and number in unreached:
            level, value = unreached.pop(number)
            visits["rectified"](Rectified(level, value, gradient.detach()))

    tokens = are_tokens(images)
    own_images = images if tokens else images.detach().requires_grad_()
    with untouched(net) as run, levels_of(net) as levels:
        require_gradients(net, {*net.parameters()} if tokens else ())
        handlers = normalising(batch_normalisation) | {relu: watched(relu, levels) for relu in RECTIFIERS}
        logits = run(own_images, Intercept(handlers))
        with one_backward_pass(net):
            recording = True
            gradients_of(loss(logits, labels), list(net.parameters()) if tokens else [own_images])
        for level, value in unreached.values():
            visits["rectified"](Rectified(level, value, torch.zeros_like(value)))


class _Levels:
    """Counts the blocks of a network, and the stretches between them that have a ReLU, while it runs."""

    def __init__(self) -> None:
        self._level = -1
        self._within = self._beside = False  # a block; a stretch that has been counted

    def enter(self, *_: Any) -> None:
        self._level, self._within, self._beside = self._level + 1, True, False

    def leave(self, *_: Any) -> None:
        self._within = False

    def of_relu(self) -> int:
        if not self._within and not self._beside:
            self._level, self._beside = self._level + 1, True
        return self._level


@contextmanager
def levels_of(net: nn.Module) -> Iterator[_Levels]:
    levels = _Levels()
    chosen = blocks(net, {module for module in with_parts(net) if module is not net})
    hooks = [module.register_forward_pre_hook(levels.enter) for module in chosen]
    hooks += [module.register_forward_hook(levels.leave) for module in chosen]
    try:
        yield levels
    finally:
        for hook in hooks:
            hook.remove()
