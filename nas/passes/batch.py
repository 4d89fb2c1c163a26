"""A pass of all images together, batch norm in training mode over them.

A pass hands what it comes across to visitors, by kind, and does no more than the visitors present need. It leaves the
network as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from nas.passes import second_order
from nas.passes.features import features_of
from nas.passes.intercept import (
    ATTENTION,
    CONVOLUTION,
    LINEAR,
    Intercept,
    Visits,
    attention_projected_by,
    batch_normalisation,
    normalising,
)
from nas.passes.layers import check_samples
from nas.passes.rectifiers import Rectifiers
from nas.passes.running import untouched
from nas.passes.tokens import Embedding, are_tokens, loss
from nas.passes.weights import Weights, check_weights, gradients_of, one_backward_pass, real, require_gradients


class Layer(NamedTuple):
    """One use of a convolution or linear weight in a forward and backward pass.

    Attributes:
        weight: the parameter, or the rows of it that an attention takes for queries, keys or values.
        output: [samples, channels, …].
        gradient: the loss's gradient with respect to the output, of the same shape.
    """

    weight: Tensor
    output: Tensor
    gradient: Tensor


def visit_batch(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
    """A pass of all images together, batch norm in training mode over them; the loss is the samples' mean.

    Visitors:
        relus: the input > 0 of each rectifier, [samples, units] bool, in the order of the forward pass.
        features: the input of the first block and the output of each (see `blocks`), with their graph, as one list.
        input: the gradient of the sum of all logits with respect to the images, [samples, inputs]; of tokens, to what
            they are looked up as.
        gradients: (weight, ∂L/∂weight) of every convolution and linear weight, as one list.
        curvature: (weight, H ∂L/∂weight) of them, H the Hessian of L for these weights, as one list.
        layers: each use of such a weight that the loss depends on, a `Layer`.
    """
    by_weight = visits.keys() & {"gradients", "curvature", "layers"}
    by_input = visits.keys() & {"features", "input"}
    twice = "curvature" in visits
    with untouched(net) as run, torch.set_grad_enabled(bool(by_weight or by_input)):
        weights = Weights(net)
        if by_weight:
            weights.require_gradients(net)
        else:
            require_gradients(net)
        watch = _Layers(visits["layers"], len(images), weights) if "layers" in visits else None
        convolution = second_order.Convolution()
        layers: dict[Callable[..., Any], Callable[..., Tensor]] = {
            CONVOLUTION: convolution if twice else F.conv2d,
            LINEAR: F.linear,
        }
        use = partial(_note, weights) if watch is None else watch.use
        layers = {function: partial(use, handler) for function, handler in layers.items()}
        handlers = normalising(second_order.batch_norm if twice else batch_normalisation) | layers
        if twice:
            handlers[F.hardsigmoid] = second_order.hardsigmoid
        handlers[ATTENTION] = attention_projected_by(layers[LINEAR])  # always, so that numbers agree
        embedding = Embedding(graph=bool(by_input))
        if tokens := are_tokens(images):
            handlers |= embedding.handlers
        else:
            images = images.detach().requires_grad_(bool(by_input))
        differentiable = sdpa_kernel(SDPBackend.MATH)  # the only kernel that is so twice; always, so that numbers agree
        with differentiable, features_of(net, "features" in visits) as features:
            logits = run(images, _seen(net, images, handlers, visits), lambda own: net(embedding.follow(own)))
        with one_backward_pass(net):
            convolution.weights = False
            if "features" in visits:
                visits["features"](features)
            if "input" in visits:
                if tokens:
                    embedding.check()
                jacobians = gradients_of(logits.sum(), embedding.vectors or [images], retain_graph=bool(by_weight))
                visits["input"](torch.cat([jacobian.flatten(1) for jacobian in jacobians], 1))
            convolution.weights = True
            if by_weight:
                _differentiate(loss(logits, labels), list(weights.known), visits, watch)


def _differentiate(loss: Tensor, weights: list[Tensor], visits: Visits, watch: _Layers | None) -> None:
    """Calls the visitors of gradients, curvature and layers."""
    check_weights(weights)
    twice = "curvature" in visits
    if watch is not None:
        watch.recording = True
    gradients = gradients_of(loss, weights, create_graph=twice)
    if watch is not None:
        watch.recording = False
    if "gradients" in visits:
        visits["gradients"]([(real(w), real(g.detach())) for w, g in zip(weights, gradients, strict=True)])
    if twice:
        squared = torch.stack([(g * g.detach()).sum() for g in map(real, gradients)]).sum()
        products = gradients_of(squared, weights)
        visits["curvature"]([(real(w), real(product)) for w, product in zip(weights, products, strict=True)])


def _note(
    weights: Weights, function: Callable[..., Tensor], input: Tensor, weight: Tensor, *args: Any, **kwargs: Any
) -> Tensor:
    weights.use(weight)
    return function(input, weight, *args, **kwargs)


def visit_halves(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
    """Two passes of half the images each.

    Visitors:
        gradients: (weight, [2, *weight] the gradients of the two halves' losses) of every convolution and linear
            weight, as one list.
    """
    half = len(images) // 2
    halves: list[list[tuple[Tensor, Tensor]]] = []
    for part in (slice(0, half), slice(half, 2 * half)):
        visit_batch(net, images[part], labels[part], {"gradients": halves.append})
    first, second = ([weight.data_ptr() for weight, _ in pairs] for pairs in halves)
    if first != second:
        raise ValueError("the two halves of the batch use different weights")
    visits["gradients"]([(weight, torch.stack([g, h])) for (weight, g), (_, h) in zip(*halves, strict=True)])


@contextmanager
def _seen(net: nn.Module, images: Tensor, handlers: Mapping[Any, Any], visits: Visits) -> Iterator[None]:
    """The contexts in which the network runs."""
    relus = Rectifiers(visits["relus"], len(images), net.parameters()) if "relus" in visits else nullcontext()
    with Intercept(handlers), relus:
        yield


class _Layers:
    """Hands the outputs of layers and their gradients to a visitor while ``recording``.

    The network goes on with a copy of each output, which it may change.
    """

    def __init__(self, visit: Callable[[Layer], None], samples: int, weights: Weights) -> None:
        self.visit = visit
        self.samples = samples
        self.weights = weights
        self.recording = False

    def use(self, function: Callable[..., Tensor], input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        out = function(input, weight, *args, **kwargs)
        if not self.weights.use(weight) or not out.requires_grad:
            return out
        check_samples(out, self.samples)
        if out.is_complex():
            raise ValueError("a layer gives complex numbers")
        output = out.detach()

        def take(gradient: Tensor | None) -> None:
            if self.recording and gradient is not None:
                self.visit(Layer(weight, output, gradient.detach()))

        out.register_hook(take)  # type: ignore[no-untyped-call]
        return out.clone()
