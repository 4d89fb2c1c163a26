"""Minibatches: class-balanced, normalised, drawn once by a seed.

A source is named by ``PATH`` or ``synthetic``, optionally with settings: ``synthetic:classes=100,size=16``,
``photos/:size=64``.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.data.unpickle import ARRAYS, Array, Unpickler
from nas.errors import UsageError, unknown, unreadable
from nas.space import Task

PER_CLASS = 4
"""The fewest images of a class in a minibatch that uses the class."""
LARGEST = 100_000
"""More images, classes or pixels a side than this are a mistake."""
BOMB = 1000
"""Images do not compress to a smaller part of their size than this."""
IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Minibatch:
    """Labelled images.

    Attributes:
        images: [samples, channels, size, size] float32, each channel standardised over the whole source.
        labels: [samples] whole numbers; the order goes round the classes, so that every prefix is balanced too.
        classes: the number of classes of the source, which is what a network for it must tell apart.
    """

    images: Tensor
    labels: Tensor
    classes: int

    @property
    def task(self) -> Task:
        return Task(self.classes, self.images.shape[1], self.images.shape[2])

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything in it."""
        digest = hashlib.sha256(f"{tuple(self.images.shape)} {self.classes}".encode())
        digest.update(self.images.numpy().tobytes())
        digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()[:16]

    def crops(self, count: int, size: int) -> Minibatch:
        """``count`` random crops of ``size`` x ``size`` pixels, each of one random channel of a random image."""
        samples, channels, height, width = self.images.shape
        if size > min(height, width):
            raise UsageError(f"crops of {size} x {size} pixels cannot be cut from images of {height} x {width}")
        rng = np.random.default_rng(0)
        sample, channel = rng.integers(samples, size=count), rng.integers(channels, size=count)
        top, left = rng.integers(height - size + 1, size=count), rng.integers(width - size + 1, size=count)
        windows = self.images.unfold(2, size, 1).unfold(3, size, 1)  # [samples, channels, top, left, size, size]
        return Minibatch(windows[sample, channel, top, left][:, None].contiguous(), self.labels[sample], self.classes)


@dataclass(frozen=True)
class _Source:
    """All there is to draw from: the label of every image, and how to read some of them."""

    labels: NDArray[np.int64]
    classes: int
    read: Callable[[NDArray[np.int64]], NDArray[np.float32]]
    """indices -> standardised images [n, channels, size, size]."""


def minibatch(source: str = "synthetic", batch_size: int = 64, seed: int = 0) -> Minibatch:
    """Draws ``batch_size`` images, balanced over the classes to within one.

    Every class that is used has at least 4 images; where the classes do not all fit so, a random subset of them is
    used.

    Args:
        source: ``synthetic`` (labelled Gaussian noise; settings ``classes=10,size=32,channels=3``), a ``.npz`` with
            ``images`` (uint8, [n, height, width, channels]) and ``labels``, a folder of CIFAR-10 or CIFAR-100 python
            batches, or a folder with a folder of images for each class (setting ``size=32``: they are scaled to that
            and cut to the square in the middle).
        seed: of the draw.

    Raises:
        UsageError: the source cannot be read, or has too few images or classes.
    """
    if not PER_CLASS <= batch_size <= LARGEST:
        raise UsageError(f"a minibatch of {batch_size} images cannot be drawn: it takes {PER_CLASS} to {LARGEST}")
    rng = np.random.default_rng(seed)
    name, settings = _settings(source)
    if name == "synthetic":
        found = _synthetic(rng, batch_size, **settings)
    elif not name:
        raise UsageError("no data source was named: give 'synthetic', a .npz file or a folder")
    else:
        found = _open(Path(os.path.expanduser(os.path.expandvars(name))), settings)
    present = np.unique(found.labels)
    if len(present) < 2:
        raise UsageError(f"{name}: has images of {len(present)} class, at least 2 are needed")
    used = rng.permutation(present)[: batch_size // PER_CLASS]
    queues = [rng.permutation(np.flatnonzero(found.labels == label)) for label in used]
    for place, (label, queue) in enumerate(zip(used, queues, strict=True)):
        needed = len(range(place, batch_size, len(used)))
        if len(queue) < needed:
            raise UsageError(
                f"{name}: a balanced minibatch of {batch_size} takes {needed} images of class {label}, which has "
                f"{len(queue)}; the largest possible is {min(map(len, queues)) * len(used)}"
            )
    chosen = np.array([queues[i % len(used)][i // len(used)] for i in range(batch_size)])
    images = torch.from_numpy(np.ascontiguousarray(found.read(chosen), dtype=np.float32))
    if images.shape[2] != images.shape[3]:
        raise UsageError(f"{name}: images are {images.shape[2]} x {images.shape[3]} pixels, but must be square")
    return Minibatch(images, torch.from_numpy(found.labels[chosen]), found.classes)


def _settings(source: str) -> tuple[str, dict[str, int]]:
    """The name and the settings of ``name:key=number,key=number``."""
    match = re.fullmatch(r"(.*?):(\w+=\w+(?:,\w+=\w+)*)", source)
    if not match:
        return source, {}
    name, settings = match[1], dict(pair.split("=") for pair in match[2].split(","))
    allowed = {"classes": 2, "channels": 1, "size": 1} if name == "synthetic" else {"size": 1}
    for key, value in settings.items():
        if key not in allowed:
            raise unknown(f"setting of {name}", key, allowed)
        if not re.fullmatch("[0-9]{1,6}", value) or not allowed[key] <= int(value) <= LARGEST:
            raise UsageError(f"{name}: {key} takes a whole number from {allowed[key]} to {LARGEST}, not {value!r}")
    return name, {key: int(value) for key, value in settings.items()}


def _synthetic(rng: np.random.Generator, count: int, classes: int = 10, channels: int = 3, size: int = 32) -> _Source:
    images = rng.standard_normal((count * 2, channels, size, size), dtype=np.float32)
    used = rng.permutation(classes)[: max(2, count // PER_CLASS)]
    return _Source(used[np.arange(count * 2) % len(used)], classes, lambda chosen: images[chosen])


def _open(path: Path, settings: dict[str, int]) -> _Source:
    if path.suffix == ".npz" and path.is_file():
        return _arrays(path, *_read_npz(path))
    if path.is_dir():
        for folder in (path, path / "cifar-10-batches-py", path / "cifar-100-python"):
            if batches := sorted(folder.glob("data_batch_*")):
                return _cifar(folder, batches, b"labels")
            if (folder / "train").is_file():
                return _cifar(folder, [folder / "train"], b"fine_labels")
        return _image_folder(path, **settings)
    what = "is neither a .npz file nor a folder" if path.exists() else "does not exist"
    raise UsageError(f"{path} {what}: data are 'synthetic', a .npz file, a folder of CIFAR batches or of class folders")


def _read_npz(path: Path) -> tuple[Any, Any]:
    try:
        with path.open("rb") as handle, np.lib.npyio.NpzFile(handle, allow_pickle=False) as file:
            members = file.zip.infolist() if file.zip is not None else []
            if sum(member.file_size for member in members) > BOMB * path.stat().st_size:
                raise UsageError(
                    f"{path}: holds more than {BOMB} times its own size: it is damaged, or made to do harm"
                )
            missing = {"images", "labels"} - set(file.files)
            if missing:
                raise UsageError(f"{path}: has no array {' or '.join(sorted(missing))}, only {', '.join(file.files)}")
            return file["images"], file["labels"]
    except UsageError:
        raise
    except Exception as error:  # a damaged file makes zipfile and numpy raise all sorts
        raise unreadable(path, ".npz", error) from None


def _arrays(path: Path, images: Any, labels: Any) -> _Source:
    """A source from images [n, height, width, channels] uint8 and labels [n]."""
    if not (isinstance(images, np.ndarray) and images.ndim == 4 and images.dtype == np.uint8 and images.size):
        raise UsageError(f"{path}: images must be uint8 [n, height, width, channels], not {_kind(images)}")
    labels = np.asarray(labels) if isinstance(labels, list) else labels
    if not (isinstance(labels, np.ndarray) and labels.shape == (len(images),) and labels.dtype.kind in "iu"):
        raise UsageError(f"{path}: labels must be {len(images)} whole numbers, one for each image, not {_kind(labels)}")
    if labels.min() < 0 or labels.max() >= LARGEST:
        raise UsageError(f"{path}: labels must be from 0 to {LARGEST - 1}, not {labels.min()} to {labels.max()}")
    counts = [np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])]
    mean, std = _moments(np.array(counts))

    def read(chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        standard: NDArray[np.float32] = ((images[chosen] - mean) / std).transpose(0, 3, 1, 2)
        return standard

    return _Source(labels.astype(np.int64), int(labels.max()) + 1, read)


def _kind(found: object) -> str:
    return f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else type(found).__name__


def _moments(counts: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each channel from its histogram [channels, 256]."""
    values, share = np.arange(256), counts / counts.sum(1, keepdims=True)
    mean = share @ values
    std = np.sqrt(np.maximum(share @ values**2 - mean**2, 0))
    return mean.astype(np.float32), np.where(std > 0, std, 1).astype(np.float32)


def _cifar(folder: Path, batches: Sequence[Path], key: bytes) -> _Source:
    loaded = [_unpickle(batch) for batch in batches]
    for path, batch in zip(batches, loaded, strict=True):
        data, labels = (batch.get(b"data"), batch.get(key)) if isinstance(batch, dict) else (None, None)
        if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and isinstance(labels, list)) or (
            data.shape != (len(labels), 3072) or any(type(label) is not int for label in labels)
        ):
            raise UsageError(f"{path}: is no CIFAR batch: it lacks data [n, 3072] with as many {key.decode()}")
    images = np.concatenate([batch[b"data"] for batch in loaded]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return _arrays(folder, images, [label for batch in loaded for label in batch[key]])


def _unpickle(path: Path) -> Any:
    """A batch as plain data, with the arrays in it as arrays."""
    try:
        with path.open("rb") as file:
            batch = Unpickler(file, allowed=ARRAYS).load()
    except UsageError as error:
        raise UsageError(f"{path}: cannot be read as a CIFAR batch: {error}") from None
    except Exception as error:  # a damaged file makes the machine stumble anywhere
        raise unreadable(path, "a CIFAR batch", error) from None
    if not isinstance(batch, dict):
        return batch
    return {name: value.numbers if isinstance(value, Array) else value for name, value in batch.items()}


def _image_folder(path: Path, size: int = 32) -> _Source:
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    files = [(file, label) for label, folder in enumerate(folders) for file in sorted(folder.rglob("*"))]
    files = [(file, label) for file, label in files if file.suffix.lower() in IMAGES]
    if len({label for _, label in files}) < 2:
        raise UsageError(
            f"{path}: holds images of {len({label for _, label in files})} class, at least 2 are needed: a folder of "
            "images for each class"
        )

    def read(chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        from PIL import Image, ImageOps

        images = []
        for index in chosen:
            file = files[index][0]
            if not file.is_file():  # opening a pipe would wait for ever
                raise UsageError(f"{file}: is not a file")
            try:
                with Image.open(file) as image:
                    images.append(np.asarray(ImageOps.fit(image.convert("RGB"), (size, size))))
            except Exception as error:  # a damaged file makes the decoders raise all sorts
                raise unreadable(file, "an image", error) from None
        stack = np.stack(images)
        mean, std = _moments(np.array([np.bincount(stack[..., c].ravel(), minlength=256) for c in range(3)]))
        return ((stack - mean) / std).transpose(0, 3, 1, 2)

    return _Source(np.array([label for _, label in files], dtype=np.int64), len(folders), read)
