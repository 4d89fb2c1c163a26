"""Images with mean 0 and standard deviation 1 in each channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.data.sources import Source, looked_at
from nas.errors import UsageError

MAX_CHUNK_NUMBERS = 2**24
"""Numbers of images that are in memory at a time."""


@dataclass(frozen=True)
class Standard:
    """Reads images of a source, standardised.

    Attributes:
        mean, std: [channels] of the images that they were measured on; a channel that is the same everywhere is divided
            by 1.
        notes: what was decided that a user might not expect.
    """

    source: Source
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    @classmethod
    def over(cls, source: Source, places: NDArray[np.int64] | None = None) -> Standard:
        """By the mean and standard deviation of all pixels of the images at ``places``, of all images by default."""
        if source.standardised:
            channels = source.task.channels
            return cls(source, np.zeros(channels), np.ones(channels))
        places = np.arange(len(source.labels)) if places is None else np.sort(places)
        sample = looked_at(places) if source.lazy else places
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = _moments(source, sample)
        if not np.isfinite([mean, std]).all():
            raise UsageError(f"{source.name}: has images with numbers too large to have a standard deviation")
        constant = [str(channel) for channel in np.flatnonzero(std == 0)]
        notes = {
            f"mean and standard deviation are those of {len(sample)} of the {len(places)} images": (
                len(sample) < len(places)
            ),
            f"all images are the same number everywhere in channel {', '.join(constant)}": constant,
        }
        sentences = tuple(note for note, applies in notes.items() if applies)
        return cls(source, mean, np.where(std > 0, std, 1), sentences)

    def read(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """The images at ``places``, [n, channels, size, size]."""
        images = self.source.read(places)
        if self.source.standardised:
            return np.ascontiguousarray(images, dtype=np.float32)
        kind = np.float32 if images.dtype == np.uint8 else np.float64  # of large numbers, 32 bits lose the differences
        standard = (images - self.mean[:, None, None].astype(kind)) / self.std[:, None, None].astype(kind)
        return np.ascontiguousarray(standard, dtype=np.float32)


def _moments(source: Source, places: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel: of bytes exactly, from their histogram; of other numbers from the
    mean and variance of each image, which all have as many pixels: the variance is the mean of the variances plus the
    variance of the means."""
    if source.read(places[:1]).dtype == np.uint8:
        counts = np.zeros((source.task.channels, 256), dtype=np.int64)
        for images in _chunks(source, places):
            counts += [np.bincount(images[:, channel].ravel(), minlength=256) for channel in range(len(counts))]
        values, share = np.arange(256), counts / counts.sum(1, keepdims=True)
        mean = share @ values
        return mean, np.sqrt(np.maximum(share @ values**2 - mean**2, 0))
    means, variances = [], []
    for images in _chunks(source, places):
        means.append(images.mean((2, 3), dtype=np.float64))
        variances.append(images.var((2, 3), dtype=np.float64))
    each = np.concatenate(means)  # [images, channels]
    mean, std = each.mean(0), np.sqrt(np.concatenate(variances).mean(0) + each.var(0))
    return mean, np.where(std > 2**-48 * np.abs(mean), std, 0)  # less than that is rounding


def _chunks(source: Source, places: NDArray[np.int64]) -> Iterator[NDArray[np.generic]]:
    count = max(1, MAX_CHUNK_NUMBERS // (source.task.channels * source.task.size**2))
    for start in range(0, len(places), count):
        yield source.read(places[start : start + count])
