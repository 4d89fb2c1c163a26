"""AZ-NAS (Lee & Ham 2024, arXiv:2403.19232): four views of a network, ranked together.

The features are what the network's blocks give (on NAS-Bench-201: the stem, the cells and the reductions). Batch norm
is in training mode over the batch, the initialisation the network's own. Labels do not count. The published code draws
Kaiming's normal weights and feeds Gaussian noise. Batch norm makes the first matter only where a convolution has none,
as in NAS-Bench-201's shortcuts, whose features it then lets grow over the cells'; both ranked cells worse here.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from nas.probe import Probe
from nas.proxy import ProxyFailure, combination, proxy

PAPER = "Lee & Ham 2024, arXiv:2403.19232"


@proxy("az_expressivity", paper=PAPER)
def az_expressivity(probe: Probe) -> Tensor:
    """How evenly the features fill their channels, summed over blocks; larger is better.

    Σ −Σ_j p_j log p_j, with p the eigenvalues of a feature's channel covariance divided by their sum.
    """
    return probe.features(entropies).sum()  # type: ignore[no-any-return]


@proxy("az_progressivity", paper=PAPER)
def az_progressivity(probe: Probe) -> Tensor:
    """Smallest increase of `az_expressivity`'s terms from block to block; larger is better."""
    return probe.features(entropies).diff().min()  # type: ignore[no-any-return]


@proxy("az_trainability", paper=PAPER)
def az_trainability(probe: Probe) -> Tensor:
    """How near each block comes to keeping gradients' lengths, mean over blocks; larger is better.

        mean of −s − 1 / (s + 1e-6) + 2,   s the largest singular value of mean over pixels of u (Jᵀ u)ᵀ

    J is the Jacobian of a block's output with respect to its input and u a Rademacher vector, one for each block. Where
    the block's output is smaller, the pixels that become one are stacked as channels. As in the published code, a block
    that passes gradients on unchanged counts as the worst: here the proxy fails.
    """

    def trainability(features: list[Tensor]) -> Tensor:
        generator = torch.Generator().manual_seed(probe.seed)
        scores = []
        for source, target in reversed(list(pairwise(features))):
            u = torch.randint(0, 2, target.shape, generator=generator, dtype=torch.int8).mul_(2).sub_(1).to(target)
            if not target.requires_grad:
                raise ProxyFailure("a block does not depend on the images")
            (v,) = torch.autograd.grad(target, source, u, retain_graph=True, allow_unused=True, materialize_grads=True)
            if v.shape == u.shape and torch.equal(u, v):
                raise ProxyFailure("a block passes its input on unchanged")
            if v.ndim == 4 and v.shape[2:] != u.shape[2:]:
                v = F.pixel_unshuffle(v, v.shape[2] // u.shape[2])
            v, u = by_channel(v), by_channel(u)
            matrix = (v @ u.transpose(1, 2)).sum(0) / (len(u) * u.shape[2])
            s = torch.linalg.matrix_norm(matrix.double(), 2)
            scores.append(-s - 1 / (s + 1e-6) + 2)
        return torch.stack(scores).mean()

    return probe.features(lambda features: trainability(several(features)))  # type: ignore[no-any-return]


az_nas = combination(
    "az_nas", ("az_expressivity", "az_progressivity", "az_trainability", "flops"), log=True, paper=PAPER
)


def entropies(features: list[Tensor]) -> Tensor:
    """The entropy of the normalised eigenvalues of each feature's channel covariance, [features] float64."""

    def entropy(feature: Tensor) -> Tensor:
        feature = by_channel(feature.detach())
        feature = feature - feature.mean((0, 2), keepdim=True)
        covariance = (feature @ feature.transpose(1, 2)).sum(0).double() / (len(feature) * feature.shape[2])
        eigenvalues = torch.linalg.eigvalsh(covariance).clamp_min(0)
        if not eigenvalues.sum() > 0:
            raise ProxyFailure("the features of a block are constant")
        p: Tensor = eigenvalues / eigenvalues.sum()
        return -torch.sum(p * torch.where(p > 0, p, 1.0).log())

    return torch.stack([entropy(feature) for feature in several(features)])


def several(features: list[Tensor]) -> list[Tensor]:
    if len(features) < 2:
        raise ProxyFailure("the network has no blocks: no module with parts of its own gives features")
    return features


def by_channel(feature: Tensor) -> Tensor:
    """[samples, channels, height, width] or [samples, tokens, channels] -> [samples, channels, pixels or tokens]."""
    return feature.flatten(2) if feature.ndim == 4 else feature.transpose(1, 2)
