"""CIFAR-10 and CIFAR-100 as their authors publish them for Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.sources import Source, source
from nas.data.sources._arrays import of_arrays
from nas.data.unpickle import ARRAYS, Array, Unpickler
from nas.errors import UsageError, unreadable

FOLDERS = ("", "cifar-10-batches-py", "cifar-100-python")
"""Where the batches lie, below the folder that is named."""


def _batches(path: Path) -> tuple[list[Path], bytes]:
    """The files of the training images, and what their labels are called; no files where there are none."""
    for folder in (path / name for name in FOLDERS):
        if batches := sorted(folder.glob("data_batch_*")):
            return batches, b"labels"
        if (folder / "train").is_file():
            return [folder / "train"], b"fine_labels"
    return [], b""


@source("cifar", reads="a folder of CIFAR batches", recognises=lambda path: bool(_batches(path)[0]))
def cifar(path: Path) -> Source:
    """CIFAR-10 or CIFAR-100 from a folder of its Python batches."""
    batches, key = _batches(path)
    if not batches:
        raise UsageError(f"{path}: holds no CIFAR batches, data_batch_1 to data_batch_5 or train")
    return _joined(path, batches, key)


def _joined(folder: Path, batches: Sequence[Path], key: bytes) -> Source:
    loaded = [_unpickle(batch) for batch in batches]
    for path, batch in zip(batches, loaded, strict=True):
        data, labels = (batch.get(b"data"), batch.get(key)) if isinstance(batch, dict) else (None, None)
        if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and isinstance(labels, list)) or (
            data.shape != (len(labels), 3072) or any(type(label) is not int for label in labels)
        ):
            raise UsageError(f"{path}: is no CIFAR batch: it lacks data [n, 3072] with as many {key.decode()}")
    images = np.concatenate([batch[b"data"] for batch in loaded]).reshape(-1, 3, 32, 32)
    return of_arrays(str(folder), images, [label for batch in loaded for label in batch[key]])


def _unpickle(path: Path) -> Any:
    """A batch as plain data, with the arrays in it as arrays."""
    try:
        with path.open("rb") as file:
            batch = Unpickler(file, allowed=ARRAYS).load()
    except UsageError as error:
        raise UsageError(f"{path}: cannot be read as a CIFAR batch: {error}") from None
    except Exception as error:  # a damaged file makes the unpickler fail anywhere
        raise unreadable(path, "a CIFAR batch", error) from None
    if not isinstance(batch, dict):
        return batch
    return {name: value.numbers if isinstance(value, Array) else value for name, value in batch.items()}
