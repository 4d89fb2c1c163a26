"""Whether an exported network gives what the network gives."""

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
"""Of the largest logit, or of 1: what sums in another order may differ by in single precision."""

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Free:
    """What an exported network may be given.

    Attributes:
        batch: any number of images, else only one.
        size: images of other sizes than those of the task, and not only square ones.
    """

    batch: bool = True
    size: bool = True


def random_images(task: Task, free: Free, net: nn.Module) -> Iterator[Tensor]:
    """Batches of noise of every shape that must work: of other sizes only those that the network itself takes."""
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
    """Between the logits of ``net`` and of what was exported from it.

    Raises:
        UsageError: it is more than `TOLERANCE`, or a logit is no finite number.
    """
    largest = 0.0
    for images in batches:
        with torch.no_grad():
            own, other = net(images), run(images)
        if other.shape != own.shape:
            raise UsageError(
                f"what was exported gives {list(other.shape)} for images {list(images.shape)}, the network "
                f"{list(own.shape)}: nothing was written"
            )
        if not own.isfinite().all():
            raise UsageError("the network gives logits that are not finite, so that nothing can be compared with them")
        difference = float((own - other).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(own.abs().max())):
            raise UsageError(
                f"what was exported gives other logits than the network, up to {difference:.3g} apart: nothing was "
                "written"
            )
        largest = max(largest, difference)
    return largest
