"""Kinds of data: a registry of functions that open a path, and the source that each of them gives.

A kind is one file: a function of a path with ``@source``, whose options are its keyword-only arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nas.registry import Registry, origin
from nas.space import Task

__all__ = ["Source", "source"]

MAX_COUNT = 100_000
"""More images in a minibatch, classes or pixels a side than this are a mistake."""
MAX_FILES_LOOKED_AT = 1000
"""Of more images in files of their own, what is said of all of them is said of so many."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """All there is to draw from: the class of every image, and how to read some of them; or sequences of tokens.

    Attributes:
        labels: [images] the class of each, as its place in ``classes``; of sequences all zero.
        classes: their names, as many as ``task`` has classes; the vocabulary.
        task: what a network for it must take and tell apart.
        read: places [n] among the images -> [n, channels, size, size], numbers of one type, as they are stored; of
            sequences [n, length + 1] tokens, the last of which comes behind the sequence.
        standardised: what ``read`` gives has mean 0 and standard deviation 1; else that is seen to.
        lazy: ``read`` opens a file for each image, so that mean and standard deviation are those of some of them.
        notes: what was decided or left out that a user might not expect, each a sentence without a full stop.
        held_out: the ``validation`` and ``test`` images that it keeps apart, opened when they are asked for.
        name: as the user wrote it; set for it when it was opened.
    """

    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    task: Task
    read: Callable[[NDArray[np.int64]], NDArray[Any]]
    standardised: bool = False
    lazy: bool = False
    notes: tuple[str, ...] = ()
    held_out: Mapping[str, Callable[[], Source]] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class Kind:
    """A registered kind of data.

    Attributes:
        function: ``(path, *, options) -> Source``; of data that are made up, ``(rng, count, *, options) -> Source``
            with a generator of random numbers and the number of images that will be drawn.
        reads: what the path is, with its article: ``a .npz file``.
        recognises: whether a path that was named without its kind is one of these; None for data that are made up,
            which are named by their kind alone.
        otherwise: it is asked only about paths that no other kind recognises.
    """

    name: str
    function: Callable[..., Source]
    reads: str
    recognises: Callable[[Path], bool] | None = None
    otherwise: bool = False


def looked_at(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of some places among images in files that are looked at, in ascending order; always the same ones."""
    if len(places) <= MAX_FILES_LOOKED_AT:
        return np.sort(places)
    return np.sort(np.random.default_rng(0).choice(np.sort(places), MAX_FILES_LOOKED_AT, replace=False))


SOURCES: Registry[Kind] = Registry("kind of data")

Function = TypeVar("Function", bound=Callable[..., Source])


def source(
    name: str, *, reads: str = "", recognises: Callable[[Path], bool] | None = None, otherwise: bool = False
) -> Callable[[Function], Function]:
    """Registers a kind of data under ``name``; see `Kind` for the declarations."""

    def register(function: Function) -> Function:
        SOURCES.add(name, Kind(name, function, reads, recognises, otherwise), origin(function))
        return function

    return register
