"""SWAP-Score (Peng et al. 2024, arXiv:2403.04161)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import proxy
from nas.registry import Range

BITS = 48
"""The most images: a pattern is one whole number in float64."""

MARKED = 16
"""Images up to which marking the patterns that occur among all possible ones is faster than sorting."""


@proxy("swap", family="activations", needs=("ReLUs",), paper="Peng et al. 2024, arXiv:2403.04161")
def swap(probe: Probe, *, images: Annotated[int, Range(1, BITS)] = 16) -> float:
    """How many different ways the ReLU units have to switch over the images; larger is better.

    The number of distinct columns of the binary patterns (input > 0), [images, units] of all ReLUs. Batch norm is in
    training mode over these images. Without the paper's optional regularisation by size.

    Args:
        images: how many of the minibatch, all where it has fewer; at most 48. At most 2^images patterns exist.
    """

    def columns(pattern: Tensor) -> Tensor:
        weights = 2.0 ** torch.arange(len(pattern), dtype=torch.float64, device=pattern.device)
        numbers = (weights @ pattern.double()).long()  # each column as one
        if len(pattern) > MARKED:
            return torch.unique(numbers)  # type: ignore[no-any-return]
        marks = torch.zeros(2 ** len(pattern), dtype=torch.bool, device=pattern.device)
        return marks.index_fill_(0, numbers, True).nonzero().flatten()

    return float(len(torch.unique(torch.cat(probe.map_relus(columns, samples=images)))))
