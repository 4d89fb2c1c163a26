"""What each weight of a transformer is for: attention, or the perceptron in the block around one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nas.passes.intercept import ATTENTIONS, SOFTMAXES, Intercept, Visits, batch_normalisation, normalising
from nas.passes.running import untouched
from nas.passes.weights import Weights

TRANSFORMS = (torch.fft.fft, torch.fft.fft2, torch.fft.fftn, torch.fft.rfft, torch.fft.rfft2, torch.fft.rfftn)
"""Functions that mix the tokens of a transformer without attention."""


class Role(NamedTuple):
    """What a convolution or linear weight is for.

    Attributes:
        weight: the parameter.
        role: ``attention`` in a module that mixes tokens, ``mlp`` elsewhere in the block around one, else ``other``.
        name: the parameter's.
        block: the name of the block around the module that mixes tokens; empty for ``other``.
    """

    weight: Tensor
    role: str
    name: str
    block: str


def visit_roles(net: nn.Module, inputs: Tensor, visits: Visits) -> None:
    """A forward pass.

    Visitors:
        roles: a `Role` of each convolution and linear weight, as one list.
    """
    with untouched(net) as run, torch.no_grad():
        weights = Weights(net)
        handlers = normalising(batch_normalisation) | weights.handlers()
        with mixing(net, handlers, TRANSFORMS) as (modules, handlers):
            run(inputs, Intercept(handlers))
        names: dict[Tensor, str] = {parameter: name for name, parameter in net.named_parameters()}
        visits["roles"]([Role(weight, *role_of(names[weight], modules)) for weight in weights.known])


def role_of(name: str, modules: set[str]) -> tuple[str, str, str]:
    """The role of the parameter called ``name``, that name and the block, where these modules mix tokens."""
    around = {module.rpartition(".")[0] for module in modules} - {""}
    own = [module for module in modules if name.startswith(f"{module}.")]
    blocks = [block for block in around if name.startswith(f"{block}.")]
    block = max(blocks, key=len, default="")
    return ("attention" if own else "mlp" if blocks else "other"), name, block


@contextmanager
def mixing(
    net: nn.Module, handlers: dict[Any, Any], further: tuple[Callable[..., Any], ...] = ()
) -> Iterator[tuple[set[str], dict[Any, Any]]]:
    """The names of the modules that attend, found while the network runs, and ``handlers`` that also find them.

    Args:
        further: functions that make a module one of them, beside attention.
    """
    running: list[str] = []
    modules: set[str] = set()

    def attend(function: Callable[..., Any], handler: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        square = function in ATTENTIONS or (args[0].ndim > 2 and args[0].shape[-1] == args[0].shape[-2])
        if (square or function in further) and running:
            modules.add(running[-1])
        return handler(*args, **kwargs)

    def enter(module: nn.Module, inputs: Any) -> None:
        running.append(names[module])

    def leave(module: nn.Module, inputs: Any, out: Any) -> None:
        running.pop()

    names = {module: name for name, module in net.named_modules()}
    hooks = [module.register_forward_pre_hook(enter) for module in names]
    hooks += [module.register_forward_hook(leave) for module in names]
    watched: list[Callable[..., Any]] = [*ATTENTIONS, *SOFTMAXES, *further]
    try:
        yield modules, handlers | {f: partial(attend, f, handlers.get(f, f)) for f in watched}
    finally:
        for hook in hooks:
            hook.remove()
