"""Whether an exported network gives the logits of the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.errors import UsageError
from nas.space import Task

BATCHES = (1, 2, 5)
"""Numbers of images that are tried, where the number is free."""
TOLERANCE = 1e-4
"""As a share of the largest logit, or of 1: by how much sums in another order may differ in single precision."""

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Free:
    """Which dimensions of its input an exported network leaves free.

    Attributes:
        batch: it takes any number of images, else only one.
        size: it takes images of other sizes than the task's, and not only square ones.
    """

    batch: bool = True
    size: bool = True


def random_images(task: Task, free: Free, net: nn.Module) -> Iterator[Tensor]:
    """Batches of noise of every shape that must work; other sizes only where the network itself takes them."""
    generator = torch.Generator().manual_seed(0)
    for batch in BATCHES if free.batch else BATCHES[:1]:
        yield torch.randn(batch, task.channels, task.size, task.size, generator=generator)
    for height, width in ((2 * task.size, 2 * task.size), (2 * task.size, task.size)) if free.size else ():
        images = torch.randn(2, task.channels, height, width, generator=generator)
        if runs(net, images):
            yield images


def runs(net: nn.Module, images: Tensor) -> bool:
    try:
        with torch.no_grad():
            net(images)
    except Exception:  # a network that takes images of one size only may raise anything
        return False
    return True


def largest_difference(net: nn.Module, run: Run, batches: Iterator[Tensor]) -> float:
    """The largest difference between the logits of ``net`` and of its export.

    Raises:
        UsageError: it is more than `TOLERANCE`, or a logit is not finite.
    """
    largest = 0.0
    for images in batches:
        with torch.no_grad():
            own, other = net(images), run(images)
        if other.shape != own.shape:
            raise UsageError(
                f"the exported network gives {list(other.shape)} for images {list(images.shape)}, the original "
                f"{list(own.shape)}: nothing was written"
            )
        if not own.isfinite().all():
            raise UsageError("the network gives logits that are not finite, so nothing can be compared with them")
        difference = float((own - other).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(own.abs().max())):
            raise UsageError(
                f"the exported network gives other logits than the original, up to {difference:.3g} apart: nothing "
                "was written"
            )
        largest = max(largest, difference)
    return largest
