"""From what a user names or hands over to a source, which is checked.

A text names a source by ``PATH``, by ``KIND:PATH``, or, where data are made up, by their ``KIND``; each may be followed
by options: ``photos/:size=64``, ``synthetic:classes=100,size=16``. What exists as it is written is a path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.data.objects import of_dataset, of_pair
from nas.data.sources import SOURCES, Kind, Source
from nas.errors import UsageError, unknown, unreadable
from nas.registry import checked_options, normal
from nas.registry import options as of_signature
from nas.space import Output

SYNTHETIC, TOKENS = "synthetic", "tokens"
"""Data that are made up: images, and tokens."""
OPTIONS = re.compile(r"\w+=[^,=:/]*(,\w+=[^,=:/]*)*")


class Place(NamedTuple):
    """Where a source is: its kind, its path (none for data that are made up), and the options as they are written."""

    kind: Kind
    path: Path | None
    options: Mapping[str, str]


def open_source(given: Any, rng: np.random.Generator, count: int, output: Output = "classes") -> Source:
    """The source that a text or a path names, or that a pair of arrays or a data set is.

    Args:
        rng, count: for data that are made up: of the random numbers, and how many images will be drawn.
        output: what networks are to predict. Where that is not the class of an image, ``synthetic`` data are tokens,
            and it is what is predicted of tokens whose options do not say it.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    make: Callable[[], Source]
    if isinstance(given, str | os.PathLike):
        if given == SYNTHETIC and output != "classes":
            given = TOKENS
        kind, path, options = place(given)
        if output != "classes" and "predict" in of_signature(kind.function):
            options = {"predict": output} | dict(options)
        name, what = os.fspath(given), kind.reads or f"data of the kind {kind.name}"
        chosen = checked_options(kind.name, kind.function, options)
        make = partial(kind.function, *((rng, count) if path is None else (path,)), **chosen)
    elif isinstance(given, tuple | list) and len(given) == 2:
        name, what, make = "the arrays", "images and labels", partial(of_pair, *given)
    elif hasattr(given, "__getitem__") and hasattr(given, "__len__") and not isinstance(given, tuple | list | dict):
        name, what, make = type(given).__name__, "a data set", partial(of_dataset, given)
    else:
        raise UsageError(
            f"data are the name of a source, a path, a Minibatch, a pair (images, labels) or a data set with items "
            f"(image, label) and a length, not {type(given).__name__}"
        )
    try:
        opened = make()
    except UsageError:
        raise
    except Exception as error:  # a file that is damaged, a plug-in, or a user's data set
        raise unreadable(name, what, error) from error
    return _checked(replace(opened, name=name))


def source_name(given: Any) -> str | None:
    """The text under which another process finds the source; None for objects, which no other process has."""
    if isinstance(given, str):
        return given
    if isinstance(given, os.PathLike):
        text = os.fspath(given)
        return f"./{text}" if normal(text) in SOURCES else text
    return None


def place(given: str | os.PathLike[str]) -> Place:
    """Where ``given`` says that a source is; `UsageError` where there is none."""
    if isinstance(given, os.PathLike):
        path = _expanded(os.fspath(given))
        return Place(_recognised(path, str(path)), path, {})
    if not given.strip():
        raise UsageError(f"no data source was named: data are {_known()}")
    head, _, rest = given.partition(":")
    if head in SOURCES and SOURCES[head].recognises is None:
        if rest and not OPTIONS.fullmatch(rest):
            raise UsageError(f"{given}: the options of {head} are written {head}:name=value,name=value, not {rest!r}")
        return Place(SOURCES[head], None, _options(given, rest))
    text, options = _split(given)
    path, behind = _expanded(text), _expanded(_split(rest)[0])
    if not os.path.exists(path) and head in SOURCES:
        if not rest:
            raise UsageError(f"{given} names no path: write {head}:PATH")
        return Place(SOURCES[head], _existing(given, behind), _options(given, _split(rest)[1]))
    if not os.path.exists(path) and rest and os.path.exists(behind):
        raise unknown("kind of data", head, SOURCES)
    return Place(_recognised(path, given), path, _options(given, options))


def _split(text: str) -> tuple[str, str]:
    """A path and the options behind it."""
    if os.path.exists(text):
        return text, ""
    for colon in re.finditer(":", text):
        if OPTIONS.fullmatch(text, colon.end()):
            return text[: colon.start()], text[colon.end() :]
    return text, ""


def _options(given: str, text: str) -> dict[str, Any]:
    pairs = [pair.split("=") for pair in text.split(",")] if text else []
    options: dict[str, Any] = {}
    for name, value in pairs:
        if normal(name) in options:
            raise UsageError(f"{given}: gives {name} twice")
        options[normal(name)] = {"true": True, "false": False}.get(value.lower(), value)
    return options


def _expanded(text: str) -> Path:
    return Path(text) if os.path.exists(text) else Path(os.path.expanduser(os.path.expandvars(text)))


def _existing(given: str, path: Path) -> Path:
    if not os.path.exists(path):
        hint = "" if ":" not in given else ", and options are written PATH:name=value,name=value"
        raise UsageError(f"{path} does not exist: data are {_known()}{hint}")
    return path


def _recognised(path: Path, given: str) -> Kind:
    """The kind of data that lies at ``path``."""
    kinds = [SOURCES[name] for name in SOURCES]
    _existing(given, path)
    fits = [kind for kind in kinds if not kind.otherwise and _is(kind, path)]
    fits = fits or [kind for kind in kinds if kind.otherwise and _is(kind, path)]
    if len(fits) > 1:
        spelled = " or ".join(f"{kind.name}:{path}" for kind in fits)
        raise UsageError(f"{path} may be read as {' or '.join(kind.reads for kind in fits)}: write {spelled}")
    if not fits:
        raise UsageError(f"{path} is none of the kinds of data: they are {_known()}")
    return fits[0]


def _is(kind: Kind, path: Path) -> bool:
    try:
        return kind.recognises is not None and kind.recognises(path)
    except Exception as error:  # a file that may not be looked at, or a plug-in
        raise unreadable(path, kind.reads, error) from error


def _known() -> str:
    kinds = sorted((SOURCES[name] for name in SOURCES), key=lambda kind: not kind.reads)  # data that are made up last
    *first, last = [kind.reads or f"{kind.name!r}" for kind in kinds]
    return f"{', '.join(first)} or {last}" if first else last


def _checked(source: Source) -> Source:
    """``source``, when it keeps what `Source` promises: a kind may be a stranger's."""
    labels, task = source.labels, source.task
    if not (isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iu" and len(labels)):
        raise UsageError(f"{source.name}: its kind of data gives labels that are not an array of whole numbers")
    if len(source.classes) != task.classes or labels.min() < 0 or labels.max() >= task.classes:
        raise UsageError(
            f"{source.name}: its kind of data names {len(source.classes)} classes, gives labels from {labels.min()} to "
            f"{labels.max()} and a task of {task.classes} classes"
        )

    def read(places: NDArray[np.int64]) -> NDArray[Any]:
        try:
            images = source.read(places)
        except UsageError:
            raise
        except Exception as error:  # a file that is damaged, or a plug-in
            raise unreadable(source.name, "images", error) from error
        shape = (len(places), *task.shape) if task.kind == "images" else (len(places), task.length + 1)
        if not isinstance(images, np.ndarray) or images.shape != shape or images.dtype.kind not in "buif":
            is_ = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else type(images).__name__
            raise UsageError(f"{source.name}: its images must be numbers {list(shape)}, not {is_}")
        if task.kind == "tokens" and (images.dtype.kind not in "iu" or not in_range(images, task.classes)):
            raise UsageError(f"{source.name}: its tokens must be whole numbers from 0 to {task.classes - 1}")
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            raise UsageError(f"{source.name}: has images with values that are no numbers (nan or infinite)")
        return images

    held_out = {part: partial(_opened_part, source.name, make) for part, make in source.held_out.items()}
    return replace(source, labels=labels.astype(np.int64), read=read, held_out=held_out)


def in_range(tokens: NDArray[Any], entries: int) -> bool:
    return bool(tokens.min() >= 0 and tokens.max() < entries)


def _opened_part(name: str, make: Callable[[], Source]) -> Source:
    return _checked(replace(make(), name=name))
