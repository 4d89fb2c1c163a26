"""Plain counts of a network's costs. Every comparison shows them, because a high score may only count weights."""

from __future__ import annotations

from nas.probe import Probe
from nas.proxy import proxy


@proxy("params", static=True)
def params(probe: Probe) -> float:
    """The number of parameters, including those that the output does not depend on."""
    return float(probe.params)


@proxy("flops", static=True)
def flops(probe: Probe) -> float:
    """Multiply-accumulates of the convolutions and linear layers for one input.

    Batch norm, ReLU and pooling do not count, as they do in some published tables.
    """
    return float(probe.trace.flops)


@proxy("depth", static=True)
def depth(probe: Probe) -> float:
    """The number of convolutions on the longest path from the input to the output."""
    return float(probe.trace.depth)
