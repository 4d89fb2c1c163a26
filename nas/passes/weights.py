"""The weights that proxies measure, and gradients with respect to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import debug_unwrap
from torch.nn import functional as F

from nas.passes.intercept import (
    ATTENTION,
    CONVOLUTION,
    LINEAR,
    Intercept,
    attention_projected_by,
    no_normalisation,
    normalising,
)
from nas.passes.running import untouched
from nas.passes.state import check_values


class Weights:
    """The convolution and linear weights of a network, as they become known while it runs.

    They are the weights of `nn.Conv2d`, `nn.Linear` and `nn.MultiheadAttention`, any other parameter that ``conv2d`` or
    ``linear`` use, and the parameters of more than one dimension that a weight of these is computed from, but for its
    scales: those of a single dimension that is longer than one, beside another parameter (a factor of rank one that is
    added to a whole weight has the shape of a scale, and is taken for one). The weights of other layers (``conv1d``,
    ``conv3d``, transposed convolutions, embeddings) are left out.

    Attributes:
        known: each once: those of modules, then the others in the order of their use.
        candidates: the other parameters of more than one dimension.
        used: those of ``known`` that ``conv2d`` or ``linear`` took as they are.
        origins: those that a weight was computed from.
    """

    def __init__(self, net: nn.Module) -> None:
        for parameter in net.parameters():
            check_values(parameter)
        parameters = dict.fromkeys(parameter for parameter in net.parameters() if parameter.ndim > 1)
        self.known = dict.fromkeys(weight for weight in _of_modules(net) if weight in parameters)
        self.candidates = dict.fromkeys(parameter for parameter in parameters if parameter not in self.known)
        self.used: set[Tensor] = set()
        self.origins: set[Tensor] = set()

    def use(self, weight: Tensor) -> bool:
        """Notes a weight of ``conv2d`` or ``linear``; returns whether it is a parameter or computed from some."""
        for tensor in (weight, weight._base):  # or some rows of one, say
            if tensor in self.known or tensor in self.candidates:
                self.known.setdefault(tensor)
                self.used.add(tensor)
                return True
        origins = {leaf for leaf in leaves(weight) if leaf in self.known or leaf in self.candidates}
        origins = {leaf for leaf in origins if leaf in self.known or not _is_vector(leaf)} or origins
        self.known |= dict.fromkeys(parameter for parameter in self.candidates if parameter in origins)
        self.origins |= origins
        return bool(origins)

    def handlers(self) -> dict[Callable[..., Any], Callable[..., Any]]:
        """Handlers under which weights become known."""

        def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            self.use(weight)
            return F.linear(input, weight, bias)

        def convolution(input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            self.use(weight)
            return F.conv2d(input, weight, *args, **kwargs)

        return {CONVOLUTION: convolution, LINEAR: linear, ATTENTION: attention_projected_by(linear)}

    def require_gradients(self, net: nn.Module) -> None:
        """Makes only these require gradients, not biases and norm layers."""
        require_gradients(net, {*self.known, *self.candidates})


def require_gradients(net: nn.Module, wanted: Collection[Tensor] = ()) -> None:
    """Makes only these parameters require gradients."""
    for parameter in net.parameters():
        parameter.requires_grad_(parameter in wanted)


def _is_vector(parameter: Tensor) -> bool:
    return sum(size > 1 for size in parameter.shape) < 2


def _of_modules(net: nn.Module) -> list[Tensor | None]:
    weights: list[Tensor | None] = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weights.append(module._parameters.get("weight"))  # None where it is computed
        elif isinstance(module, nn.MultiheadAttention):
            weights += [parameter for parameter in module.parameters(recurse=False) if parameter.ndim == 2]
    return weights


def weights_of(net: nn.Module, batches: Iterable[Tensor]) -> list[Tensor]:
    """The `Weights` of a network that are known after it has run on these images."""
    weights = Weights(net)
    if weights.candidates:  # layers may use them, which shows when the network runs
        for images in batches:
            with untouched(net) as run:
                weights.require_gradients(net)
                run(images, Intercept(normalising(no_normalisation) | weights.handlers()))
    return list(weights.known)


def real(tensor: Tensor) -> Tensor:
    """``tensor``, or the real and imaginary parts of complex numbers: each is a weight of its own."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def check_weights(weights: Collection[Tensor]) -> None:
    if not weights:
        raise ValueError(
            "the network has no convolution of two dimensions and no linear layer, whose weights are needed"
        )


def gradients_of(value: Tensor, inputs: list[Tensor], **how: Any) -> tuple[Tensor, ...]:
    """The gradients of ``value``; zeros for what it does not depend on.

    Raises:
        ValueError: the network calls a function without a second derivative in torch.
    """
    if not value.requires_grad:
        return tuple(map(torch.zeros_like, inputs))
    try:
        return torch.autograd.grad(value, inputs, materialize_grads=True, allow_unused=True, **how)
    except RuntimeError as error:
        missing = re.search(r"derivative for '?(?:aten::)?_?(\w+)_backward'? is not implemented", str(error))
        if missing:
            raise ValueError(f"torch has no second derivative of {missing[1]}, which the network calls") from error
        raise


@contextmanager
def one_backward_pass(net: nn.Module) -> Iterator[None]:
    """A context that raises where gradients have reached parameters by another backward pass than the one in it, as in
    functions that recompute what they need: the result lacks these gradients."""
    parameters = list(net.parameters())
    for parameter in parameters:
        parameter.grad = None
    yield
    if any(parameter.grad is not None for parameter in parameters):
        raise ValueError(
            "the network runs a backward pass of its own within the backward pass, whose gradients are lost"
        )


def leaves(tensor: Tensor) -> set[Tensor]:
    """The tensors requiring gradients that ``tensor`` was computed from, as recorded by autograd."""
    variables: set[Tensor] = set()
    for node in nodes(tensor):
        if hasattr(node, "variable"):
            variables.add(node.variable)
    return variables


def nodes(tensor: Tensor) -> set[Any]:
    """The functions of autograd's graph by which ``tensor`` was computed."""
    seen: set[Any] = {debug_unwrap(tensor).grad_fn} - {None}
    waiting = list(seen)
    while waiting:
        before = {function for function, _ in waiting.pop().next_functions} - seen - {None}
        seen |= before
        waiting += before
    return seen
