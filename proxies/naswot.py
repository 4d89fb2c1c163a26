"""NASWOT (Mellor et al. 2021, arXiv:2006.04647)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from nas.probe import Probe, product_of_signs
from nas.proxy import ProxyFailure, proxy
from nas.registry import Range

PART = 0.95
"""How much of each convolution's weight is dropped."""


@proxy("naswot", family="activations", passes=0.62, needs=("ReLUs",), paper="Mellor et al. 2021, arXiv:2006.04647")
def naswot(probe: Probe) -> Tensor:
    """How differently the network's ReLUs respond to different images; larger is better.

        log |det K|,   K = Σ over ReLU layers of X Xᵀ + (1 − X)(1 − X)ᵀ

    X [samples, units] is the binary pattern (input > 0) of one layer, so K_ij counts the units on which images i and j
    agree. Batch norm is in training mode over the batch. Not divided by the number of units. Fails where K is singular:
    two images switch every unit alike.

    Every ReLU that runs counts, in dead branches too: the published code leaves out those that a backward pass does not
    reach, but on NAS-Bench-201, where it multiplies by zero for ``none``, it reaches them all. It selects ReLUs by
    their names, so that each but the last is registered, and counted, twice.
    """

    return log_determinant(probe.map_relus(agreement))


@proxy("naswot_ncd", family="activations", passes=0.65, needs=("ReLUs",), paper="Kang et al. 2025, ICCV (our reading)")
def naswot_ncd(probe: Probe, *, part: Annotated[float, Range(0, 1)] = PART) -> Tensor:
    """`naswot` of the network with its convolutions thinned out; larger is better.

    Among networks of many convolutions, `naswot` ranks against accuracy. The repair: each convolution computes
    Σ W ⊙ M ⊙ X, M a mask that drops ``part`` of its terms at random, and layer norm takes batch norm's place. No code
    was published; ours are: one mask for each convolution, of its weight's shape, the same at all places and for all
    images, without scaling up what is left; layer norm over the channels and pixels of each image, with the batch
    norm's scale and shift; the network's own initialisation and the whole minibatch.

    Args:
        part: how much of each weight is dropped; .95 is the paper's for NAS-Bench-201.
    """
    return log_determinant(probe.map_thinned_relus(agreement, part))


def agreement(pattern: Tensor) -> Tensor:
    """On how many units of a layer two images agree, [samples, samples]."""
    signs = pattern.to(torch.int8).mul_(2).sub_(1)  # with Z = 2 X − 1, the layer's term is (Z Zᵀ + units) / 2
    return (product_of_signs(signs, signs.T) + signs.shape[1]) / 2


def log_determinant(layers: list[Tensor]) -> Tensor:
    logdet: Tensor = torch.linalg.slogdet(torch.stack(layers).sum(0)).logabsdet
    if not logdet.isfinite():
        raise ProxyFailure("the kernel is singular: some images give the same activation pattern")
    return logdet
