"""Minibatches: of images class-balanced and standardised, or of sequences; drawn once by a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from nas.data.balance import PER_CLASS, balanced
from nas.data.opening import open_source
from nas.data.sources import MAX_COUNT, Source
from nas.data.standard import Standard
from nas.errors import UsageError
from nas.passes.tokens import UNLABELLED, are_tokens
from nas.space import Output, Task

MASKED = 0.15
"""The part of a sequence's tokens that is masked (Devlin et al. 2019)."""


@dataclass(frozen=True)
class Minibatch:
    """Labelled images, or sequences of tokens.

    Attributes:
        images: [samples, channels, size, size] float32, each channel standardised over the whole source; of tokens
            [samples, length] int64.
        labels: [samples] whole numbers; the order goes round the classes, so that every prefix is balanced too. Of
            tokens [samples, length], where nothing is predicted `nas.passes.tokens.UNLABELLED`.
        classes: the number of classes of the source, which is what a network for it must tell apart; of tokens how many
            different ones there are.
        notes: what was decided or left out when the source was read, each a sentence without a full stop.
        masked: of tokens, those that are masked are predicted, and not the next ones.
    """

    images: Tensor
    labels: Tensor
    classes: int
    notes: tuple[str, ...] = field(default=(), compare=False)
    masked: bool = False

    @property
    def task(self) -> Task:
        if are_tokens(self.images):
            return Task(self.classes, length=self.images.shape[1], kind="tokens", masked=self.masked)
        return Task(self.classes, self.images.shape[1], self.images.shape[2])

    def on(self, device: torch.device, dtype: torch.dtype) -> Minibatch:
        """A copy on a device, with images of this type."""
        images = self.images.to(device, None if are_tokens(self.images) else dtype, copy=True)
        return replace(self, images=images, labels=self.labels.to(device, copy=True))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything in it."""
        task = self.task
        kind = "" if task.kind == "images" else f" {task.output} tokens"
        digest = hashlib.sha256(f"{tuple(self.images.shape)} {self.classes}{kind}".encode())
        digest.update(self.images.numpy().tobytes())
        digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()[:16]

    def crops(self, count: int, size: int) -> Minibatch:
        """``count`` random crops of ``size`` x ``size`` pixels, each of one random channel of a random image."""
        if are_tokens(self.images):
            raise UsageError("crops are cut from images, and the data are tokens")
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


def minibatch(
    source: Data = "synthetic", batch_size: int = 64, seed: int = 0, predicts: Sequence[Output] = ()
) -> Minibatch:
    """Draws ``batch_size`` images, balanced over the classes to within one, or as many sequences of tokens.

    Every class that is used has at least 4 images; where the classes do not all fit so, a random subset of them is
    used, and none that has too few images. Each channel is standardised over the whole source. Sequences are disjoint
    windows of a text. Labels are the next tokens; or 15 % of the tokens, at least one and as many in each sequence, are
    masked, and they are the labels.

    Args:
        source: ``synthetic`` (labelled Gaussian noise; options ``classes=10,size=32,channels=3``), a ``.npz`` with
            ``images`` (uint8, [n, height, width, channels]) and ``labels``, a folder of CIFAR-10 or CIFAR-100 python
            batches, a folder with a folder of images for each class (option ``size=32``: they are scaled to that and
            cut to the square in the middle), or another kind of `nas.data.sources`; a text as `nas.data.opening` says.
            A `Path` is never looked at for options. Of a pair of arrays or tensors, and of a data set, images are
            standardised too; a `Minibatch` is used as it is.
        seed: of the draw.
        predicts: what the networks of a space may predict (`nas.space.Space.predicts`); nothing: that is not checked.

    Raises:
        UsageError: the source cannot be read, has too few images or classes, or asks for something else than what the
            networks predict.
    """
    drawn = _drawn(source, batch_size, seed, predicts[0] if predicts else "classes")
    if predicts and drawn.task.output not in predicts:
        purposes = {"classes": "are images", "next": "ask for next tokens", "masked": "ask for masked tokens"}
        able = {"classes": "take images", "next": "predict next tokens", "masked": "predict masked tokens"}
        raise UsageError(
            f"the networks of the space {' or '.join(able[output] for output in predicts)}, and the data "
            f"{purposes[drawn.task.output]}: {NEXT_STEP[predicts[0]]}"
        )
    return drawn


NEXT_STEP: Mapping[Output, str] = {
    "classes": "give images, as synthetic ones, a .npz file or a folder",
    "next": "give tokens, as text:FILE:predict=next",
    "masked": "give tokens, as text:FILE:predict=masked",
}


def _drawn(source: Data, batch_size: int, seed: int, output: Output) -> Minibatch:
    if isinstance(source, Minibatch):
        return _checked(source)
    if not PER_CLASS <= batch_size <= MAX_COUNT:
        raise UsageError(f"a minibatch of {batch_size} cannot be drawn: it takes {PER_CLASS} to {MAX_COUNT} samples")
    rng = np.random.default_rng(seed)
    opened = open_source(source, rng, batch_size, output)
    if opened.task.kind == "tokens":
        return _sequences(opened, batch_size, rng)
    chosen, notes = balanced(opened.name, opened.labels, opened.classes, batch_size, rng)
    standard = Standard.over(opened)
    images, labels = torch.from_numpy(standard.read(chosen)), torch.from_numpy(opened.labels[chosen])
    return Minibatch(images, labels, opened.task.classes, (*opened.notes, *notes, *standard.notes, *_alike(images)))


def _sequences(opened: Source, batch_size: int, rng: np.random.Generator) -> Minibatch:
    """Windows at random, with what is to be predicted of them."""
    count = len(opened.labels)
    if count < batch_size:
        raise UsageError(
            f"{opened.name}: has {count} sequences of {opened.task.length} tokens, fewer than the {batch_size} asked "
            f"for: give a smaller batch size, or a shorter length=…"
        )
    windows = torch.from_numpy(opened.read(rng.permutation(count)[:batch_size]).astype(np.int64))
    tokens, following = windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
    if not opened.task.masked:
        return Minibatch(tokens, following, opened.task.classes, opened.notes)
    hidden = max(1, round(MASKED * opened.task.length))
    places = torch.from_numpy(np.stack([rng.permutation(opened.task.length)[:hidden] for _ in range(batch_size)]))
    labels = torch.full_like(tokens, UNLABELLED).scatter_(1, places, tokens.gather(1, places))
    return Minibatch(
        tokens.scatter(1, places, opened.task.classes - 1), labels, opened.task.classes, opened.notes, masked=True
    )


def _alike(images: Tensor) -> list[str]:
    """A note on images that show nothing."""
    blank = int((images == images[:, :, :1, :1]).flatten(1).all(1).sum())
    blank = blank if images.shape[2] > 1 else 0
    return [f"{blank} of the {len(images)} images drawn are the same everywhere"] * bool(blank)


def _checked(given: Minibatch) -> Minibatch:
    """A minibatch that a user made, when it is one."""
    images, labels = given.images, given.labels
    if isinstance(images, Tensor) and images.dtype == torch.int64:
        return _checked_tokens(given)
    if not (isinstance(images, Tensor) and images.ndim == 4 and images.dtype == torch.float32 and images.numel()):
        raise UsageError("a Minibatch has images that are float32 [samples, channels, size, size]")
    if images.shape[2] != images.shape[3] or images.device.type != "cpu" or not images.isfinite().all():
        raise UsageError("a Minibatch has images that are square, on the CPU and finite")
    if not (isinstance(labels, Tensor) and labels.dtype == torch.int64 and labels.shape == images.shape[:1]):
        raise UsageError("a Minibatch has a label for each image, an int64 tensor [samples]")
    if labels.device.type != "cpu" or labels.min() < 0 or labels.max() >= given.classes:
        raise UsageError(f"a Minibatch of {given.classes} classes has labels from 0 to {given.classes - 1}, on the CPU")
    return given


def _checked_tokens(given: Minibatch) -> Minibatch:
    """A minibatch of tokens that a user made, when it is one."""
    tokens, labels, known = given.images, given.labels, range(given.classes)
    if tokens.ndim != 2 or not tokens.numel() or tokens.device.type != "cpu":
        raise UsageError("a Minibatch of tokens has int64 [samples, length], on the CPU")
    if int(tokens.min()) not in known or int(tokens.max()) not in known:
        raise UsageError(f"a Minibatch of {given.classes} different tokens has tokens from 0 to {given.classes - 1}")
    if not (isinstance(labels, Tensor) and labels.dtype == torch.int64 and labels.shape == tokens.shape):
        raise UsageError("a Minibatch of tokens has a label for each of them, an int64 tensor [samples, length]")
    targets = labels[labels != UNLABELLED]
    if labels.device.type != "cpu" or not (labels != UNLABELLED).any(1).all():
        raise UsageError(
            f"a Minibatch of tokens has labels on the CPU, of each sample one at least that is not {UNLABELLED}"
        )
    if int(targets.min()) not in known or int(targets.max()) not in known:
        raise UsageError(f"a Minibatch of {given.classes} different tokens has labels from 0 to {given.classes - 1}")
    return given
