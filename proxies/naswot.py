"""NASWOT (Mellor et al. 2021, arXiv:2006.04647)."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.probe import Probe, product_of_signs
from nas.proxy import ProxyFailure, proxy


@proxy("naswot", family="activations", needs=("ReLUs",), paper="Mellor et al. 2021, arXiv:2006.04647")
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

    def agreement(pattern: Tensor) -> Tensor:
        signs = pattern.to(torch.int8).mul_(2).sub_(1)  # with Z = 2 X − 1, the layer's term is (Z Zᵀ + units) / 2
        return (product_of_signs(signs, signs.T) + signs.shape[1]) / 2

    kernel: Tensor = sum(probe.map_relus(agreement))
    logdet: Tensor = torch.linalg.slogdet(kernel).logabsdet
    if not logdet.isfinite():
        raise ProxyFailure("the kernel is singular: some images give the same activation pattern")
    return logdet
