"""A pass through the linearised network: absolute parameters, no batch norm, an input of ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nas.passes.intercept import ATTENTIONS, SOFTMAXES, Intercept, Visits, no_normalisation, normalising, untouched
from nas.passes.weights import convolution_and_linear_weights, gradients_of


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
    its absolute value, batch norm is bypassed, and all is float64.

    Visitors:
        flow: each convolution and linear weight, a `Flow`.
    """
    absolute = {name: parameter.detach().double().abs() for name, parameter in net.named_parameters()}
    buffers = {name: b.double() if b.is_floating_point() else b.clone() for name, b in net.named_buffers()}
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    chosen = [names[id(weight)] for weight in convolution_and_linear_weights(net)]
    ones = torch.ones_like(images[:1], dtype=torch.float64)
    with untouched(net), _attending(net, normalising(no_normalisation)) as (attending, handlers), Intercept(handlers):
        for name in chosen:
            absolute[name].requires_grad_()
        logits = functional_call(net, absolute | buffers, (ones,))
    gradients = gradients_of(logits.sum(), [absolute[name] for name in chosen])
    around = {name.rpartition(".")[0] for name in attending}
    for name, gradient in zip(chosen, gradients, strict=True):
        role = "attention" if _inside(name, attending) else "mlp" if _inside(name, around - {""}) else "other"
        visits["flow"](Flow(absolute[name].detach(), gradient, role))


@contextmanager
def _attending(net: nn.Module, handlers: dict[Any, Any]) -> Iterator[tuple[set[str], dict[Any, Any]]]:
    """The names of the modules that attend, found while the network runs, and ``handlers`` that also find them."""
    running: list[str] = []
    found: set[str] = set()

    def attend(function: Callable[..., Any], handler: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        square = function in ATTENTIONS or (args[0].ndim > 2 and args[0].shape[-1] == args[0].shape[-2])
        if square and running:
            found.add(running[-1])
        return handler(*args, **kwargs)

    def enter(module: nn.Module, inputs: Any) -> None:
        running.append(names[module])

    def leave(module: nn.Module, inputs: Any, out: Any) -> None:
        running.pop()

    names = {module: name for name, module in net.named_modules()}
    hooks = [module.register_forward_pre_hook(enter) for module in names]
    hooks += [module.register_forward_hook(leave) for module in names]
    try:
        yield found, handlers | {f: partial(attend, f, handlers.get(f, f)) for f in (*ATTENTIONS, *SOFTMAXES)}
    finally:
        for hook in hooks:
            hook.remove()


def _inside(name: str, modules: set[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)
