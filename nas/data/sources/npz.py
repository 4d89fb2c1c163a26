"""Arrays of images and labels in a ``.npz`` file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np

from nas.data.bounded import Bomb, most_bytes
from nas.data.sources import MAX_COUNT, Source, source
from nas.data.sources._arrays import of_arrays
from nas.errors import UsageError, unreadable
from nas.files import open_file
from nas.registry import Range

MAX_RATIO = 1000
"""Images do not compress to a smaller part of their size than this."""
FREE_BYTES, LARGE_RATIO = 2**26, 100
"""What becomes more bytes than these may be so many times its own size."""
PARTS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
"""What parts of the data are called in the names of arrays."""
NAMES = (("images_{}", "labels_{}"), ("{}_images", "{}_labels"), ("x_{}", "y_{}"))


@source("npz", reads="a .npz file", recognises=lambda path: path.suffix.lower() == ".npz" and path.is_file())
def npz(path: Path, *, classes: Annotated[int, Range(0, MAX_COUNT)] = 0) -> Source:
    """Images and labels from the arrays of a .npz file.

    The arrays are called ``images`` and ``labels``; or they are those of parts, ``images_train`` and ``labels_train``,
    ``train_images`` and ``train_labels`` or ``x_train`` and ``y_train``, beside which may be ``val`` and ``test``.

    Args:
        classes: how many there are; 0: as many as there are different labels.
    """
    with opened_arrays(path) as file:
        pairs = _pairs(path, file.files)

    def part(name: str) -> Source:
        with opened_arrays(path) as file:
            images, labels = (file[array] for array in pairs[name])
        return of_arrays(str(path), images, labels, classes)

    return replace(part("train"), held_out={name: partial(part, name) for name in pairs if name != "train"})


def _pairs(path: Path, names: list[str]) -> dict[str, tuple[str, str]]:
    """The names of the arrays of each part; `UsageError` without training images or where there are several."""
    pairs: dict[str, list[tuple[str, str]]] = {"train": [("images", "labels")]}
    for part, words in PARTS.items():
        pairs.setdefault(part, [])
        pairs[part] += [(image.format(word), label.format(word)) for image, label in NAMES for word in words]
    present = {part: [pair for pair in several if set(pair) <= set(names)] for part, several in pairs.items()}
    if not present["train"]:
        missing = sorted({"images", "labels"} - set(names))
        raise UsageError(f"{path}: has no array {' or '.join(missing)}, only {', '.join(names)}")
    for several in present.values():
        if len(several) > 1:
            both = " and ".join(image for image, _ in several)
            raise UsageError(f"{path}: has {both}, so that it is not clear which are meant")
    return {part: several[0] for part, several in present.items() if several}


@contextmanager
def opened_arrays(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """A .npz file, when it is no larger than such a file is."""
    try:
        with open_file(path) as handle, np.lib.npyio.NpzFile(handle, allow_pickle=False) as file:
            members = file.zip.infolist() if file.zip is not None else []
            size = path.stat().st_size
            total, most = sum(member.file_size for member in members), most_bytes(size, LARGE_RATIO, FREE_BYTES)
            if total > MAX_RATIO * size:
                raise UsageError(
                    f"{path}: holds more than {MAX_RATIO} times its own size: it is damaged, or made to do harm"
                )
            if total > most:
                raise Bomb(size, "bytes", most)
            yield file
    except UsageError:
        raise
    except Exception as error:  # a damaged file makes zipfile and numpy raise all sorts
        raise unreadable(path, ".npz", error) from None
