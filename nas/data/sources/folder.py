"""A folder with a folder of images for each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from nas.data.sources import MAX_COUNT, Source, looked_at, source
from nas.data.sources._files import Tree, classes_of, counted, part_of, shortened, tree
from nas.errors import UsageError
from nas.registry import Range
from nas.space import Task

if TYPE_CHECKING:
    from nas.data.sources._pictures import Form


@source("folder", reads="a folder of class folders", recognises=Path.is_dir, otherwise=True)
def folder(
    path: Path,
    *,
    size: Annotated[int, Range(1, MAX_COUNT)] = 32,
    split: Literal["train", "validation", "test", "none"] = "train",
    colour: Literal["auto", "grey", "rgb"] = "auto",
) -> Source:
    """Images of a folder that holds a folder for each class.

    They are scaled and cut to the square in the middle.

    Args:
        size: pixels a side.
        split: which folder is read of one with the folders ``train``, ``val`` and ``test``; ``none``: these are
            classes.
        colour: ``auto``: one channel where all images are grey, else red, green and blue.
    """
    from nas.data.sources._pictures import form_of

    everything = tree(path)
    part, others, notes = part_of(everything, split)
    images, left_out = classes_of(everything.below(part) if part else everything)
    if len(images) < 2:
        raise UsageError(_too_few(everything.below(part) if part else everything))
    files = [image for each in images.values() for image in each]
    form, met = form_of([path / part / files[place] for place in looked_at(np.arange(len(files)))], size, colour)
    held_out: dict[str, Callable[[], Source]] = {}
    for split_, name in others.items():
        its, _ = classes_of(everything.below(name))
        held_out[split_] = partial(_source, path / name, its, form)
        notes += tuple(_differences(part, images, name, its))
    return _source(path / part, images, form, notes + left_out + met, held_out)


def _source(
    path: Path,
    images: Mapping[str, list[str]],
    form: Form,
    notes: tuple[str, ...] = (),
    held_out: Mapping[str, Callable[[], Source]] | None = None,
) -> Source:
    from nas.data.sources._pictures import picture

    files = [image for each in images.values() for image in each]
    return Source(
        labels=np.repeat(np.arange(len(images)), [len(each) for each in images.values()]),
        classes=tuple(images),
        task=Task(len(images), 1 if form.grey else 3, form.size),
        read=lambda places: np.stack([picture(path / files[place], form) for place in places]),
        lazy=True,
        notes=notes,
        held_out=held_out or {},
    )


def _differences(part: str, images: Mapping[str, Any], other: str, its: Mapping[str, Any]) -> list[str]:
    """Notes on the classes that only one of two splits has."""
    return [
        f"{counted(len(missing), 'class', 'classes')} of {having} not in {lacking}: {shortened(missing)}"
        for having, lacking, missing in (
            (part, other, [name for name in images if name not in its]),
            (other, part, [name for name in its if name not in images]),
        )
        if missing
    ]


def _too_few(tree: Tree) -> str:
    only = tree.folders
    hint = "a folder of images for each class"
    if tree.direct:
        hint += f"; {counted(tree.direct, 'image')} lie outside of any"
    if only and len(tree.below(only[0]).folders) > 1:
        hint += f"; did you mean {tree.path / only[0]}?"
    return f"{tree.path}: holds images of {len(only)} class, at least 2 are needed: {hint}"
