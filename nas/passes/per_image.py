"""Exact per-sample gradients of any weights of any network, image by image: what the batched pass leaves over.

All images at once by `torch.func.vmap`, which gives each the network to itself, and where that fails one after the
other. Either takes a whole forward and backward pass for every group of weights whose gradients fit into
`nas.passes.blocks.LIMIT`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from nas.passes import blocks
from nas.passes.blocks import Block, slices
from nas.passes.intercept import Intercept, normalising, sample_normalisation, untouched

Target = Literal["loss", "logits"]
"""What is differentiated: each sample's cross-entropy, or the sum of its logits."""

Group = list[tuple[Tensor, slice]]
"""Weights, each with the rows of it that are asked for; no weight twice."""


def objective(logits: Tensor, labels: Tensor, target: Target) -> Tensor:
    """The sum over the samples of what is differentiated."""
    return F.cross_entropy(logits, labels, reduction="sum") if target == "loss" else logits.sum()


def visit_imagewise(
    net: nn.Module, weights: Iterable[Tensor], images: Tensor, labels: Tensor,
    visit: Callable[[Block], None], target: Target,
) -> None:  # fmt: skip
    """Calls ``visit`` for the blocks of ``weights``; the other arguments are those of `visit_blocks`.

    Warns where the images have to be taken one after the other.
    """
    way = mapped
    for group in groups(weights, len(images)):
        try:
            found = way(net, group, images, labels, target)
        except RuntimeError as error:
            if way is looped:
                raise
            way = looped
            reason = str(error).split(". ")[0]
            warnings.warn(f"gradients one image at a time, which is slow: vmap failed ({reason})", stacklevel=2)
            found = way(net, group, images, labels, target)
        for weight, rows in group:
            visit(Block(weight, found.pop(weight), rows))


def groups(weights: Iterable[Tensor], samples: int) -> Iterator[Group]:
    """The weights, cut and gathered to groups whose gradients fit into the limit together."""
    group: Group = []
    size = 0
    for weight in weights:
        for rows in slices(weight, samples):
            more = samples * weight[rows].numel() * weight.element_size()
            if group and size + more > blocks.LIMIT:
                yield group
                group, size = [], 0
            group.append((weight, rows))
            size += more
    if group:
        yield group


def mapped(net: nn.Module, group: Group, images: Tensor, labels: Tensor, target: Target) -> dict[Tensor, Tensor]:
    """The gradients of each weight's rows, [samples, weights], of all images at once."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in net.named_parameters()}

    def value(parts: list[Tensor], image: Tensor, label: Tensor) -> Tensor:
        whole = {
            names[weight]: torch.cat([weight[: rows.start], part, weight[rows.stop :]])
            for (weight, rows), part in zip(group, parts, strict=True)
        }
        own = {name: buffer.clone() for name, buffer in net.named_buffers()}  # may be written to, the network's not
        return objective(functional_call(net, whole | own, (image[None].clone(),)), label[None], target)

    handlers = normalising(sample_normalisation)
    plain = sdpa_kernel(SDPBackend.MATH)  # the only attention that can be mapped over images on every device
    with untouched(net), Intercept(handlers), plain, torch.no_grad():  # `grad` differentiates all the same
        parts = [weight[rows] for weight, rows in group]
        found = vmap(grad(value), (None, 0, 0), randomness="different")(parts, images, labels)
    return {weight: gradients.flatten(1) for (weight, _), gradients in zip(group, found, strict=True)}


def looped(net: nn.Module, group: Group, images: Tensor, labels: Tensor, target: Target) -> dict[Tensor, Tensor]:
    """The gradients of each weight's rows, [samples, weights], of one image after the other."""
    found = {weight: weight.new_zeros(len(images), weight[rows].numel()) for weight, rows in group}
    for i in range(len(images)):
        with untouched(net), Intercept(normalising(sample_normalisation)):  # each image meets the same buffers
            for weight in found:
                weight.requires_grad_()
            total = objective(net(images[i : i + 1].clone()), labels[i : i + 1], target)
            if not total.requires_grad:
                continue
            gradients = torch.autograd.grad(total, list(found), allow_unused=True)
        for (weight, rows), gradient in zip(group, gradients, strict=True):
            if gradient is not None:
                found[weight][i] = gradient[rows].flatten()
    return found
