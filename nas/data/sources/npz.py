"""Arrays of images and labels in a ``.npz`` file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np

from nas.data.sources import MAX_COUNT, Source, source
from nas.data.sources._arrays import of_arrays
from nas.errors import UsageError, unreadable
from nas.registry import Range

MAX_RATIO = 1000
"""Images do not compress to a smaller part of their size than this."""


@source("npz", reads="a .npz file", recognises=lambda path: path.suffix.lower() == ".npz" and path.is_file())
def npz(path: Path, *, classes: Annotated[int, Range(0, MAX_COUNT)] = 0) -> Source:
    """Images and labels from the arrays of these names in a .npz file.

    Args:
        classes: how many there are; 0: as many as there are different labels.
    """
    arrays = _read(path)
    return of_arrays(str(path), arrays["images"], arrays["labels"], classes)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as handle, np.lib.npyio.NpzFile(handle, allow_pickle=False) as file:
            members = file.zip.infolist() if file.zip is not None else []
            if sum(member.file_size for member in members) > MAX_RATIO * path.stat().st_size:
                raise UsageError(
                    f"{path}: holds more than {MAX_RATIO} times its own size: it is damaged, or made to do harm"
                )
            missing = {"images", "labels"} - set(file.files)
            if missing:
                raise UsageError(f"{path}: has no array {' or '.join(sorted(missing))}, only {', '.join(file.files)}")
            return {name: file[name] for name in ("images", "labels")}
    except UsageError:
        raise
    except Exception as error:  # a damaged file makes zipfile and numpy raise all sorts
        raise unreadable(path, ".npz", error) from None
