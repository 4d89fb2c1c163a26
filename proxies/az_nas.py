"""AZ-NAS (Lee & Ham 2024, arXiv:2403.19232): four views of a network, ranked together.

The features are the outputs of the network's blocks (on NAS-Bench-201: the stem, the cells and the reductions). Batch
norm is in training mode over the batch, the initialisation the network's own. Labels do not count. The published code
draws Kaiming's normal weights and feeds Gaussian noise. With batch norm the former matters only where no norm follows a
convolution, as in NAS-Bench-201's shortcuts, whose features it lets grow larger than the cells'. On 30 cells neither
changed the ranking.
"""

from __future__ import annotations

from itertools import pairwise
from math import isqrt
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from nas.probe import Probe
from nas.proxy import ProxyFailure, combination, proxy
from nas.registry import Range

PAPER = "Lee & Ham 2024, arXiv:2403.19232"

IMAGES = 16
"""They rank no worse than 32 or 64: `nas run runs/batch_size.yaml`."""


@proxy("az_expressivity", family="activations", passes=0.23, paper=PAPER)
def az_expressivity(probe: Probe, *, images: Annotated[int, Range(1)] = IMAGES) -> Tensor:
    """How evenly the features fill their channels, summed over blocks; larger is better.

    Σ −Σ_j p_j log p_j, with p the eigenvalues of a feature's channel covariance divided by their sum.

    Args:
        images: how many of the minibatch; all where it has fewer. The published code takes all.
    """
    return probe.features(entropies, images).sum()  # type: ignore[no-any-return]


@proxy("az_progressivity", family="activations", passes=0.21, paper=PAPER)
def az_progressivity(probe: Probe, *, images: Annotated[int, Range(1)] = IMAGES) -> Tensor:
    """Smallest increase of `az_expressivity`'s terms from block to block; larger is better."""
    return probe.features(entropies, images).diff().min()  # type: ignore[no-any-return]


@proxy("az_trainability", family="Jacobians", passes=0.35, paper=PAPER)
def az_trainability(probe: Probe, *, images: Annotated[int, Range(1)] = IMAGES) -> Tensor:
    """How nearly each block preserves the lengths of gradients, mean over blocks; larger is better.

        mean of −s − 1 / (s + 1e-6) + 2,   s the largest singular value of mean over pixels of u (Jᵀ u)ᵀ

    J is the Jacobian of a block's output with respect to its input and u a Rademacher vector, one for each block. Where
    the block's output is smaller, the pixels that become one are stacked as channels. In the published code a block
    that passes gradients on unchanged counts as the worst: here the proxy fails. It also fails where a block passes no
    gradient on, so that s is zero, and where it is not known which pixels become one.

    Args:
        images: how many of the minibatch; all where it has fewer. The published code takes all.
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
            v, u = stacked(v, u)
            matrix = (v @ u.transpose(1, 2)).sum(0) / (len(u) * u.shape[2])
            s = torch.linalg.matrix_norm(matrix.double(), 2)
            if not s > torch.finfo(v.dtype).eps:
                raise ProxyFailure("a block lets no gradient through, up to rounding")
            scores.append(-s - 1 / (s + 1e-6) + 2)
        return torch.stack(scores).mean()

    return probe.features(lambda features: trainability(several(features)), images)  # type: ignore[no-any-return]


az_nas = combination(
    "az_nas", ("az_expressivity", "az_progressivity", "az_trainability", "flops"), log=True, paper=PAPER, passes=0.36
)


def entropies(features: list[Tensor]) -> Tensor:
    """The entropy of the normalised eigenvalues of each feature's channel covariance, [features] float64."""

    def entropy(feature: Tensor) -> Tensor:
        rounding = 4 * torch.finfo(feature.dtype).eps
        feature = by_channel(feature.detach())
        least, most = feature.amin((0, 2)), feature.amax((0, 2))
        if (most - least <= rounding * torch.maximum(most, -least)).all():
            raise ProxyFailure("the features of a block are constant")
        feature = feature - feature.mean((0, 2), keepdim=True)
        covariance = (feature @ feature.transpose(1, 2)).sum(0).double() / (len(feature) * feature.shape[2])
        eigenvalues = torch.linalg.eigvalsh(covariance).clamp_min(0)
        p: Tensor = eigenvalues / eigenvalues.sum()
        return -torch.sum(p * torch.where(p > 0, p, 1.0).log())

    return torch.stack([entropy(feature) for feature in several(features)])


def several(features: list[Tensor]) -> list[Tensor]:
    if len(features) < 2:
        raise ProxyFailure("the network has no blocks: no module with parts of its own gives features")
    return features


def by_channel(feature: Tensor) -> Tensor:
    """[samples, channels, height, width] or [samples, tokens, channels] -> [samples, channels, pixels or tokens]."""
    feature = feature.flatten(2) if feature.ndim > 3 else feature.transpose(1, 2)
    return feature.to(torch.promote_types(feature.dtype, torch.float32))


def stacked(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Two features as [samples, channels, pixels], with as many pixels: those of the source that become one of the
    target are stacked as channels.

    Where a side is not a multiple of the factor by which it is reduced, missing pixels at its end are zero, or surplus
    ones are left out, depending on how the block rounds.
    """
    if len(source) != len(target):
        raise ProxyFailure(f"a block turns {len(source)} rows into {len(target)}: which are whose is not known")
    v, u = by_channel(source), by_channel(target)
    if v.shape[2] == u.shape[2]:
        return v, u
    before, after = sides(source), sides(target)
    pairs = list(zip(before, after, strict=False))
    factors = [round(b / a) for b, a in pairs]
    matches = [f > 0 and a in (b // f, -(-b // f)) for (b, a), f in zip(pairs, factors, strict=True)]
    if len(before) != len(after) or not all(matches):
        shapes = (" x ".join(map(str, shape)) for shape in (before, after))
        raise ProxyFailure(f"a block turns {' positions into '.join(shapes)}: which of them become one is not known")
    missing = [(0, a * f - b) for (b, a), f in zip(pairs, factors, strict=True)]
    v = F.pad(v.reshape(*v.shape[:2], *before), [edge for side in reversed(missing) for edge in side])
    v = v.reshape(*v.shape[:2], *(size for pair in zip(after, factors, strict=True) for size in pair))
    v = v.movedim(tuple(range(3, v.ndim, 2)), tuple(range(2, 2 + len(after))))  # [samples, channels, *factors, *after]
    return v.flatten(1, 1 + len(after)).flatten(2), u


def sides(feature: Tensor) -> tuple[int, ...]:
    """Height and width; for tokens that fill a square its sides, for others their number."""
    if feature.ndim > 3:
        return tuple(feature.shape[2:])
    side = isqrt(feature.shape[1])
    return (side, side) if side * side == feature.shape[1] else (feature.shape[1],)
