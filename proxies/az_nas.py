"""AZ-NAS (Lee & Ham 2024, arXiv:2403.19232): four views of a network, ranked together.

The features are what the network's blocks give (on NAS-Bench-201: the stem, the cells and the reductions). Batch norm
is in training mode over the batch, the initialisation the network's own. Labels do not count. The published code draws
Kaiming's normal weights and feeds Gaussian noise. With batch norm the first matters only where no norm follows a
convolution, as in NAS-Bench-201's shortcuts, whose features it then lets grow over the cells'. That either ranks cells
differently was not seen on 30 of them.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

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
    the block's output is smaller, the pixels that become one are stacked as channels: that takes maps whose sides are
    whole multiples of the output's; between others, and between maps and tokens, there is no matrix. As in the
    published code, a block that passes gradients on unchanged counts as the worst: here the proxy fails.
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
            v, u = by_channel(stacked(channels_first(v), channels_first(u))), by_channel(u)
            matrix = (v @ u.transpose(1, 2)).sum(0) / (len(u) * u.shape[2])
            s = torch.linalg.matrix_norm(matrix.double(), 2)
            if not s > torch.finfo(v.dtype).eps:
                raise ProxyFailure("a block lets no gradient through, up to rounding")
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


def stacked(v: Tensor, u: Tensor) -> Tensor:
    """What a block's input is given back, with the pixels that become one of ``u``'s as channels.

    Raises:
        ProxyFailure: the block makes tokens of a map or the reverse, or its output is no whole fraction of its input.
    """
    if v.ndim != u.ndim or (v.ndim == 3 and v.shape[1] != u.shape[1]):
        raise ProxyFailure(f"a block makes {form(u)} of {form(v)}: no pixel of one belongs to one of the other")
    if v.ndim == 3 or v.shape[2:] == u.shape[2:]:
        return v
    (height, width), (rows, columns) = v.shape[2:], u.shape[2:]
    if height % rows or width % columns:
        raise ProxyFailure(f"a block makes {form(u)} of {form(v)}, which is no whole fraction")
    down, right = height // rows, width // columns
    patches = v.reshape(*v.shape[:2], rows, down, columns, right)
    return patches.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)  # [samples, channels * down * right, rows, columns]


def form(feature: Tensor) -> str:
    if feature.ndim == 4:
        return f"maps of {feature.shape[2]} x {feature.shape[3]}"
    return f"{feature.shape[1]} tokens"


def several(features: list[Tensor]) -> list[Tensor]:
    if len(features) < 2:
        raise ProxyFailure("the network has no blocks: no module with parts of its own gives features")
    return features


def by_channel(feature: Tensor) -> Tensor:
    """[samples, channels, height, width] or [samples, tokens, channels] -> [samples, channels, pixels or tokens]."""
    return channels_first(feature).flatten(2) if feature.ndim == 4 else feature.transpose(1, 2)


def channels_first(feature: Tensor) -> Tensor:
    """A map with its channels second: as maps are square, one whose second and third sides alone are equal has them
    last."""
    last = feature.ndim == 4 and feature.shape[1] == feature.shape[2] != feature.shape[3]
    return feature.permute(0, 3, 1, 2) if last else feature
