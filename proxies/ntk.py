"""The condition number of the neural tangent kernel (TE-NAS, Chen et al. 2021, arXiv:2102.11535)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import ProxyFailure, proxy
from nas.registry import Range


@proxy(
    "ntk",
    family="kernels",
    passes=2.3,
    larger_is_better=False,
    labels=True,
    initialisations=3,
    paper="Chen et al. 2021, arXiv:2102.11535",
)
def ntk(
    probe: Probe,
    *,
    images: Annotated[int, Range(2)] = 32,
    batch_norm: Literal["sample", "batch"] = "sample",
    loss: bool = False,
) -> Tensor:
    """Condition number of the neural tangent kernel, mean of three initialisations; smaller is better.

        λ_max / λ_min of J Jᵀ,   J_i = ∂(Σ logits of image i)/∂θ

    The initialisation is PyTorch's default (the published code intends Kaiming's normal one and never applies it).
    TE-NAS measures its own narrow supernet (3 channels, one cell per stage); here it is the space's network.

    Args:
        images: the kernel's size N; the minibatch's first ones are taken, all where it has fewer (32 in the paper, 72
            in its launcher).
        batch_norm: ``sample`` normalises each image by itself, so that J_i is a function of image i, as the kernel's
            definition requires; θ are the weights of the convolutions and linear layers. ``batch`` is what the
            published code does: training mode over the batch, where every J_i depends on all images, and θ every
            parameter whose name ends in "weight". It takes one backward pass for each image.
        loss: take the loss gradients g_i with batch norm on each sample instead; this alone uses the labels.

    Fails where λ_min is not positive beyond rounding, and the condition number is not defined.
    """
    if loss:
        kernel = sum(probe.map_blocks(lambda block: block.gram))[:images, :images]
    elif batch_norm == "sample":
        kernel = sum(probe.map_blocks(lambda block: block.gram, target="logits", samples=images))
    else:
        kernel = batch_kernel(probe, images)
    eigenvalues: Tensor = torch.linalg.eigvalsh(kernel)  # ascending
    if eigenvalues[0] <= eigenvalues[-1].abs() * len(kernel) * torch.finfo(kernel.dtype).eps:
        raise ProxyFailure("the smallest eigenvalue of the kernel is not positive")
    return eigenvalues[-1] / eigenvalues[0]


def batch_kernel(probe: Probe, images: int) -> Tensor:
    """J Jᵀ, [images, images] float64, by one backward pass for each image."""
    weights = [parameter for name, parameter in probe.net.named_parameters() if name.endswith("weight")]
    logits = probe.forward(images)
    rows = []
    for logit in logits:
        gradients = torch.autograd.grad(logit.sum(), weights, retain_graph=True, allow_unused=True)
        rows.append(torch.cat([g.flatten() for g in gradients if g is not None]))  # the same weights for every image
    jacobian = torch.stack(rows).double()  # [images, weights]
    return jacobian @ jacobian.T
