"""VKDNW (Týbl & Neumann 2025, arXiv:2502.04975)."""

from __future__ import annotations

from math import log
from typing import Annotated, Literal

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import ProxyFailure, combination, proxy
from nas.registry import Range

PAPER = "Tybl & Neumann 2025, arXiv:2502.04975"

SMOOTHING = 0.05
"""How much of each prediction is spread over all classes, as in the published code."""


@proxy("vkdnw", family="kernels", passes=0.89, needs=("images",), initialisation="kaiming", paper=PAPER)
def vkdnw(
    probe: Probe,
    *,
    images: Annotated[int, Range(1)] = 16,
    count: bool = True,
    batch_norm: Literal["running", "sample"] = "sample",
) -> Tensor:
    """The number of weight tensors, and among equal numbers the entropy of the Fisher matrix; larger is better.

        K + H / log 9,   H = −Σ_k q_k log q_k,   q_k = λ_k / Σ λ,   λ_1 … λ_9 the deciles of the eigenvalues of F
        F = mean_n J_nᵀ (diag p_n − p_n p_nᵀ) J_n

    J_n is the Jacobian of image n's logits with respect to one scalar, the first, of each of the K convolution and
    linear weights, p_n = 0.95 softmax + 0.05 / classes: in evaluation mode logits are large and the softmax alone is
    almost certain, which would make F zero. Weights are Kaiming's normal ones; labels do not count. The published code
    ranks by K first and then by H, and counts and takes scalars of biases and norm layers too. Without K, networks of
    different depth cannot be compared: on NAS-Bench-201 H ranks cells with equal numbers of convolutions, but all cells
    together only by chance where batch norm is the identity. The formula is the paper's, Jᵀ L Lᵀ J with L Lᵀ = diag p −
    p pᵀ; the published code multiplies Jᵀ Lᵀ L J, L the Cholesky factor, which is another matrix.

    Args:
        images: how many of the minibatch, all where it has fewer; one backward pass of them for each class.
        count: False leaves K out and gives H itself, in nats.
        batch_norm: ``running`` is evaluation mode with running statistics, at initialisation the identity, as in the
            published code's networks; ``sample`` normalises each image by itself, as evaluation mode does in networks
            that keep no statistics. It is not known which of the two the published figures used.
    """
    logits, jacobian = probe.scalar_jacobian(images, batch_norm)  # [samples, classes], [samples, classes, weights]
    p = (1 - SMOOTHING) * logits.double().softmax(1) + SMOOTHING / logits.shape[1]
    jacobian = jacobian.double()
    mean = (p[:, None] @ jacobian).transpose(1, 2)  # [samples, weights, 1]
    centred = p.sqrt()[:, :, None] * (jacobian - mean.transpose(1, 2))
    rows = centred.flatten(0, 1)  # [samples * classes, weights]
    eigenvalues = torch.linalg.eigvalsh(rows.T @ rows / len(p)).clamp_min(0)
    levels = torch.arange(1, 10, dtype=torch.float64, device=eigenvalues.device) / 10
    deciles = torch.quantile(eigenvalues, levels)
    if not deciles.sum() > 0:
        raise ProxyFailure("nine tenths of the Fisher matrix's eigenvalues are zero")
    q = deciles / deciles.sum()
    entropy: Tensor = -torch.sum(q * torch.where(q > 0, q, 1.0).log())
    return jacobian.shape[2] + entropy / log(9) if count else entropy


vkdnw_agg = combination(
    "vkdnw_agg", ("vkdnw", "jacov", "az_expressivity", "az_trainability", "flops"), log=True, paper=PAPER, passes=1.7
)
