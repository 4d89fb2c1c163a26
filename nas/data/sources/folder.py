"""A folder with a folder of images for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from nas.data.sources import MAX_COUNT, Source, source
from nas.errors import UsageError, unreadable
from nas.registry import Range
from nas.space import Task

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


@source("folder", reads="a folder of class folders", recognises=Path.is_dir, otherwise=True)
def folder(path: Path, *, size: Annotated[int, Range(1, MAX_COUNT)] = 32) -> Source:
    """Images of a folder that holds a folder for each class; they are scaled and cut to the square in the middle.

    Args:
        size: pixels a side.
    """
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    files = [(file, label) for label, folder in enumerate(folders) for file in sorted(folder.rglob("*"))]
    files = [(file, label) for file, label in files if file.suffix.lower() in SUFFIXES]
    if len({label for _, label in files}) < 2:
        raise UsageError(
            f"{path}: holds images of {len({label for _, label in files})} class, at least 2 are needed: a folder of "
            "images for each class"
        )

    def read(places: NDArray[np.int64]) -> NDArray[Any]:
        return np.stack([_pixels(files[place][0], size) for place in places]).transpose(0, 3, 1, 2)

    return Source(
        labels=np.array([label for _, label in files], dtype=np.int64),
        classes=tuple(folder.name for folder in folders),
        task=Task(len(folders), 3, size),
        read=read,
        lazy=True,
    )


def _pixels(file: Path, size: int) -> NDArray[Any]:
    from PIL import Image, ImageOps

    if not file.is_file():  # opening a pipe would wait for ever
        raise UsageError(f"{file}: is not a file")
    try:
        with Image.open(file) as image:
            return np.asarray(ImageOps.fit(image.convert("RGB"), (size, size)))
    except Exception as error:  # a damaged file makes the decoders raise all sorts
        raise unreadable(file, "an image", error) from None
