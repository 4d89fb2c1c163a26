"""Labelled Gaussian noise."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from nas.data.sources import MAX_COUNT, Source, source
from nas.registry import Range
from nas.space import Task

PER_CLASS = 4
"""Images of a class among as many images as are drawn, where the classes do not all fit."""


@source("synthetic")
def synthetic(
    rng: np.random.Generator,
    count: int,
    *,
    classes: Annotated[int, Range(2, MAX_COUNT)] = 10,
    channels: Annotated[int, Range(1, MAX_COUNT)] = 3,
    size: Annotated[int, Range(1, MAX_COUNT)] = 32,
) -> Source:
    """Labelled Gaussian noise: twice as many images as are drawn, about which the labels say nothing."""
    images = rng.standard_normal((count * 2, channels, size, size), dtype=np.float32)
    used = rng.permutation(classes)[: max(2, count // PER_CLASS)]
    return Source(
        labels=used[np.arange(count * 2) % len(used)],
        classes=tuple(map(str, range(classes))),
        task=Task(classes, channels, size),
        read=lambda places: images[places],
        standardised=True,
    )
