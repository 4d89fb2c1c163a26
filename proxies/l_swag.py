"""L-SWAG (Casarin et al. 2025, arXiv:2505.07300)."""

from __future__ import annotations

from typing import Annotated, TypeVar

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import ProxyFailure, proxy
from nas.registry import Range
from proxies.swap import BITS, columns, distinct

Part = TypeVar("Part")

BINS = 10
"""Into how many the depth of a network is divided."""


@proxy(
    "l_swag", family="gradients", passes=1.4, labels=True, needs=("ReLUs",),
    paper="Casarin et al. 2025, arXiv:2505.07300 (our reading)",
)  # fmt: skip
def l_swag(
    probe: Probe, *,
    images: Annotated[int, Range(1, BITS)] = 16, first: Annotated[int, Range(1, BINS)] = 1,
    last: Annotated[int, Range(1, BINS)] = BINS,
) -> Tensor:  # fmt: skip
    """How steady the sizes of gradients are, times how many ways units have to switch; larger is better.

        Λ Ψ,   Λ = Σ_layers log Σ_w 1 / std |∂L/∂w|,   Ψ the distinct columns of ReLU patterns, as in `swap`

    No code was published. As in `zico`, std is over the two halves of the minibatch, batch norm in training mode over
    each, and weights with std zero do not count; unlike there, it is of absolute gradients. The layers from ``first``
    to ``last`` count for Λ, the ReLUs up to ``last`` for Ψ; both are divided by their order, which is ours. The paper
    finds the bins around the spike of std over 1,000 networks of the space: here they are all, unless set. Fails where
    Λ is not positive, since a larger Ψ would then count against the network.

    Args:
        images: how many of the minibatch Ψ takes.
        first, last: bins of depth, of 10.
    """
    if first > last:
        raise ProxyFailure(f"no layer lies from bin {first} to bin {last}")
    gradients = probe.half_gradients()
    patterns = probe.map_relus(columns, samples=images)
    terms = [steadiness(gradient) for _, gradient in within(gradients, first, last)]
    steady = torch.stack([term for term in terms if term.isfinite()] or [torch.zeros(())]).sum()
    if not steady > 0:
        raise ProxyFailure("Λ, the sum over layers of log Σ 1 / std, is not positive")
    return steady * distinct(within(patterns, 1, last))


def steadiness(gradient: Tensor) -> Tensor:
    """log Σ_w 1 / std |g| of [2, *w], minus infinity where no weight's differ."""
    one, other = gradient.double().abs().flatten(1)
    spread = (one - other).abs() / 2  # the standard deviation of two numbers
    total: Tensor = (1 / spread[spread > 0]).sum()
    return total.log()


def within(parts: list[Part], first: int, last: int) -> list[Part]:
    """Those of some parts, in order of depth, that lie in the bins from ``first`` to ``last``."""
    bins = [BINS * number // len(parts) + 1 for number in range(len(parts))]
    return [part for part, own in zip(parts, bins, strict=True) if first <= own <= last]
