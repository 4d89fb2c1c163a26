"""A source from arrays of images and labels, whoever gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.sources import MAX_COUNT, Source
from nas.errors import UsageError
from nas.space import Task


def of_arrays(where: str, images: Any, labels: Any, classes: int = 0, names: Sequence[str] = ()) -> Source:
    """A source of ``images`` and ``labels``; both may be any numbers that leave no doubt, see `pixels` and `numbered`.

    Args:
        where: they are from, for the errors.
        classes: how many there are; 0 for as many as there are different labels.
        names: of the classes, where they are known; they say how many there are.
    """
    stack = pixels(where, images)
    numbers, named, notes = numbered(where, labels, len(stack), classes, names)
    return Source(
        labels=numbers,
        classes=named,
        task=Task(len(named), stack.shape[1], stack.shape[2]),
        read=lambda places: stack[places],
        notes=notes,
    )


def pixels(where: str, images: object) -> NDArray[Any]:
    """``images`` as [n, channels, size, size].

    They are [n, height, width], or have the channels last or first: as images are square, their shape says which. Where
    height, width and channels are all the same number, they are read as the documented [n, height, width, channels].
    """
    if not (isinstance(images, np.ndarray) and images.ndim in (3, 4) and images.dtype.kind in "buif" and images.size):
        raise UsageError(
            f"{where}: images must be uint8 [n, height, width, channels] or other numbers of that shape, "
            f"not {described(images)}"
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.shape[1] == images.shape[2]:
        return np.moveaxis(images, 3, 1)
    if images.shape[2] == images.shape[3]:
        return images
    raise UsageError(
        f"{where}: images must be square, [n, size, size, channels], not {images.shape[1]} x {images.shape[2]} pixels"
    )


def numbered(
    where: str, labels: Any, count: int, classes: int = 0, names: Sequence[str] = ()
) -> tuple[NDArray[np.int64], tuple[str, ...], tuple[str, ...]]:
    """Labels as numbers from 0 without gaps, the names of the classes, and notes on what was decided.

    Labels are whole numbers from 0 (as any type of number, [n] or [n, 1]), rows of a 1 among 0 (one-hot, which says how
    many classes there are), or texts. Without a number of classes, the classes are the labels that occur, in ascending
    order.
    """
    values = _flat(where, labels, count)
    if values.dtype.kind in "US":
        texts = values if values.dtype.kind == "U" else np.char.decode(values, "utf-8", "replace")
        used, numbers = np.unique(texts, return_inverse=True)
        return numbers.astype(np.int64), tuple(map(str, used)), ()
    if values.ndim == 2:
        return values.argmax(1).astype(np.int64), tuple(map(str, range(values.shape[1]))), ("labels are one-hot",)
    total = len(names) or classes
    if values.min() < 0 or values.max() >= (total or MAX_COUNT):
        raise UsageError(
            f"{where}: labels must be from 0 to {(total or MAX_COUNT) - 1}, not {values.min()} to {values.max()}"
        )
    values = values.astype(np.int64)
    if total:
        return values, tuple(names) or tuple(map(str, range(total))), ()
    used, numbers = np.unique(values, return_inverse=True)
    gaps = used[-1] != len(used) - 1
    note = (
        f"labels go from {used[0]} to {used[-1]} and {len(used)} of them occur, which are the {len(used)} classes: "
        "where there are more, say how many with classes=…"
    )
    return numbers.astype(np.int64), tuple(map(str, used)), (note,) * bool(gaps)


def _flat(where: str, labels: Any, count: int) -> NDArray[Any]:
    """Labels [n] of whole numbers or texts, or [n, classes] one-hot; `UsageError` for anything else."""
    try:
        values = np.asarray(labels)
    except ValueError:  # lists of several lengths
        values = np.empty(0)
    if values.shape == (count, 1):
        values = values[:, 0]
    whole = values.dtype.kind in "biu" or (values.dtype.kind == "f" and bool((values == np.trunc(values)).all()))
    if values.shape == (count,) and (values.dtype.kind in "US" or (whole and np.isfinite(values).all())):
        return values.astype(np.int64) if values.dtype.kind in "bf" else values
    one_hot = whole and values.ndim == 2 and ((values == 0) | (values == 1)).all() and (values.sum(1) == 1).all()
    if one_hot and len(values) == count:
        return values
    raise UsageError(f"{where}: labels must be {count} whole numbers, one for each image, not {described(labels)}")


def described(value: object) -> str:
    """What an array is, or the type of anything else."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
