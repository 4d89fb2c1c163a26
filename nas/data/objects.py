"""Sources made of Python objects: a pair of arrays, or a PyTorch data set."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Subset

from nas.data.sources import Source
from nas.data.sources._arrays import described, numbered, of_arrays, pixels
from nas.data.sources._pictures import unpacked
from nas.errors import UsageError
from nas.space import Task

MAX_ITEMS = 10_000
"""Items of a data set without ``targets``, whose labels take as long to read as all of its images."""


def of_pair(images: Any, labels: Any) -> Source:
    """A source made of arrays or tensors: images as in `nas.data.sources._arrays.pixels`, and a label for each."""
    return of_arrays("the arrays", _array(images), _array(labels))


def of_dataset(dataset: Any) -> Source:
    """A source made of a map-style data set whose items are (image, label).

    Images are PIL images, or arrays or tensors [channels, size, size] or [size, size, channels], all of one size.
    Labels come from ``targets`` where there are some, else from the items. A random transform gives the same image
    whenever it is read: its draws depend on the number of the item.
    """
    name, count = type(dataset).__name__, len(dataset)
    if not count:
        raise UsageError(f"{name}: has no items")
    targets = _targets(dataset)
    if targets is None and count > MAX_ITEMS:
        raise UsageError(
            f"{name}: has {count} items and no 'targets': their labels would be read item by item, which is done for "
            f"at most {MAX_ITEMS}; give it an attribute 'targets', or take fewer with torch.utils.data.Subset"
        )
    targets = [_array(_item(dataset, i)[1]) for i in range(count)] if targets is None else targets
    labels, names, notes = numbered(name, targets, count, names=_class_names(dataset))
    first = _image(name, _item(dataset, 0)[0])

    def read(places: NDArray[np.int64]) -> NDArray[Any]:
        images = []
        for index in places.tolist():
            item, label = _item(dataset, index)
            if not np.array_equal(np.ravel(_array(label)), np.ravel(targets[index])):
                raise UsageError(f"{name}: item {index} has the label {label}, but its targets say {targets[index]}")
            image = _image(name, item)
            if image.shape != first.shape or image.dtype != first.dtype:
                raise UsageError(
                    f"{name}: images must be alike, but item 0 is {described(first)} and item {index} "
                    f"{described(image)}: give it a transform that makes them so"
                )
            images.append(image)
        return np.stack(images)

    task = Task(len(names), *first.shape[:2])
    return Source(labels=labels, classes=names, task=task, read=read, lazy=True, notes=notes)


def _targets(dataset: Any) -> Any:
    """The labels that a data set, or the one that it is a subset of, lists; None if only its items have them."""
    if isinstance(dataset, Subset):
        whole = _targets(dataset.dataset)
        return None if whole is None else [whole[index] for index in dataset.indices]
    if getattr(dataset, "target_transform", None) is not None:  # which changes the labels
        return None
    return _array(getattr(dataset, "targets", None))


def _class_names(dataset: Any) -> tuple[str, ...]:
    """The names that a data set, or the one that it is a subset of, gives its classes."""
    if isinstance(dataset, Subset):
        return _class_names(dataset.dataset)
    names = getattr(dataset, "classes", None)
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _item(dataset: Any, index: int) -> tuple[Any, Any]:
    with _chance_of(index):
        item = dataset[index]
    if not (isinstance(item, tuple | list) and len(item) == 2):
        kind = f"a {type(item).__name__}" + (f" of {len(item)}" if isinstance(item, tuple | list) else "")
        raise UsageError(f"{type(dataset).__name__}: items must be (image, label), but item {index} is {kind}")
    return item[0], item[1]


def _image(name: str, image: Any) -> NDArray[Any]:
    """[channels, size, size]."""
    value = unpacked(image) if isinstance(image, Image.Image) else _array(image)
    stack: NDArray[Any] = pixels(name, value[None] if isinstance(value, np.ndarray) else value)
    return np.asarray(stack[0])


def _array(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value


@contextmanager
def _chance_of(index: int) -> Iterator[None]:
    """Seeds every generator that a transform may use by the number of an item, and restores them afterwards."""
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(index)
        random.seed(index)
        np.random.seed(index % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)
