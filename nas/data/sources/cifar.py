"""CIFAR-10 and CIFAR-100 as their authors publish them for Python."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from nas.data.sources import Source, source
from nas.data.sources._arrays import of_arrays
from nas.data.unpickle import ARRAYS, Array, Unpickler
from nas.errors import UsageError, unreadable
from nas.files import open_file

FOLDERS = ("", "cifar-10-batches-py", "cifar-100-python")
"""Where the batches lie, below the folder that is named."""
MEGABYTE = 2**20
BATCHES = 5
"""Training batches of CIFAR-10."""


class _Files(NamedTuple):
    """Which files there are, and what labels and classes are called in them."""

    train: list[Path]
    test: Path
    meta: Path
    labels: str
    names: str


def _files(path: Path, labels: str = "fine") -> _Files | None:
    """The files in a folder or in the folder that the authors' archive makes; None where there are none."""
    for folder in (path / name for name in FOLDERS):
        batches = sorted(file for file in folder.glob("data_batch_*") if re.fullmatch(r"data_batch_\d", file.name))
        if batches:
            return _Files(batches, folder / "test_batch", folder / "batches.meta", "labels", "label_names")
        if (folder / "train").is_file():
            names = f"{labels}_label_names"
            return _Files([folder / "train"], folder / "test", folder / "meta", f"{labels}_labels", names)
    return None


@source("cifar", reads="a folder of CIFAR batches", recognises=lambda path: _files(path) is not None)
def cifar(path: Path, *, labels: Literal["fine", "coarse"] = "fine") -> Source:
    """CIFAR-10 or CIFAR-100 from a folder of its Python batches.

    The classes are those that its file of names lists, or without one, the labels that occur.

    Args:
        labels: of CIFAR-100: ``fine`` (100 classes) or ``coarse`` (20).
    """
    files = _files(path, labels)
    if files is None:
        raise UsageError(f"{path}: holds no CIFAR batches for Python: data_batch_1 to data_batch_5, or train")
    if labels == "coarse" and files.labels == "labels":
        raise UsageError(f"{path}: CIFAR-10 has no coarse labels")
    names = _names(files)
    notes = (f"{len(files.train)} of the {BATCHES} training batches are there",)
    partly = files.labels == "labels" and len(files.train) < BATCHES
    opened = _joined(path, files.train, files.labels, names)
    held_out = {"test": partial(_joined, path, [files.test], files.labels, names)} if files.test.is_file() else {}
    return replace(opened, notes=opened.notes + notes * partly, held_out=held_out)


def _names(files: _Files) -> list[str]:
    """The names of the classes; none where there is no file of them."""
    if not files.meta.is_file():
        return []
    meta = _unpickle(files.meta)
    names = meta.get(files.names.encode(), meta.get(files.names)) if isinstance(meta, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        raise UsageError(f"{files.meta}: has no list {files.names!r} of texts")
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names]


def _joined(folder: Path, batches: list[Path], key: str, names: list[str]) -> Source:
    loaded = [_unpickle(batch) for batch in batches]
    label_key = key.encode()
    for path, batch in zip(batches, loaded, strict=True):
        data, labels = (batch.get(b"data"), batch.get(label_key)) if isinstance(batch, dict) else (None, None)
        if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and isinstance(labels, list)) or (
            data.shape != (len(labels), 3072) or any(type(label) is not int for label in labels)
        ):
            raise UsageError(f"{path}: is no CIFAR batch: it lacks data [n, 3072] with as many {key}")
    images = np.concatenate([batch[b"data"] for batch in loaded]).reshape(-1, 3, 32, 32)
    return of_arrays(str(folder), images, [label for batch in loaded for label in batch[label_key]], names=names)


def _unpickle(path: Path) -> Any:
    """A batch as plain data, with the arrays in it as arrays."""
    try:
        with open_file(path, MEGABYTE) as file:
            batch = Unpickler(file, allowed=ARRAYS).load()
    except UsageError as error:
        raise UsageError(f"{path}: cannot be read as a CIFAR batch: {error}") from None
    except Exception as error:  # a damaged file makes the unpickler fail anywhere
        raise unreadable(path, "a CIFAR batch", error) from None
    if not isinstance(batch, dict):
        return batch
    return {name: value.numbers if isinstance(value, Array) else value for name, value in batch.items()}
