"""Zen-Score (Lin et al. 2021, arXiv:2102.01063)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import ProxyFailure, proxy
from nas.registry import Range


@proxy(
    "zen",
    family="Jacobians",
    passes=1.5,
    needs=("images",),
    initialisation="gaussian",
    initialisations=2,
    paper="Lin et al. 2021, arXiv:2102.01063",
)
def zen(
    probe: Probe, *, images: Annotated[int, Range(1)] = 16, step: Annotated[float, Range(above=0)] = 0.01
) -> Tensor:
    """How sensitive the last feature map is to its input, with batch norm's scaling undone; larger is better.

        log mean |F(x) − F(x + step · ε)| + Σ over batch norms of log sqrt(mean variance)

    F is the feature map before pooling, x and ε are Gaussian noise, weights are drawn from N(0, 1); the mean over
    initialisations. Batch norm is in training mode, its variance that of the batch x, averaged over channels. Images
    and labels do not count. The published code takes the running variances, after two passes. Fails on transformers,
    which have no feature maps, and where the input of a batch norm is constant.

    Args:
        images: how many images of noise.
        step: the distance between the two inputs.
    """
    x, noise = torch.randn(2, images, *probe.images.shape[1:]).to(probe.images)  # the same for every precision
    features, variances = probe.last_features(x)
    moved, _ = probe.last_features(x + step * noise)
    change, size = (features - moved).double().abs().mean(), features.double().abs().mean()
    if not change > torch.finfo(features.dtype).eps * size / 2:
        raise ProxyFailure("the last feature map does not change with the input, up to rounding")
    means = [variance.mean() for variance in variances]
    if not all(mean > 0 for mean in means):
        raise ProxyFailure(
            "a batch norm takes what is constant up to rounding: the logarithm of its variance is infinite"
        )
    return change.log() + sum(mean.sqrt().log() for mean in means)
