"""Minibatches: class-balanced, standardised, drawn once by a seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from nas.data.balance import PER_CLASS, balanced
from nas.data.opening import open_source
from nas.data.sources import MAX_COUNT
from nas.data.standard import Standard
from nas.errors import UsageError
from nas.space import Task


@dataclass(frozen=True)
class Minibatch:
    """Labelled images.

    Attributes:
        images: [samples, channels, size, size] float32, each channel standardised over the whole source.
        labels: [samples] whole numbers; the order goes round the classes, so that every prefix is balanced too.
        classes: the number of classes of the source, which is what a network for it must tell apart.
        notes: what was decided or left out when the source was read, each a sentence without a full stop.
    """

    images: Tensor
    labels: Tensor
    classes: int
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def task(self) -> Task:
        return Task(self.classes, self.images.shape[1], self.images.shape[2])

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything in it."""
        digest = hashlib.sha256(f"{tuple(self.images.shape)} {self.classes}".encode())
        digest.update(self.images.numpy().tobytes())
        digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()[:16]

    def crops(self, count: int, size: int) -> Minibatch:
        """``count`` random crops of ``size`` x ``size`` pixels, each of one random channel of a random image."""
        samples, channels, height, width = self.images.shape
        if size > min(height, width):
            raise UsageError(f"crops of {size} x {size} pixels cannot be cut from images of {height} x {width}")
        rng = np.random.default_rng(0)
        sample, channel = rng.integers(samples, size=count), rng.integers(channels, size=count)
        top, left = rng.integers(height - size + 1, size=count), rng.integers(width - size + 1, size=count)
        windows = self.images.unfold(2, size, 1).unfold(3, size, 1)  # [samples, channels, top, left, size, size]
        return Minibatch(windows[sample, channel, top, left][:, None].contiguous(), self.labels[sample], self.classes)


Data = str | Path | Minibatch | tuple[Any, Any] | Dataset[Any]
"""What a minibatch is drawn from: a name, a path, a pair (images, labels), a data set; or one that is drawn already."""


def minibatch(source: Data = "synthetic", batch_size: int = 64, seed: int = 0) -> Minibatch:
    """Draws ``batch_size`` images, balanced over the classes to within one.

    Every class that is used has at least 4 images; where the classes do not all fit so, a random subset of them is
    used, and none that has too few images. Each channel is standardised over the whole source.

    Args:
        source: ``synthetic`` (labelled Gaussian noise; options ``classes=10,size=32,channels=3``), a ``.npz`` with
            ``images`` (uint8, [n, height, width, channels]) and ``labels``, a folder of CIFAR-10 or CIFAR-100 python
            batches, a folder with a folder of images for each class (option ``size=32``: they are scaled to that and
            cut to the square in the middle), or another kind of `nas.data.sources`; a text as `nas.data.opening` says.
            A `Path` is never looked at for options. Of a pair of arrays or tensors, and of a data set, images are
            standardised too; a `Minibatch` is used as it is.
        seed: of the draw.

    Raises:
        UsageError: the source cannot be read, or has too few images or classes.
    """
    if isinstance(source, Minibatch):
        return _checked(source)
    if not PER_CLASS <= batch_size <= MAX_COUNT:
        raise UsageError(f"a minibatch of {batch_size} images cannot be drawn: it takes {PER_CLASS} to {MAX_COUNT}")
    rng = np.random.default_rng(seed)
    opened = open_source(source, rng, batch_size)
    chosen, notes = balanced(opened.name, opened.labels, opened.classes, batch_size, rng)
    standard = Standard.over(opened)
    images, labels = torch.from_numpy(standard.read(chosen)), torch.from_numpy(opened.labels[chosen])
    return Minibatch(images, labels, opened.task.classes, (*opened.notes, *notes, *standard.notes, *_alike(images)))


def _alike(images: Tensor) -> list[str]:
    """A note on images that show nothing."""
    blank = int((images == images[:, :, :1, :1]).flatten(1).all(1).sum())
    blank = blank if images.shape[2] > 1 else 0
    return [f"{blank} of the {len(images)} images drawn are the same everywhere"] * bool(blank)


def _checked(given: Minibatch) -> Minibatch:
    """A minibatch that a user made, when it is one."""
    images, labels = given.images, given.labels
    if not (isinstance(images, Tensor) and images.ndim == 4 and images.dtype == torch.float32 and images.numel()):
        raise UsageError("a Minibatch has images that are float32 [samples, channels, size, size]")
    if images.shape[2] != images.shape[3] or images.device.type != "cpu" or not images.isfinite().all():
        raise UsageError("a Minibatch has images that are square, on the CPU and finite")
    if not (isinstance(labels, Tensor) and labels.dtype == torch.int64 and labels.shape == images.shape[:1]):
        raise UsageError("a Minibatch has a label for each image, an int64 tensor [samples]")
    if labels.device.type != "cpu" or labels.min() < 0 or labels.max() >= given.classes:
        raise UsageError(f"a Minibatch of {given.classes} classes has labels from 0 to {given.classes - 1}, on the CPU")
    return given
