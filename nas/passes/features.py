"""The blocks of a network, and what each of them takes and gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


def blocks(net: nn.Module) -> list[nn.Module]:
    """The cells, blocks or stages of a network: its outermost modules with parts of their own, looking through
    containers, and through a module that is the only one."""
    found = [block for child in net.children() for block in _blocks(child)]
    return blocks(found[0]) if len(found) == 1 and list(found[0].children()) else found


def _blocks(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return [block for child in module.children() for block in _blocks(child)]
    return [module] if list(module.children()) else []


def is_feature(out: Tensor, module: nn.Module) -> bool:
    """Whether what a block gives is a feature: [samples, channels, height, width] or [samples, tokens, channels].

    What a module without parameters has pooled to a single place is none.
    """
    if out.ndim not in (3, 4) or not out.is_floating_point():
        return False
    return out.ndim == 3 or out[0, 0].numel() > 1 or next(module.parameters(), None) is not None


@contextmanager
def features_of(net: nn.Module, wanted: bool) -> Iterator[list[Tensor]]:
    """Collects the input of the first block and the output of each while the network runs."""
    features: list[Tensor] = []
    found = blocks(net) if wanted else []

    def before(module: nn.Module, inputs: Any) -> None:
        if not features and inputs and isinstance(inputs[0], Tensor):
            features.append(inputs[0])

    def after(module: nn.Module, inputs: Any, out: Any) -> None:
        if isinstance(out, Tensor) and is_feature(out, module):
            features.append(out)

    hooks = [block.register_forward_pre_hook(before) for block in found[:1]]
    hooks += [block.register_forward_hook(after) for block in found]
    try:
        yield features
    finally:
        for hook in hooks:
            hook.remove()
