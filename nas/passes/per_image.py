"""Exact per-sample gradients of any weights of any network, image by image: those that the batched pass leaves out.

All images at once by `torch.func.vmap`, in which each has the network to itself, and where that fails one after the
other. Either takes a whole forward and backward pass for every group of weights whose gradients fit into
`nas.passes.blocks.MAX_BLOCK_BYTES`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from nas.passes import blocks
from nas.passes.blocks import Block, slices
from nas.passes.intercept import DIFFERENTIATION, Intercept, image_normalisation, normalising
from nas.passes.layers import check_samples
from nas.passes.running import Drawn, untouched
from nas.passes.state import replace
from nas.passes.tokens import loss
from nas.passes.weights import real

Target = Literal["loss", "logits"]
"""What is differentiated: each sample's loss (see `nas.passes.tokens.loss`), or the sum of its logits."""

Group = list[tuple[Tensor, slice]]
"""Weights, each with its wanted rows; no weight twice."""


def objective(logits: Tensor, labels: Tensor, target: Target) -> Tensor:
    """The sum of ``target`` over the samples."""
    return loss(logits, labels, "sum") if target == "loss" else logits.sum()


def visit_imagewise(
    net: nn.Module, weights: Iterable[Tensor], images: Tensor, labels: Tensor,
    visit: Callable[[Block], None], target: Target, obstacle: str = "",
) -> None:  # fmt: skip
    """Calls ``visit`` for the blocks of ``weights``; the other arguments are those of `nas.passes.per_sample`.

    Warns where the images have to be taken one after the other.

    Args:
        obstacle: why `torch.func.vmap` cannot be used, where that is known.
    """
    warned = False
    for group in groups(weights, len(images)):
        gradients = None
        if not obstacle:
            try:
                gradients = mapped(net, group, images, labels, target)
            except Drawn:
                raise
            except Exception as error:  # if it is not due to vmap, the first image alone meets it again
                obstacle = failing(error)
        if gradients is None:
            gradients = looped(net, group, images, labels, target)
            if not warned:
                warnings.warn(f"gradients one image at a time, which is slow: {obstacle}", stacklevel=2)
                warned = True
        for weight, rows in group:
            visit(Block(weight, gradients.pop(weight), rows))


def failing(error: Exception) -> str:
    """The reason why `torch.func.vmap` could not be used, in one line."""
    return f"vmap failed ({str(error).split('. ')[0].splitlines()[0] if str(error) else type(error).__name__})"


def groups(weights: Iterable[Tensor], samples: int) -> Iterator[Group]:
    """The weights, split and gathered into groups whose gradients fit into the limit together."""
    group: Group = []
    size = 0
    for weight in weights:
        for rows in slices(weight, samples):
            more = samples * weight[rows].numel() * weight.element_size()
            if group and size + more > blocks.MAX_BLOCK_BYTES:
                yield group
                group, size = [], 0
            group.append((weight, rows))
            size += more
    if group:
        yield group


def mapped(net: nn.Module, group: Group, images: Tensor, labels: Tensor, target: Target) -> dict[Tensor, Tensor]:
    """The gradients of each weight's rows, [samples, weights], of all images at once."""

    def value(parts: list[Tensor], image: Tensor, label: Tensor) -> Tensor:
        own = {buffer: buffer.clone() for buffer in buffers}  # may be written to, the network's not
        for (weight, rows), part in zip(group, parts, strict=True):
            own[weight] = torch.cat([weight[: rows.start], part, weight[rows.stop :]])
        replace(net, own)
        return objective(logits_of_one(net, image), label[None], target)

    plain = sdpa_kernel(SDPBackend.MATH)  # the only attention that can be mapped over images on every device
    with untouched(net) as run, plain, torch.no_grad():  # `grad` differentiates all the same
        buffers = list(net.buffers())
        parts = [weight[rows] for weight, rows in group]
        each = vmap(grad(value), (None, 0, 0), randomness="error")
        gradients = run(images, Intercept(normalising(image_normalisation)), lambda own: each(parts, own, labels))
    return {weight: real(rows).flatten(1) for (weight, _), rows in zip(group, gradients, strict=True)}


def looped(net: nn.Module, group: Group, images: Tensor, labels: Tensor, target: Target) -> dict[Tensor, Tensor]:
    """The gradients of each weight's rows, [samples, weights], of one image after the other."""
    gradients: dict[Tensor, list[Tensor]] = {weight: [] for weight, _ in group}
    for image, label in zip(torch.split(images, 1), torch.split(labels, 1), strict=True):

        def differentiate(image: Tensor, label: Tensor = label) -> None:
            total = objective(logits_of_one(net, image[0]), label, target)
            if total.requires_grad:
                total.backward()  # type: ignore[no-untyped-call]

        handlers = normalising(image_normalisation) | {function: function for function in DIFFERENTIATION}
        with untouched(net) as run:  # each image meets the same buffers
            for parameter in net.parameters():
                parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
            run(image, Intercept(handlers), differentiate)
            for weight, rows in group:
                gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
                gradients[weight].append(real(gradient[rows]).flatten())
    return {weight: torch.stack(rows) for weight, rows in gradients.items()}


def logits_of_one(net: nn.Module, image: Tensor) -> Tensor:
    """The logits [1, classes] of one image alone, [channels, height, width]; of one sequence [1, length, classes]."""
    logits: Tensor = net(image[None])
    if logits.ndim == 1:  # the dimension of one sample is gone, as by `Tensor.squeeze`
        logits = logits[None]
    check_samples(logits, 1)
    return logits
