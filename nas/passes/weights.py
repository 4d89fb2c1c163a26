"""The weights that proxies look at, and gradients with respect to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nas.passes.layers import own_weight


def convolution_and_linear_weights(net: nn.Module) -> list[Tensor]:
    """The weights of all Conv2d and Linear modules and the projections of attention modules, each once.

    Raises:
        ValueError: one is no parameter but computed from others, as by weight normalisation.
    """
    found: dict[int, Tensor] = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            found[id(module.weight)] = own_weight(module, name)
        elif isinstance(module, nn.MultiheadAttention):
            found |= {id(p): p for p in module.parameters(recurse=False) if p.ndim == 2}
    return list(found.values())


def gradients_of(value: Tensor, inputs: list[Tensor], **how: Any) -> tuple[Tensor, ...]:
    """The gradients of ``value``; zeros for what it does not depend on."""
    if not value.requires_grad:
        return tuple(map(torch.zeros_like, inputs))
    return torch.autograd.grad(value, inputs, materialize_grads=True, allow_unused=True, **how)
