"""How differently a network's output responds to changes of different images.

Both use J_i = ∂(Σ logits)/∂x_i, the gradient with respect to the pixels of image i. Batch norm is in training mode over
the images, the initialisation PyTorch's default.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import ProxyFailure, proxy
from nas.registry import Range

TINY = 1e-5

IMAGES = 16
"""They rank no worse than 32 or 64: `nas run runs/batch_size.yaml`."""


@proxy("jacov", family="Jacobians", passes=0.30, paper="Mellor et al. 2020, arXiv:2006.04647v1")
def jacov(probe: Probe, *, images: Annotated[int, Range(2)] = IMAGES) -> Tensor:
    """How far the images' Jacobians are from being correlated; larger is better.

        −Σ (log(v + k) + 1 / (v + k)),   v the eigenvalues of the correlation matrix of the J_i, k = 1e-5

    Its maximum, minus the number of images, is reached when none are correlated.

    Args:
        images: how many of the minibatch; all where it has fewer. The published codes take all.
    """
    eigenvalues: Tensor = torch.linalg.eigvalsh(correlations(probe.input_gradients(images))) + TINY
    return -(eigenvalues.log() + 1 / eigenvalues).sum()


@proxy("epe_nas", family="Jacobians", passes=1.1, labels=True, paper="Lopes et al. 2021, arXiv:2102.08099")
def epe_nas(probe: Probe) -> Tensor:
    """How little the Jacobians of one class are correlated, over classes; larger is better.

        Σ_c |Σ_ij log(|corr_c|_ij + k)|,   corr_c the correlation matrix of the J_i of class c, k = 1e-5

    The published code compares the classes' sums with each other where there are more than 100; this does not.
    """
    jacobian = probe.input_gradients()
    groups = [jacobian[probe.groups == group] for group in probe.groups.unique()]  # type: ignore[no-untyped-call]
    return torch.stack([(correlations(group).abs() + TINY).log().sum().abs() for group in groups]).sum()


def correlations(rows: Tensor) -> Tensor:
    """Pearson's correlation of each row with each, float64."""
    centred: Tensor = rows.double() - rows.double().mean(1, keepdim=True)
    if not (rows.amax(1) > rows.amin(1)).all():
        raise ProxyFailure("the output does not depend on some image, or on all its pixels alike")
    centred = centred / centred.norm(dim=1, keepdim=True)
    return centred @ centred.T
