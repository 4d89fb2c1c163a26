"""WRCor (Jing et al. 2025, arXiv:2507.08841)."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.probe import Probe, Rectified
from nas.proxy import ProxyFailure, proxy


@proxy(
    "wrcor", family="activations", passes=1.9, labels=True, needs=("ReLUs",), paper="Jing et al. 2025, arXiv:2507.08841"
)
def wrcor(probe: Probe, *, weighted: bool = True) -> Tensor:
    """How differently the units before ReLUs, and their gradients, respond to different images; larger is better.

        log |det K|,   K = Σ_l 2^l Σ over ReLUs of l of |corr x| + |corr ∂L/∂x|

    x [samples, units] is a ReLU's input and corr the correlation of its rows, [samples, samples]; l counts the blocks
    of the network from 0 (cells and reductions; ReLUs before, between and after them count as one more each), so the
    last blocks outweigh all others. A matrix in which a row does not vary, as where a gradient is zero, is left out.
    The gradient is the one through this ReLU; L is the mean loss of the batch, batch norm in training mode over it.
    Calls of ReLU functions count, and in-place ones show their input (the published code's hooks, their output).
    Fails where K is singular.

    Args:
        weighted: False leaves 2^l out.
    """

    def similarity(relu: Rectified) -> tuple[Tensor, float]:
        scale = 2.0**relu.level if weighted else 1.0
        return scale * (correlation(relu.value) + correlation(relu.gradient)), torch.finfo(relu.value.dtype).eps

    matrices, roundings = zip(*probe.map_rectified(similarity), strict=True)
    kernel: Tensor = sum(matrices)
    values: Tensor = torch.linalg.svdvals(kernel)
    if not values[-1] > len(kernel) * max(roundings) * values[0]:
        raise ProxyFailure("the kernel is singular up to rounding: some images give the same activations and gradients")
    return values.log().sum()


def correlation(x: Tensor) -> Tensor:
    """The absolute correlations of the rows, [samples, samples] float64; zeros where that of some is not defined."""
    rows = x.flatten(1).double()
    rows = rows - rows.mean(1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True)
    matrix = (rows @ rows.T).abs()
    return matrix if matrix.isfinite().all() else torch.zeros_like(matrix)
