"""Plain counts of a network's costs. Every comparison shows them, because a high score may only count weights."""

from __future__ import annotations

import torch

from nas.probe import Probe
from nas.proxy import ProxyFailure, proxy


@proxy("params", family="counts", passes=0.0021, grows=True, static=True)
def params(probe: Probe) -> float:
    """The number of parameters, including those that the output does not depend on."""
    return float(probe.params)


@proxy("flops", family="counts", passes=0.0025, grows=True, static=True)
def flops(probe: Probe) -> float:
    """Multiply-accumulates of the convolutions and linear layers for one input.

    Batch norm, ReLU and pooling do not count, as they do in some published tables.
    """
    return float(probe.trace.flops)


@proxy("depth", family="counts", passes=0.0017, static=True)
def depth(probe: Probe) -> float:
    """The number of convolutions on the longest path from the input to the output."""
    return float(probe.trace.depth)


@proxy("convolutions", family="counts", passes=0.11, static=True)
def convolutions(probe: Probe) -> float:
    """The number of convolutions that run, whether the output depends on them or not."""
    return float(probe.convolutions)


@proxy("layers", family="counts", passes=0.92, static=True)
def layers(probe: Probe) -> float:
    """The number of blocks that the network is a chain of: of a transformer its layers, of a cell network its cells and
    what lies between them.

    Blocks are those of `nas.probe.Probe.features`, between the first and the last features.
    """
    return float(len(_features(probe)) - 1)


@proxy("width", family="counts", passes=0.71, static=True)
def width(probe: Probe) -> float:
    """The number of channels of what the last block gives; blocks are those of `layers`."""
    shape = _features(probe)[-1]
    return float(shape[1] if len(shape) > 3 else shape[-1])


def _features(probe: Probe) -> list[torch.Size]:
    """The shapes of the features."""
    shapes: list[torch.Size] = probe.features(lambda features: [feature.shape for feature in features])
    if not shapes:
        raise ProxyFailure("the network has no blocks: no module with parts of its own gives features")
    return shapes
