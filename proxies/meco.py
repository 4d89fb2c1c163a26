"""MeCo (Jiang et al. 2023, NeurIPS)."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import ProxyFailure, proxy


@proxy("meco", family="activations", passes=0.13, needs=("convolutions",), paper="Jiang et al. 2023, NeurIPS 36")
def meco(probe: Probe) -> Tensor:
    """Smallest eigenvalue of the channels' correlation matrix, summed over layers; larger is better.

        Σ_layers λ_min(corr(f)),   f [channels, pixels] the feature map of one image

    Layers are the convolutions; the one image is the minibatch's first, batch norm is in training mode on it alone. A
    constant channel has correlation zero with all, itself included. A layer with at least as many channels as pixels
    adds zero; where all do, there is no score. The published code adds the outputs of all modules, containers included,
    for an image of noise.
    """
    eigenvalues = torch.stack(probe.map_convolutions(smallest_eigenvalue, samples=1))
    if not eigenvalues.any():
        raise ProxyFailure("the channels of every convolution depend on each other: all smallest eigenvalues are zero")
    return eigenvalues.sum()


def smallest_eigenvalue(output: Tensor) -> Tensor:
    channels = output[0].double().flatten(1)  # [channels, pixels]
    centred = channels - channels.mean(1, keepdim=True)
    varies = channels.amax(1, keepdim=True) > channels.amin(1, keepdim=True)  # the difference would hide it by rounding
    centred = torch.where(varies, centred / centred.norm(dim=1, keepdim=True), 0.0)
    smallest: Tensor = torch.linalg.eigvalsh(centred @ centred.T)[0]
    rounding = len(channels) * (4 * torch.finfo(output.dtype).eps) ** 2  # of a matrix whose entries are at most 1
    return torch.where(smallest > rounding, smallest, 0.0)
