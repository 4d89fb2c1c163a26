"""The images of a part in batches, on the training's device; and their augmentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nas.data.splits import MAX_KEPT_BYTES, Part
from nas.training.recipe import steps_of

READ_AT_A_TIME = 1000
CROP_BORDER = 8
"""The border for cropping is this fraction of the size of images: 4 pixels of 32, as usual."""


@dataclass(frozen=True)
class Images:
    """A part's images on ``device`` as numbers of ``dtype``: all at once where they take no more than a gigabyte, else
    read batch by batch, one ahead of the computation."""

    part: Part
    device: torch.device
    dtype: torch.dtype

    def __len__(self) -> int:
        return len(self.part)

    @cached_property
    def labels(self) -> Tensor:
        return self.part.labels.to(self.device)

    @cached_property
    def kept(self) -> Tensor | None:
        if self.part.bytes > MAX_KEPT_BYTES:
            return None
        task = self.part.standard.source.task
        images = torch.empty(len(self), task.channels, task.size, task.size, dtype=self.dtype, device=self.device)
        for numbers in np.array_split(np.arange(len(self)), -(-len(self) // READ_AT_A_TIME)):
            images[numbers[0] : numbers[-1] + 1] = torch.from_numpy(self.part.standard.read(self.part.places[numbers]))
        return images

    def batches(self, numbers: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of the images with these numbers."""
        if self.kept is not None:
            for chosen in numbers:
                chosen = chosen.to(self.device)
                yield self.kept[chosen], self.labels[chosen]
            return
        with ThreadPoolExecutor(1) as reader:
            waiting: tuple[Tensor, Future[Tensor]] | None = None
            for chosen in numbers:
                ahead = chosen, reader.submit(self.part.images, chosen)
                if waiting is not None:
                    yield self._read(*waiting)
                waiting = ahead
            if waiting is not None:
                yield self._read(*waiting)

    def _read(self, chosen: Tensor, images: Future[Tensor]) -> tuple[Tensor, Tensor]:
        return images.result().to(self.device, self.dtype), self.labels[chosen.to(self.device)]


def in_order(images: int, size: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
    """The numbers of ``images`` images in batches of no more than ``size``, all of one size to within one image, so
    that no batch is left with a single one; shuffled where there is a generator."""
    numbers = torch.arange(images) if generator is None else torch.randperm(images, generator=generator)
    return numbers.tensor_split(steps_of(images, size))


def augmented(images: Tensor, how: tuple[str, ...], generator: torch.Generator) -> Tensor:
    """``images`` [n, channels, size, size], flipped and cropped at random; see `nas.training.recipe.Recipe`.

    Random numbers are drawn on the CPU, so that they are the same on every device.
    """
    count, _, size, _ = images.shape
    if "flip" in how:
        flips = torch.rand(count, generator=generator).to(images.device) < 0.5
        images = torch.where(flips[:, None, None, None], images.flip(3), images)
    if "crop" in how and (border := size // CROP_BORDER):
        places = torch.randint(2 * border + 1, (2, count), generator=generator).to(images.device)
        windows = F.pad(images, (border,) * 4).unfold(2, size, 1).unfold(3, size, 1)
        images = windows[torch.arange(count, device=images.device), :, places[0], places[1]]
    return images
