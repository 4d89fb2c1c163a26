"""Training, validation and test images: as a source keeps them apart, else drawn from its training images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.data.minibatch import Data, Minibatch
from nas.data.opening import open_source
from nas.data.sources import Source
from nas.data.sources._files import counted, shortened
from nas.data.standard import Standard
from nas.errors import UsageError, unknown
from nas.space import Task

PARTS = ("train", "validation", "test")
FRACTIONS = {"validation": 0.1, "test": 0.1}
"""The share of the training images that each part gets where a source does not keep it apart."""
MAX_KEPT_BYTES = 2**30
"""Images in files of their own are kept in memory where a part is no larger; else they are read again each time."""
MADE_UP_DRAW = 1000
"""Synthetic data have as many images as for a minibatch of this size, which is twice as many."""


@dataclass(frozen=True)
class Part:
    """Some images of a source with their labels, read by their numbers from 0 on.

    Attributes:
        labels: [images] whole numbers.
        standard: reads images of the source, standardised as the training images are.
        places: [images] where each lies in the source.
    """

    labels: Tensor
    standard: Standard
    places: NDArray[np.int64]
    _read: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bytes(self) -> int:
        """The size of all images in memory: four bytes for each number."""
        task = self.standard.source.task
        return len(self) * task.channels * task.size**2 * 4

    @property
    def kept(self) -> bool:
        """Whether images stay in memory, from the start or once they are read; else files are read again each time."""
        return not self.standard.source.lazy or self.bytes <= MAX_KEPT_BYTES

    def images(self, numbers: Tensor) -> Tensor:
        """The images with these numbers [n], [n, channels, size, size] float32."""
        wanted = numbers.tolist()
        if not (self.standard.source.lazy and self.kept):
            return torch.from_numpy(self.standard.read(self.places[wanted]))
        if new := sorted(set(wanted) - set(self._read)):
            self._read.update(zip(new, torch.from_numpy(self.standard.read(self.places[new])), strict=True))
        return torch.stack([self._read[number] for number in wanted])


@dataclass(frozen=True)
class Splits:
    """The parts of a source, which have no image in common.

    Attributes:
        classes: their names, in the order of the labels; those of the training images.
        notes: what was decided or left out, each a sentence without a full stop.
    """

    train: Part
    validation: Part
    test: Part
    classes: tuple[str, ...]
    task: Task
    notes: tuple[str, ...]


def splits(source: Data, seed: int = 0, fractions: Mapping[str, float] = FRACTIONS) -> Splits:
    """The images of a source for training, for validation, and for the test at the end.

    Parts that a source keeps apart are used as they are: the folders ``train``, ``val`` and ``test``, the test batch of
    CIFAR, arrays such as ``images_test``. Any other is drawn from the training images: the fraction of each class,
    rounded, but at least one image of a class that has enough for every part. All are standardised by the mean and
    standard deviation of the images that are left for training.

    Args:
        source: as for `nas.data.minibatch.minibatch`, but no minibatch.
        seed: of what is drawn.
        fractions: of ``validation`` and ``test`` among the training images.

    Raises:
        UsageError: the source cannot be read, keeps a part apart that does not fit the training images, or has too few
            images.
    """
    if isinstance(source, Minibatch):
        raise UsageError("a Minibatch holds a few images of a source: splits take the source")
    opened = open_source(source, np.random.default_rng(seed), MADE_UP_DRAW)
    if opened.task.kind == "tokens":
        raise UsageError(f"{opened.name}: are tokens, and networks are trained on images only")
    if "train" in opened.held_out:
        raise UsageError(f"{opened.name}: names a part to read: splits take the whole folder, without split=…")
    held_out = {name: make() for name, make in opened.held_out.items()}
    drawn = {name: fraction for name, fraction in _checked(fractions).items() if name not in held_out}
    places = _drawn(opened.labels, drawn, seed)
    standard = Standard.over(opened, places["train"])
    parts = {name: _part(standard, places[name], opened.labels[places[name]]) for name in places}
    for name, other in held_out.items():
        labels = _labels_like(opened, other, name)
        parts[name] = _part(replace(standard, source=other), np.arange(len(labels)), labels)
    if empty := [name for name in PARTS if not len(parts[name])]:
        raise UsageError(f"{opened.name}: has too few images to draw some for {' and '.join(empty)}")
    notes = [f"{name}: {fraction:g} of the images of each class, drawn by the seed" for name, fraction in drawn.items()]
    present = {name: len(np.unique(part.labels.numpy())) for name, part in parts.items()}
    fewer = {name: present["train"] - number for name, number in present.items()}
    notes += [f"{name}: has no image of {counted(n, 'class', 'classes')}" for name, n in fewer.items() if n]
    return Splits(**parts, classes=opened.classes, task=opened.task, notes=(*opened.notes, *notes, *standard.notes))


def _checked(fractions: Mapping[str, float]) -> dict[str, float]:
    for name, fraction in fractions.items():
        if name not in FRACTIONS:
            raise unknown("part", name, FRACTIONS)
        if not 0 < fraction < 1:
            raise UsageError(f"the part {name} is a fraction between 0 and 1, not {fraction!r}")
    complete = FRACTIONS | dict(fractions)
    if sum(complete.values()) >= 1:
        raise UsageError(f"the parts {complete} leave no images for training")
    return complete


def _drawn(labels: NDArray[np.int64], fractions: Mapping[str, float], seed: int) -> dict[str, NDArray[np.int64]]:
    """The places of each part, in ascending order; ``train`` is what is left."""
    rng = np.random.default_rng(seed)
    chosen: dict[str, list[int]] = {name: [] for name in ("train", *fractions)}
    for label in np.unique(labels):
        rest = rng.permutation(np.flatnonzero(labels == label)).tolist()
        least = int(len(rest) > len(fractions))
        counts = {name: max(least, int(len(rest) * fraction + 0.5)) for name, fraction in fractions.items()}
        for name, count in counts.items():
            count = min(count, len(rest) - 1)
            chosen[name] += rest[:count]
            rest = rest[count:]
        chosen["train"] += rest
    return {name: np.sort(np.array(places, dtype=np.int64)) for name, places in chosen.items()}


def _part(standard: Standard, places: NDArray[np.int64], labels: NDArray[np.int64]) -> Part:
    return Part(torch.from_numpy(labels), standard, places)


def _labels_like(train: Source, other: Source, name: str) -> NDArray[np.int64]:
    """The labels of a part that is kept apart, as numbers of the training images' classes."""
    if other.task[1:] != train.task[1:]:
        raise UsageError(
            f"{train.name}: images for training are {_shape(train.task)}, those for {name} {_shape(other.task)}"
        )
    numbers = {label: number for number, label in enumerate(train.classes)}
    present = [other.classes[label] for label in np.unique(other.labels)]
    if strange := [label for label in present if label not in numbers]:
        raise UsageError(
            f"{train.name}: {name} has {counted(len(strange), 'class', 'classes')} without images for training: "
            f"{shortened(strange)}"
        )
    return np.array([numbers.get(label, -1) for label in other.classes], dtype=np.int64)[other.labels]


def _shape(task: Task) -> str:
    return f"{task.channels} x {task.size} x {task.size}"
