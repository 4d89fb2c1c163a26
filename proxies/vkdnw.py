"""VKDNW (Týbl & Neumann 2025, arXiv:2502.04975)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import ProxyFailure, proxy
from nas.registry import Range

SMOOTHING = 0.05
"""How much of each prediction is spread over all classes, as in the published code."""


@proxy("vkdnw", initialisation="kaiming", paper="Tybl & Neumann 2025, arXiv:2502.04975")
def vkdnw(probe: Probe, *, images: Annotated[int, Range(1)] = 16) -> Tensor:
    """Entropy of the deciles of the Fisher matrix's eigenvalues; larger is better.

        −Σ_k q_k log q_k,   q_k = λ_k / Σ λ,   λ_1 … λ_9 the deciles of the eigenvalues of F
        F = mean_n J_nᵀ (diag p_n − p_n p_nᵀ) J_n

    J_n is the Jacobian of image n's logits with respect to one scalar, the first, of each convolution and linear
    weight, p_n = 0.95 softmax + 0.05 / classes: in evaluation mode logits are large and the softmax alone all but
    certain, which would make F zero. Batch norm is in evaluation mode, at initialisation the identity; weights are
    Kaiming's normal ones. All this is the published code's way, which takes scalars of biases and norm layers too.
    Labels do not count.

    Args:
        images: how many of the minibatch, all where it has fewer; one backward pass of them for each class.
    """
    logits, jacobian = probe.scalar_jacobian(images)  # [samples, classes], [samples, classes, scalars]
    p = (1 - SMOOTHING) * logits.double().softmax(1) + SMOOTHING / logits.shape[1]
    jacobian = jacobian.double()
    mean = (p[:, None] @ jacobian).transpose(1, 2)  # [samples, scalars, 1]
    centred = p.sqrt()[:, :, None] * (jacobian - mean.transpose(1, 2))
    rows = centred.flatten(0, 1)  # [samples * classes, scalars]
    eigenvalues = torch.linalg.eigvalsh(rows.T @ rows / len(p)).clamp_min(0)
    levels = torch.arange(1, 10, dtype=torch.float64, device=eigenvalues.device) / 10
    deciles = torch.quantile(eigenvalues, levels)
    if not deciles.sum() > 0:
        raise ProxyFailure("nine tenths of the Fisher matrix's eigenvalues are zero")
    q: Tensor = deciles / deciles.sum()
    return -torch.sum(q * torch.where(q > 0, q, 1.0).log())
