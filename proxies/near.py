"""NEAR (Husistein et al. 2025, arXiv:2408.08776)."""

from __future__ import annotations

from typing import Annotated
from zlib import crc32

import torch
from torch import Tensor, nn

from nas.probe import Output, Probe
from nas.proxy import ProxyFailure, proxy
from nas.registry import Range


@proxy("near", family="activations", passes=0.47, needs=("images",), paper="Husistein et al. 2025, arXiv:2408.08776")
def near(probe: Probe, *, images: Annotated[int, Range(1)] = 16) -> Tensor:
    """Effective rank of what each layer gives, summed over layers; larger is better.

        Σ_layers exp(−Σ_j p_j log p_j),   p = σ / Σ σ,   σ the singular values of M, not centred

    Layers are the modules with a weight (convolutions, linear layers, batch norms) and torch's activation modules, so
    that convolution, batch norm and ReLU are three terms; functions are not seen. M has the channels as columns, and as
    rows as many contiguous pixels, counted down the columns of one image after the other: the first one is W u, W the
    width of the map (of linear layers their number of outputs) and u uniform in 0 … ⌊rows / W⌋ − 2. It ends earlier
    where the images do, and has fewer rows than columns where there are no more. A zero M counts zero. Batch norm is in
    training mode over the images; labels do not count. The paper takes the mean of 32 initialisations
    (``initialisations``), its example one.

    Args:
        images: how many of the minibatch, all where it has fewer. The published code feeds one at a time, in training
            mode, until there are as many rows as channels.
    """

    def rank(output: Output) -> Tensor | None:
        is_activation = type(output.module).__module__ == nn.ReLU.__module__ and output.value.ndim != 3
        if not hasattr(output.module, "weight") and not is_activation:
            return None
        return effective_rank(cut(output.value, probe.seed ^ crc32(output.name.encode())))

    ranks = [value for value in probe.map_modules(rank, samples=images) if value is not None]
    if not ranks:
        raise ProxyFailure("the network has no module with a weight, and none that is an activation")
    return torch.stack(ranks).sum()


def cut(value: Tensor, seed: int) -> Tensor:
    """The rows of M, [at most channels, channels], among all of a layer's pixels."""
    if value.ndim not in (2, 4):
        raise ProxyFailure(f"a layer gives {value.ndim} dimensions: only maps and vectors have rows of channels")
    width, channels = value.shape[-1], value.shape[1]
    rows = value.permute(0, 3, 2, 1).flatten(0, 2) if value.ndim == 4 else value
    stream = torch.Generator().manual_seed(seed)
    start = int(torch.randint(max(len(rows) // width - 1, 1), (), generator=stream)) * width
    return rows[start : start + channels]


def effective_rank(matrix: Tensor) -> Tensor:
    """exp of the entropy of the normalised singular values; zero for a zero matrix.

    >>> float(effective_rank(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))).__round__(4)
    1.7548
    """
    values: Tensor = torch.linalg.svdvals(matrix.double())
    total = values.sum()
    return torch.special.entr(values / total).sum().exp() if total > 0 else total
