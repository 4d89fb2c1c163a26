"""Image files as numbers: any mode, upright, scaled and cut to a square."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from nas.data.bounded import Bomb
from nas.errors import UsageError, unreadable
from nas.files import open_file

FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM")
"""Whatever a file is called, it is read as one of these: Pillow hands others, PostScript among them, to programs."""
FREE_PIXELS, PIXELS_PER_BYTE = 16_000_000, 100
"""Pixels that any image may have, and for each byte of its file."""
GREY_MODES = {"1", "L", "LA", "La"}
DEEP_MODES = {"I;16", "I;16L", "I;16B", "I;16N"}
WIDE_MODES = {"I", "F"}
"""Whole numbers of 32 bits and floating-point numbers, which have no largest value."""
DEEP_SCALE = 257
"""65535 / 255: sixteen bits in the units of eight."""
ORIENTATION = 0x0112
"""The tag of EXIF that says how to turn an image; the numbers are EXIF's."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Form:
    """What all images of a source are turned into.

    Attributes:
        grey: one channel, else red, green and blue.
        only_grey: an image with colours does not fit.
        numbers: images hold numbers of any size, else they are of eight or sixteen bits, read in units of eight.
        size: pixels a side.
    """

    grey: bool
    only_grey: bool
    numbers: bool
    size: int


def form_of(files: Sequence[Path], size: int, colour: str) -> tuple[Form, tuple[str, ...]]:
    """The form of some files, from their headers, and notes on what was met among them.

    Raises:
        UsageError: some hold numbers of any size and others do not, so that their scales cannot be compared.
    """
    met: Counter[str] = Counter()
    sides = []
    for file in files:
        with _opened(file) as image:
            mode = _mode(image)
            met["numbers"] += mode in WIDE_MODES
            met["deep"] += mode in DEEP_MODES
            met["grey"] += _is_grey(image, mode)
            met["alpha"] += mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info
            met["turned"] += _turn(image) is not None
            met["animated"] += bool(getattr(image, "is_animated", False))
            sides.append(image.size)
    if 0 < met["numbers"] < len(files):
        raise UsageError(
            f"{files[0].parent.parent}: {met['numbers']} of {len(files)} images hold floating-point or 32-bit numbers "
            "and the others do not: their scales cannot be compared"
        )
    only_grey = colour == "auto" and met["grey"] == len(files)
    form = Form(only_grey or colour == "grey", only_grey, met["numbers"] > 0, size)
    among = f"of the {len(files)} images that were looked at,"
    notes = {
        f"images of {_sizes(sides)} pixels are scaled and cut to {size} x {size}": set(sides) != {(size, size)},
        f"all {len(files)} images are grey: one channel (colour=rgb makes three, as torchvision does)": only_grey,
        f"{among} {met['grey']} are grey: they become three equal channels": not form.grey and met["grey"],
        f"{among} {len(files) - met['grey']} have colours: they become grey": form.grey and met["grey"] < len(files),
        f"{among} {met['deep']} have 16 bits: 65535 is as bright as 255 of 8 bits": met["deep"],
        f"{among} {met['alpha']} have an alpha channel, which is left out as torchvision does": met["alpha"],
        f"{among} {met['turned']} are turned upright, as their EXIF data say": met["turned"],
        f"{among} {met['animated']} have several frames, of which the first is read": met["animated"],
    }
    return form, tuple(note for note, applies in notes.items() if applies)


def _sizes(sides: Sequence[tuple[int, int]]) -> str:
    low, high = min(sides, key=lambda side: side[0] * side[1]), max(sides, key=lambda side: side[0] * side[1])
    return f"{low[0]} x {low[1]}" + (f" to {high[0]} x {high[1]}" if low != high else "")


def picture(file: Path, form: Form) -> NDArray[np.float32]:
    """The image in a file as [channels, size, size]; `UsageError` for one that does not fit the form."""
    with _opened(file) as image:
        mode = _mode(image)
        if (mode in WIDE_MODES) != form.numbers:
            raise UsageError(
                f"{file}: {'holds' if mode in WIDE_MODES else 'does not hold'} floating-point or 32-bit numbers, "
                "unlike the images that were looked at first: their scales cannot be compared"
            )
        if form.only_grey and not _is_grey(image, mode):
            raise UsageError(
                f"{file}: has colours, unlike the images that were looked at first: say colour=rgb or colour=grey"
            )
        turn = _turn(image)
        upright = image if turn is None else image.transpose(turn)
        square = ImageOps.fit(_plain(upright, mode, form.grey), (form.size, form.size))
        pixels = np.asarray(square, dtype=np.float32)
    if mode in DEEP_MODES:
        pixels = pixels.clip(0, 255)  # bicubic scaling goes beyond the values that it is given
    stack = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    return stack if form.grey or len(stack) == 3 else np.repeat(stack, 3, axis=0)


def unpacked(image: Image.Image) -> NDArray[Any]:
    """The pixels of an image [height, width] without colours, else [height, width, 3]; bytes where they are enough."""
    mode = _mode(image)
    return np.asarray(_plain(image, mode, _is_grey(image, mode)))


def _plain(image: Image.Image, mode: str, grey: bool) -> Image.Image:
    """``image`` with the mode L, RGB, or F for what has more than eight bits."""
    if mode in DEEP_MODES:
        return Image.fromarray(np.asarray(image).astype(np.float32) / DEEP_SCALE)
    if mode in WIDE_MODES:
        return image.convert("F")
    if mode in ("P", "PA"):
        image = image.convert("RGBA")  # RGB at once would warn of the transparency
    return image.convert("L" if grey else "RGB")


def _mode(image: Image.Image) -> str:
    """Pillow's mode; before version 11, it calls sixteen bits of PNG thirty-two."""
    return "I;16" if image.mode == "I" and image.format == "PNG" else image.mode


def _is_grey(image: Image.Image, mode: str) -> bool:
    """Whether the mode has no colours, or the palette has none."""
    if mode not in ("P", "PA"):
        return mode in GREY_MODES | DEEP_MODES | WIDE_MODES
    palette = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def _turn(image: Image.Image) -> Image.Transpose | None:
    value = image.getexif().get(ORIENTATION)
    return UPRIGHT.get(value) if isinstance(value, int) else None


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    if not file.is_file():  # opening a pipe would wait for ever
        raise UsageError(f"{file}: is not a file")
    try:
        with warnings.catch_warnings(), open_file(file) as content:
            warnings.simplefilter("ignore")  # of damaged EXIF data and the like, which are not the image
            with Image.open(content, formats=FORMATS) as image:
                size = os.fstat(content.fileno()).st_size
                most = max(FREE_PIXELS, PIXELS_PER_BYTE * size)
                if image.width * image.height > most:
                    raise Bomb(size, "pixels", most)
                yield image
    except UsageError:
        raise
    except Exception as error:  # a damaged file makes the decoders raise all sorts
        raise unreadable(file, "an image", error) from None
