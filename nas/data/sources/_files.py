"""Which files of a folder are images of which class, and what is left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nas.errors import UsageError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
ARCHIVERS = ("__MACOSX",)
"""Folders that a program made which packed the images."""
SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What the folders of splits are called."""
MAX_SHOWN = 5
"""Names in a sentence."""


@dataclass
class Tree:
    """What lies below a folder, through links too, as paths relative to it in the order of their parts as texts.

    Attributes:
        others: files that are no images.
        hidden: folders and files that are hidden, or made by a program that packed the images.
        empty: folders directly in it without images.
    """

    path: Path
    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    @property
    def direct(self) -> int:
        """Images that lie in the folder itself."""
        return sum(os.sep not in image for image in self.images)

    @property
    def folders(self) -> list[str]:
        """The folders in it that hold images."""
        return list(dict.fromkeys(image.partition(os.sep)[0] for image in self.images if os.sep in image))

    def below(self, name: str) -> Tree:
        """What lies below one of the folders in it."""
        part = Tree(self.path / name)
        for own, all_ in ((part.images, self.images), (part.others, self.others), (part.hidden, self.hidden)):
            own += [path.removeprefix(name + os.sep) for path in all_ if path.startswith(name + os.sep)]
        part.empty += sorted({*_folders(part.path)} - {*part.folders} - {*part.hidden})
        return part


def tree(path: Path) -> Tree:
    """What lies below ``path``; `UsageError` where a folder cannot be listed."""
    tree = Tree(path)
    _walk(tree, "", {os.path.realpath(path)})
    tree.empty += sorted({*_folders(path)} - {*tree.folders} - {*tree.hidden})
    return tree


def _folders(path: Path) -> list[str]:
    return [name for name in os.listdir(path) if os.path.isdir(path / name)]


def _walk(tree: Tree, below: str, entered: set[str]) -> None:
    """Adds what lies in a folder. Within each folder of the root, none is entered twice, whatever links there are."""
    try:
        with os.scandir(tree.path / below) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"{tree.path / below}: cannot be listed: {error.strerror}") from None
    for entry in entries:
        name = os.path.join(below, entry.name)
        if entry.name.startswith(".") or entry.name in ARCHIVERS:
            tree.hidden.append(name)
        elif entry.is_dir():
            if (place := os.path.realpath(entry.path)) not in entered:
                entered = entered if below else {os.path.realpath(tree.path)}
                entered.add(place)
                _walk(tree, name, entered)
        else:
            (tree.images if os.path.splitext(name)[1].lower() in SUFFIXES else tree.others).append(name)


def classes_of(tree: Tree) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """The images of each class, in the order of the classes, and notes on what is left out.

    A class is a folder that holds images, at any depth. Their order is that of the names as texts, as torchvision's.
    """
    images: dict[str, list[str]] = {name: [] for name in tree.folders}
    for image in tree.images:
        if os.sep in image:
            images[image.partition(os.sep)[0]].append(image)
    deeper = sum(image.count(os.sep) > 1 for image in tree.images)
    suffixes = sorted(Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in tree.others).items())
    notes = {
        f"left out: {counted(len(tree.empty), 'folder')} without images ({shortened(tree.empty)})": tree.empty,
        f"left out: {counted(len(tree.hidden), 'hidden entry', 'hidden entries')} ({shortened(tree.hidden)})": (
            tree.hidden
        ),
        f"left out: {counted(len(tree.others), 'file')} that are no images "
        f"({shortened([f'{number} with {suffix}' for suffix, number in suffixes])})": tree.others,
        f"left out: {counted(tree.direct, 'image')} outside of the class folders": tree.direct,
        f"{counted(deeper, 'image')} in folders within a class folder, which count for the class": deeper,
        f"classes are in the order of their names as texts, as torchvision's: {shortened(list(images))}": (
            all(name.isdecimal() for name in images) and list(images) != sorted(images, key=int)
        ),
    }
    return images, tuple(note for note, applies in notes.items() if applies)


def part_of(tree: Tree, split: str) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """The folder that holds the class folders of ``split`` ('' for the folder itself), those of the other splits, and
    notes.

    A folder has splits where it holds a train folder with class folders in it, beside none but such folders.

    Raises:
        UsageError: it may be meant one way or the other.
    """
    if split == "none":
        return "", {}, ()
    called = {name: part for name in tree.folders for part, names in SPLITS.items() if name.lower() in names}
    flat = [name for name in called if any(image.count(os.sep) == 1 for image in _in(tree, name))]
    parts = {name: part for name, part in called.items() if name not in flat}
    strangers = [name for name in tree.folders if name not in called]
    if not called or (strangers and "train" not in parts.values()):
        return "", {}, ()
    sure = f"where {shortened(tree.folders)} are the classes, say so with split=none"
    if strangers:
        raise UsageError(
            f"{tree.path}: has folders of splits ({shortened(list(called))}) beside others ({shortened(strangers)}): "
            f"name the folder of one split; {sure}"
        )
    twice = [part for part, number in Counter(parts.values()).items() if number > 1]
    if twice:
        same = " and ".join(name for name, part in parts.items() if part == twice[0])
        raise UsageError(f"{tree.path}: has both {same}: name the folder of one split; {sure}")
    places = {part: name for name, part in parts.items()}
    if split not in places:
        problem = f"holds images without class folders in {shortened(flat)}" if flat else f"has no folder {split}"
        raise UsageError(f"{tree.path}: its folders are named as splits, but it {problem}; {sure}")
    others = {part: name for part, name in places.items() if part != split}
    notes = [f"of the folders {shortened(tree.folders)}, {places[split]} is read"]
    notes += [f"left out: {name}, which has no class folders" for name in flat]
    return places[split], others, tuple(notes)


def _in(tree: Tree, folder: str) -> Iterator[str]:
    return (image for image in tree.images if image.startswith(folder + os.sep))


def counted(number: int, one: str, several: str = "") -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def shortened(names: Sequence[str]) -> str:
    """The first names of many, as they can be printed."""
    texts = [printable(name) for name in names[:MAX_SHOWN]]
    return ", ".join(texts) + (f", … and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else "")


def printable(name: str) -> str:
    """A name of a file on one line, what is no text in it replaced."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
