"""SWAP-Score (Peng et al. 2024, arXiv:2403.04161)."""

from __future__ import annotations

from math import exp
from sys import float_info
from typing import Annotated

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import ProxyFailure, proxy
from nas.registry import Range
from proxies.naswot import PART

BITS = 48
"""The most images: a pattern is one whole number in float64."""

MARKED = 16
"""Images up to which marking the patterns that occur among all possible ones is faster than sorting."""


@proxy("swap", family="activations", passes=0.38, needs=("ReLUs",), paper="Peng et al. 2024, arXiv:2403.04161")
def swap(
    probe: Probe, *,
    images: Annotated[int, Range(1, BITS)] = 16, mu: Annotated[float, Range(0)] = 0.0,
    sigma: Annotated[float, Range(0)] = 0.0,
) -> float:  # fmt: skip
    """How many different ways the ReLU units have to switch over the images; larger is better.

        |distinct columns|,   or with ``sigma``   |distinct columns| · exp(−(P / 1000 − μ)² / σ)

    Columns are those of the binary patterns (input > 0), [images, units] of all ReLUs; P is the number of parameters.
    Batch norm is in training mode over these images. The published code draws weights from N(0, 1), takes the mean of
    32 draws (``initialisation=gaussian``, ``initialisations=32``), and counts only ReLUs of feature maps.

    Args:
        images: how many of the minibatch, all where it has fewer; at most 48. At most 2^images patterns exist.
        mu, sigma: the paper's regularisation, a preference for a size that is set by hand, not measured; σ is not
            squared, 0 is without. Fails where the factor is too small for a number.
    """
    score = float(distinct(probe.map_relus(columns, samples=images)))
    if sigma == 0:
        return score
    distance = (probe.params / 1000 - mu) ** 2 / sigma
    factor = exp(-distance)
    if factor < float_info.min:
        raise ProxyFailure(
            f"the factor of a network of {probe.params} parameters is exp(−{distance:.0f}), "
            "too small for a number: a larger sigma makes it one"
        )
    return score * factor


@proxy("swap_ncd", family="activations", passes=0.26, needs=("ReLUs",), paper="Kang et al. 2025, ICCV (our reading)")
def swap_ncd(
    probe: Probe, *, images: Annotated[int, Range(1, BITS)] = 16, part: Annotated[float, Range(0, 1)] = PART
) -> float:
    """`swap` of the network with its convolutions thinned out; larger is better.

    The repair, and what of it is ours, are those of `proxies.naswot.naswot_ncd`.

    Args:
        images: as in `swap`.
        part: how much of each weight is dropped.
    """
    return float(distinct(probe.map_thinned_relus(columns, part, samples=images)))


def columns(pattern: Tensor) -> Tensor:
    """The distinct columns of a pattern [images, units], each as one number."""
    weights = 2.0 ** torch.arange(len(pattern), dtype=torch.float64, device=pattern.device)
    numbers = (weights @ pattern.double()).long()
    if len(pattern) > MARKED:
        return torch.unique(numbers)  # type: ignore[no-any-return]
    marks = torch.zeros(2 ** len(pattern), dtype=torch.bool, device=pattern.device)
    return marks.index_fill_(0, numbers, True).nonzero().flatten()


def distinct(layers: list[Tensor]) -> int:
    """How many different numbers there are in all."""
    return len(torch.unique(torch.cat(layers)))
