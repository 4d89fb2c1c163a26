"""The colours of operations: one for each, the same in every picture, told apart by colour-blind readers."""

from __future__ import annotations

import re
from typing import NamedTuple
from zlib import crc32


class Colour(NamedTuple):
    """A colour on a light page, and on a dark one."""

    light: str
    dark: str


COLOURS = {
    "convolution": Colour("#1b7bba", "#62b9ea"),
    "pointwise": Colour("#56b4e9", "#a9dcff"),
    "large": Colour("#332288", "#9d8cf0"),
    "separable": Colour("#117733", "#44c97a"),
    "average": Colour("#e69f00", "#ffc247"),
    "maximum": Colour("#d55e00", "#ff9650"),
    "attention": Colour("#9f3c91", "#db78c9"),
    "dense": Colour("#882255", "#b45e8e"),
    "identity": Colour("#7a7a7a", "#a0a0a0"),
}
"""By kind of operation: those of Okabe and Ito, and of Paul Tol where these do not suffice, moved a little so that any
two stay apart for readers without one kind of cones (at least 14 units of CIE 1976; one notices 2)."""

KINDS = (
    ("identity", r"skip|identity|^none|^id\b|next step"),
    ("average", r"avg|average|^activ|^tanh|^sigm|^relu|^gelu|norm\b"),
    ("maximum", r"max"),
    ("separable", r"sep|dw|^dsc|depthwise|dil|mb\d|^e\d|mobile|residual|bottleneck"),
    ("attention", r"att|head|sdp|^sa$|former|gate|blend|where"),
    ("dense", r"^lt$|linear|mlp|ffn|dense|fourier|cosine|wavelet"),
    ("pointwise", r"1x1|elementwise|^sum|^prod"),
    ("large", r"[57]x[57]|[57]x1|1x[57]"),
    ("convolution", r"conv|cell|block|patch|embed|stage|module"),
)
"""The kind of an operation is the first whose pattern its name has."""
OTHER = Colour("#000000", "#ffffff")


def colour(operation: str) -> Colour:
    """That of an operation by its name, up to the first comma or semicolon: by what kind of operation it is, else one
    that follows from the name."""
    name = re.split("[,;:]", operation.lower())[0].strip()
    if not name or " + " in operation or "/" in operation:  # several at once
        return OTHER
    kind = next((kind for kind, pattern in KINDS if re.search(pattern, name)), None)
    return COLOURS[kind] if kind else list(COLOURS.values())[crc32(name.encode()) % len(COLOURS)]
