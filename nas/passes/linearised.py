"""A pass through the linearised network: absolute parameters, no batch norm, an input of ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nas.passes.intercept import (
    CONVOLUTION,
    LINEAR,
    Intercept,
    Visits,
    no_normalisation,
    normalising,
)
from nas.passes.precision import wide
from nas.passes.roles import mixing, role_of
from nas.passes.running import untouched
from nas.passes.state import replace
from nas.passes.tokens import NORMS, Embedding, are_tokens, ones_for_tokens
from nas.passes.weights import Weights, check_weights, gradients_of, one_backward_pass


class Flow(NamedTuple):
    """A convolution or linear weight in the linearised network (`visit_flow`).

    Attributes:
        weight: its absolute values, float64.
        gradient: the gradient of the sum of all logits with respect to them.
        role: ``attention`` in a module that attends, ``mlp`` elsewhere in the block around one, otherwise ``other``.
    """

    weight: Tensor
    gradient: Tensor
    role: str


def visit_flow(net: nn.Module, images: Tensor, visits: Visits) -> None:
    """A forward and backward pass of one input of ones through the linearised network: every parameter is replaced by
    its absolute value, batch norm is bypassed, and everything is float64. Where a layer's weight is a constant of the
    network, that is absolute too. In a network of tokens what these are looked up as is one, other embeddings are zero,
    and every norm is bypassed.

    Visitors:
        flow: each convolution and linear weight, a `Flow`.
    """
    embedding = Embedding(replaced=ones_for_tokens)
    ones = images[:1] if (tokens := are_tokens(images)) else torch.ones_like(images[:1], dtype=torch.float64)
    with untouched(net) as run:
        absolute = {parameter: _absolute(parameter) for parameter in net.parameters()}
        replace(net, absolute | {buffer: wide(buffer.clone()) for buffer in net.buffers()})
        names: dict[Tensor, str] = {parameter: name for name, parameter in net.named_parameters()}
        weights = Weights(net)
        weights.require_gradients(net)
        handlers = normalising(no_normalisation) | _with_constants(weights.handlers(), set(net.buffers()))
        if tokens:
            handlers |= embedding.handlers | dict.fromkeys(NORMS, no_normalisation)
        with mixing(net, handlers) as (attending, handlers):
            logits = run(ones, Intercept(handlers), lambda own: net(embedding.follow(own)))
        if tokens:
            embedding.check()
        chosen = list(weights.known)
        check_weights(chosen)
        with one_backward_pass(net):
            gradients = gradients_of(logits.sum(), chosen)
    for weight, gradient in zip(chosen, gradients, strict=True):
        role, *_ = role_of(names[weight], attending)
        visits["flow"](Flow(weight.detach().real, gradient.real, role))


def _with_constants(handlers: dict[Any, Any], constants: set[Tensor]) -> dict[Any, Any]:
    """``handlers``, under which layers whose weight is one of the ``constants`` take its absolute values."""

    def positive(handler: Callable[..., Tensor], input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return handler(input, weight.abs() if weight in constants else weight, *args, **kwargs)

    return handlers | {function: partial(positive, handlers[function]) for function in (CONVOLUTION, LINEAR)}


def _absolute(parameter: Tensor) -> nn.Parameter:
    """Its absolute values, of the widest type."""
    exact = wide(parameter.detach())
    return nn.Parameter(exact.abs().to(exact.dtype), exact.is_floating_point() or exact.is_complex())
