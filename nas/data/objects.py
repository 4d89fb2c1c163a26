"""Sources from what Python users have in hand: a pair of arrays, or a data set of PyTorch's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.data.sources import Source
from nas.data.sources._arrays import described, numbered, of_arrays, pixels
from nas.errors import UsageError
from nas.space import Task

MAX_ITEMS = 10_000
"""Of a data set without ``targets``, the labels are read item by item, which takes as long as to read all images."""


def of_pair(images: Any, labels: Any) -> Source:
    """A source of arrays or tensors: images as in `nas.data.sources._arrays.pixels`, and a label for each."""
    return of_arrays("the arrays", _array(images), _array(labels))


def of_dataset(dataset: Any) -> Source:
    """A source of a map-style data set whose items are (image, label).

    Images are PIL images, or arrays or tensors [channels, size, size] or [size, size, channels], all of one size.
    Labels come from ``targets`` where there are some, else from the items. What a transform leaves to chance is the
    same whenever an image is read: it depends on the number of the item.
    """
    name, count = type(dataset).__name__, len(dataset)
    if not count:
        raise UsageError(f"{name}: has no items")
    targets = getattr(dataset, "targets", None)
    if targets is None and count > MAX_ITEMS:
        raise UsageError(
            f"{name}: has {count} items and no 'targets': their labels would be read item by item, which is done for "
            f"at most {MAX_ITEMS}; give it an attribute 'targets', or take fewer with torch.utils.data.Subset"
        )
    if targets is None:
        targets = [_label(name, _item(dataset, index)[1]) for index in range(count)]
    names = tuple(map(str, getattr(dataset, "classes", None) or ()))
    labels, names, notes = numbered(name, _array(targets), count, names=names)
    first = _image(name, _item(dataset, 0)[0])

    def read(places: NDArray[np.int64]) -> NDArray[Any]:
        images = [_image(name, _item(dataset, int(index))[0]) for index in places]
        for index, image in zip(places, images, strict=True):
            if image.shape != first.shape or image.dtype != first.dtype:
                raise UsageError(
                    f"{name}: images must be alike, but item 0 is {described(first)} and item {index} "
                    f"{described(image)}: give it a transform that makes them so"
                )
        return np.stack(images)

    task = Task(len(names), *first.shape[:2])
    return Source(labels=labels, classes=names, task=task, read=read, lazy=True, notes=notes)


def _item(dataset: Any, index: int) -> tuple[Any, Any]:
    with _chance_of(index):
        item = dataset[index]
    if not (isinstance(item, tuple | list) and len(item) == 2):
        raise UsageError(f"{type(dataset).__name__}: items must be (image, label), but item {index} is {_type(item)}")
    return item[0], item[1]


def _type(item: object) -> str:
    return f"a {type(item).__name__}" + (f" of {len(item)}" if isinstance(item, tuple | list) else "")


def _label(name: str, label: Any) -> Any:
    value = _array(label)
    if isinstance(value, np.ndarray):
        if value.size != 1:
            raise UsageError(f"{name}: a label must be one whole number, not {described(value)}")
        return value.item()
    return value


def _image(name: str, image: Any) -> NDArray[Any]:
    """[channels, size, size]."""
    if hasattr(image, "getbands"):
        image = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    value = _array(image)
    stack: NDArray[Any] = pixels(name, value[None] if isinstance(value, np.ndarray) else value)
    return np.asarray(stack[0])


def _array(given: Any) -> Any:
    return given.detach().cpu().numpy() if isinstance(given, Tensor) else given


@contextmanager
def _chance_of(index: int) -> Iterator[None]:
    """Seeds every generator that a transform may use by the number of an item, and puts them back."""
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
