"""Other measures of how much per-sample gradients differ, with which GradAlign-II has to be compared.

G [samples, weights] are the per-sample loss gradients of the convolutions and linear layers, with batch norm on each
sample by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import ProxyFailure, proxy


@proxy("knas", family="gradients", passes=1.4, labels=True, paper="Xu et al. 2021, arXiv:2111.13293")
def knas(probe: Probe) -> Tensor:
    """Mean of the Gram matrix of the per-sample gradients; larger is better.

        (1/N²) Σ_ij ⟨g_i, g_j⟩

    That is the squared norm of the mean gradient. (With batch norm on each sample; KNAS feeds single images.) The
    published code takes another quantity: of 100 entries of each of 11 tensors, the centred products of images 1 to 25
    with images 26 to 50, which hardly rank NAS-Bench-201.
    """
    return gram(probe).mean()


@proxy(
    "grad_variance",
    family="gradients",
    passes=1.5,
    labels=True,
    paper="Li & Guo 2024, arXiv:2411.19819 (as an alternative to GradAlign-II)",
)
def grad_variance(probe: Probe) -> Tensor:
    """Variance of the per-sample gradients, summed over weights; larger is better.

        (1/N) Σ_i ‖g_i − ḡ‖²,   ḡ the mean gradient

    The direction is ours: more diverse gradients score higher.
    """
    matrix = gram(probe)
    return matrix.diagonal().mean() - matrix.mean()


@proxy(
    "grad_spectral_norm",
    family="gradients",
    passes=1.7,
    labels=True,
    paper="Li & Guo 2024, arXiv:2411.19819 (as an alternative to GradAlign-II)",
)
def grad_spectral_norm(probe: Probe) -> Tensor:
    """Largest eigenvalue of the Gram matrix of the per-sample gradients; larger is better.

    λ_max(G Gᵀ). The direction is ours: as with the other two, longer gradients score higher.
    """
    eigenvalues: Tensor = torch.linalg.eigvalsh(gram(probe))
    return eigenvalues[-1]


@proxy("grad_condition", family="kernels", passes=1.4, larger_is_better=False, labels=True, paper="ours; compare `ntk`")
def grad_condition(probe: Probe) -> Tensor:
    """Condition number of the Gram matrix of the per-sample gradients; smaller is better.

        λ_max / λ_min of G Gᵀ

    The empirical kernel of the loss: the same as `ntk` with ``loss=True`` for all images and a single initialisation.
    Fails where λ_min is not positive beyond rounding.
    """
    eigenvalues: Tensor = torch.linalg.eigvalsh(gram(probe))  # ascending
    if eigenvalues[0] <= eigenvalues[-1].abs() * len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps:
        raise ProxyFailure("the smallest eigenvalue of the Gram matrix is not positive")
    return eigenvalues[-1] / eigenvalues[0]


def gram(probe: Probe) -> Tensor:
    """G Gᵀ, [samples, samples] float64."""
    return sum(probe.map_blocks(lambda block: block.gram))  # type: ignore[no-any-return]
