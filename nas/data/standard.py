"""Images with mean 0 and standard deviation 1 in each channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.data.sources import Source

MAX_READ_IMAGES = 2000
"""Of more images in files of their own, mean and standard deviation are those of so many."""
CHUNK = 256
"""Images that are looked at at a time."""


@dataclass(frozen=True)
class Standard:
    """Reads images of a source, standardised.

    Attributes:
        mean, std: [channels] of the images that they were measured over; a channel that is the same everywhere is
            divided by 1.
        images: how many these were; 0 for a source that says that it is standardised.
    """

    source: Source
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    images: int

    @classmethod
    def over(cls, source: Source, places: NDArray[np.int64] | None = None) -> Standard:
        """By the mean and standard deviation of all pixels of the images at ``places``, of all images by default."""
        if source.standardised:
            channels = source.task.channels
            return cls(source, np.zeros(channels, np.float32), np.ones(channels, np.float32), 0)
        places = np.arange(len(source.labels)) if places is None else np.sort(places)
        if source.lazy and len(places) > MAX_READ_IMAGES:
            places = np.sort(np.random.default_rng(0).choice(places, MAX_READ_IMAGES, replace=False))
        mean, std = _moments(source, places)
        return cls(source, mean.astype(np.float32), np.where(std > 0, std, 1).astype(np.float32), len(places))

    def read(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """The images at ``places``, [n, channels, size, size]."""
        images = self.source.read(places)
        if self.source.standardised:
            return np.ascontiguousarray(images, dtype=np.float32)
        standard = (images - self.mean[:, None, None]) / self.std[:, None, None]
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
    return each.mean(0), np.sqrt(np.concatenate(variances).mean(0) + each.var(0))


def _chunks(source: Source, places: NDArray[np.int64]) -> Iterator[NDArray[np.generic]]:
    for start in range(0, len(places), CHUNK):
        yield source.read(places[start : start + CHUNK])
