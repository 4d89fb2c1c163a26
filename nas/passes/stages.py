"""What a network is made of, from its input to its output: the parts that it runs one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

MOST = 24
"""The most parts of a network; containers are opened as long as there are no more."""


class Stage(NamedTuple):
    """A part of a network.

    Attributes:
        name: its path in the network.
        kind: the name of its class.
        shape: of its output, without the samples; empty where that is no tensor.
        params: the number of its weights, those included that it shares.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    params: int


def stages(net: nn.Module, inputs: Tensor, most: int = MOST) -> list[Stage]:
    """The parts of ``net`` in the order in which a forward pass of ``inputs`` first calls them.

    They are its children; a list or sequence among them, or an only child, is opened into its own children as long as
    there are at most ``most`` parts. The network is put into evaluation mode.
    """
    called: dict[str, Stage] = {}

    def noting(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, _: Any, output: Any) -> None:
            shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
            params = sum(weight.numel() for weight in module.parameters())
            called.setdefault(name, Stage(name, type(module).__name__, shape, params))

        return note

    handles = [module.register_forward_hook(noting(name)) for name, module in _parts(net, most).items()]
    try:
        with torch.no_grad():
            net.eval()(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return list(called.values())


def _parts(net: nn.Module, most: int) -> dict[str, nn.Module]:
    """Modules by their paths, each within none of the others."""
    parts: dict[str, nn.Module] = {"": net}
    while True:
        for name, module in parts.items():
            inside = {f"{name}.{child}".lstrip("."): part for child, part in module.named_children()}
            never_called = isinstance(module, nn.ModuleList | nn.ModuleDict)
            opens = never_called or len(parts) == 1 or isinstance(module, nn.Sequential)
            if inside and opens and (never_called or len(parts) - 1 + len(inside) <= most):
                parts = {
                    key: part
                    for one, own in parts.items()
                    for key, part in (inside.items() if one == name else ((one, own),))
                }
                break
        else:
            return parts
