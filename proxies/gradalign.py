"""GradAlign: how little the per-sample gradients of a network conflict at initialisation.

Li & Guo 2024, arXiv:2411.19819. No code was published; what follows is our reading of the paper: per-sample gradients
of the loss, "normalised" to their signs, aggregated over classes. Choices that are ours are marked so.

Per-sample gradients are exact (batch norm normalises each sample by itself) and cover Conv2d and Linear weights only.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from nas.probe import Block, Probe, product_of_signs
from nas.proxy import ProxyFailure, proxy
from nas.registry import Range

TINY = 1e-300
"""Keeps a direction of length zero at zero."""

IMAGES, PER_CLASS = 16, 4
"""Four images of each of four classes rank as well as six of each of ten; two of each of ten do not, by .07 of τ:
``python -m benchmarks.few_images``."""

Direction = Literal["sign", "unit", "raw"]


@proxy("gradalign_i", family="gradients", passes=0.62, grows=True, labels=True, paper="Li & Guo 2024, arXiv:2411.19819")
def gradalign_i(
    probe: Probe,
    *,
    images: Annotated[int, Range(1)] = IMAGES,
    per_class: bool = True,
    direction: Direction = "sign",
    mean_per_weight: bool = False,
) -> Tensor:
    """GradAlign-I: alignment of the per-sample gradients with the average gradient; larger is better.

        Σ_c (1/N_c) Σ_{i in c} ⟨d(g_i), d(ḡ_c)⟩,   ḡ_c the mean of the raw gradients g_i of class c

    With signs the unit is the weight: N_c agreeing samples score one for each weight they agree on, so the score grows
    with the network; ``mean_per_weight`` divides by the number of weights in the gradients.

    Args:
        images: how many of the minibatch, the first ones of so few classes that there are four of each, since few of a
            class show little of its conflict; all where it has fewer.
        per_class: sum over classes, as the paper says; False takes the first images, as one group, which sequences are.
        direction: d; ``sign`` as the paper says, ``unit`` divides by the norm, ``raw`` takes the gradient (both ours).
        mean_per_weight: ours.
    """
    chosen = _chosen(probe.groups, images, per_class)
    group, sizes = _groups(probe.groups[chosen], per_class)
    member = F.one_hot(group, len(sizes)).double()  # [samples, groups]

    def products(block: Block) -> Tensor:  # with the signs of the sums, or to find the means in: [samples, …]
        if direction != "sign":
            return block.gram
        return product_of_signs(block.signs, block.sums(group, len(sizes)).sign().to(torch.int8).T)

    blocks = probe.map_blocks(lambda block: (products(block), block.gradients.shape[1]), samples=chosen)
    alignment: Tensor = sum(product for product, _ in blocks)
    if direction != "sign":
        lengths = alignment.diagonal().sqrt()  # ‖g_i‖
        alignment = alignment @ member / sizes  # ⟨g_i, ḡ_c⟩
        if direction == "unit":
            means = ((member * alignment).sum(0) / sizes).sqrt()  # ‖ḡ_c‖, whose square is the mean of ⟨g_i, ḡ_c⟩ in c
            alignment = alignment / (lengths[:, None] * means).clamp_min(TINY)
    score = (alignment * member / sizes).sum()
    return score / sum(weights for _, weights in blocks) if mean_per_weight else score


@proxy("gradalign_ii", family="gradients", passes=0.44, labels=True, paper="Li & Guo 2024, arXiv:2411.19819")
def gradalign_ii(
    probe: Probe,
    *,
    images: Annotated[int, Range(1)] = IMAGES,
    per_class: bool = True,
    direction: Direction = "sign",
    eps: Annotated[float, Range(0)] = 1e-3,
) -> Tensor:
    """GradAlign-II: log-determinant of the Gram matrix of the gradients' directions; larger is better.

        Σ_c log det(D_c D_cᵀ + ε I),   D_c the directions d(g_i) of the samples of class c, one in a row

    Args:
        images: how many of the minibatch, the first ones of so few classes that there are four of each, since few of a
            class show little of its conflict; all where it has fewer.
        per_class: sum over classes, as the paper says; False takes the first images, as one group, which sequences are.
        direction: d; ``sign`` as the paper says, ``unit`` divides by the norm, ``raw`` takes the gradient (both ours).
        eps: ε, in units of the Gram matrix (with signs: weights). Where it is zero and two samples of a class have the
            same direction, or depend on each other, there is no score.
    """
    signs = direction == "sign"
    chosen = _chosen(probe.groups, images, per_class)
    blocks = probe.map_blocks(lambda block: block.sign_gram if signs else block.gram, samples=chosen)
    gram = torch.stack([block.double() for block in blocks]).sum(0)  # of signs these are whole numbers, so exact
    if direction == "unit":
        norms = gram.diagonal().sqrt().clamp_min(TINY)
        gram = gram / (norms[:, None] * norms)
    gram = gram + eps * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    group, sizes = _groups(probe.groups[chosen], per_class)
    members = [torch.nonzero(group == c).flatten() for c in range(len(sizes))]
    rounding = torch.finfo(torch.float64 if signs else blocks[0].dtype).eps
    return torch.stack([log_determinant(gram[m][:, m], rounding) for m in members]).sum()


def log_determinant(gram: Tensor, rounding: float) -> Tensor:
    """The logarithm of the determinant of a Gram matrix [n, n] of float64 whose entries are right to ``rounding``."""
    eigenvalues = torch.linalg.eigvalsh(gram)
    if not eigenvalues[0] > len(gram) * rounding * eigenvalues[-1]:
        raise ProxyFailure(
            "the Gram matrix of a class is singular up to rounding: some of its gradients depend on others"
        )
    determinant: Tensor = eigenvalues.log().sum()
    return determinant


def _chosen(groups: Tensor, images: int, per_class: bool) -> list[int]:
    """The places of so many images: the first ones of the first classes that have `PER_CLASS` each among them."""
    labels = groups.tolist()
    classes: set[int] = set()
    for label in dict.fromkeys(labels):
        if len(classes) >= images // PER_CLASS and sum(map(classes.__contains__, labels)) >= images:
            break
        classes.add(label)
    return [place for place, label in enumerate(labels) if label in classes or not per_class][:images]


def _groups(labels: Tensor, per_class: bool) -> tuple[Tensor, Tensor]:
    """The group of each sample, [samples], and the sizes of the groups, [groups]."""
    labels = labels if per_class else torch.zeros_like(labels)
    _, group, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    return group, sizes
