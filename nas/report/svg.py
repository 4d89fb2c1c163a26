"""Matplotlib figures as SVG for a page: in the colours of its theme, and with points that say what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from nas.report.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

LEVELS = (
    ("#12052e", "#874abb"), ("#4f07d2", "#9f40fc"), ("#7f349c", "#e56db2"),
    ("#9d4a72", "#f58490"), ("#b05e47", "#ffa56f"), ("#dc6a00", "#e8f859"),
)  # fmt: skip
"""Colours of marks from few to many, each on a light page and on a dark one: lighter and lighter, from blue over purple
to orange or yellow, as far apart as legible ones can be for readers with any kind of cones."""

SERIES = (("#1f5fa8", "#6cb0f5"), ("#b3261e", "#ff8a80"), ("#6b7280", "#9aa4b2"))
"""Colours of a series, of highlighted marks, and of pale ones."""

CYCLE = {
    "#1f77b4": ("#1a6aa3", "#6cb0f5"), "#ff7f0e": ("#b35309", "#ffa657"), "#2ca02c": ("#1f7a1f", "#6fcf6f"),
    "#d62728": ("#c22124", "#ff8a80"), "#9467bd": ("#7d4fab", "#c4a3e6"), "#8c564b": ("#8c564b", "#d0a396"),
    "#e377c2": ("#b93a92", "#f0a3da"), "#7f7f7f": ("#6b6b6b", "#a8a8a8"), "#bcbd22": ("#74750a", "#d7d84c"),
    "#17becf": ("#0b7a86", "#4fd6e3"),
}  # fmt: skip
"""Matplotlib's own colours, and their replacements, legible as text, on a light page and on a dark one."""

THEMED = {"#000000": "currentColor", "#ffffff": "var(--paper)"}
THEMED |= {light: f"var(--level-{number})" for number, (light, _) in enumerate(LEVELS)}
THEMED |= {light: f"var(--series-{number})" for number, (light, _) in enumerate(SERIES)}
THEMED |= {colour.light: f"var(--operation-{number})" for number, colour in enumerate(COLOURS.values())}
THEMED |= {colour: f"var(--cycle-{number})" for number, colour in enumerate(CYCLE)}

FAILED = "failed"
"""The label of those marks that are drawn as crosses, not as dots."""

LEGIBLE = 0.8
"""The share of its size to which a figure may shrink on a narrow page; below that, it scrolls."""

SVG, LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", LINK)


class Chart(NamedTuple):
    """A figure of a page.

    Attributes:
        caption: also what a screen reader reads out.
        points: for each mark of the figure's scatters, in the order of drawing: which of the page's texts it stands
            for (see `nas.report.page.page`), and a note on it.
        scale: how much larger than on paper it is where there is room.
    """

    figure: Figure
    caption: str = ""
    points: Sequence[tuple[int, str]] = ()
    scale: float = 1.18


def inline_svg(chart: Chart, prefix: str) -> str:
    """The figure as an ``svg`` element whose identifiers begin with ``prefix``.

    Marks that have points are not drawn one by one, but in one path for each colour: a tenth of the size, and quicker
    to open. Raises `ValueError` where there are not as many points as marks.
    """
    from matplotlib import rc_context

    figure = chart.figure
    scatters = list(_scatters(figure)) if chart.points else []
    total = sum(map(len, map(_places, scatters)))
    if total != len(chart.points):
        raise ValueError(f"{chart.caption or 'a figure'} has {total} marks, but {len(chart.points)} points")
    dpi, seen = figure.dpi, [scatter.get_visible() for scatter in scatters]
    written = StringIO()
    try:
        figure.set_dpi(72)  # the unit of the format
        for scatter in scatters:
            scatter.set_visible(False)
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
            tight = {} if scatters or figure.get_layout_engine() else {"bbox_inches": "tight"}
            figure.savefig(written, format="svg", transparent=True, metadata={"Date": None}, **tight)
        height = figure.get_figheight() * 72
        marks = [mark for scatter in scatters for mark in _marks(scatter, height)]
    finally:
        figure.set_dpi(dpi)
        for scatter, visible in zip(scatters, seen, strict=True):
            scatter.set_visible(visible)
    root = ElementTree.fromstring(written.getvalue())
    _clean(root, prefix)
    width = float(root.attrib.pop("width").removesuffix("pt")) * 4 / 3
    root.attrib.pop("height")
    root.set("role", "img")
    root.set("aria-label", chart.caption)
    root.set("width", f"{chart.scale * width:.0f}")
    root.set("style", f"min-width: {LEGIBLE * width:.0f}px")
    if marks:
        root.set("tabindex", "0")
        root.set("aria-label", f"{chart.caption}; the arrow keys go from point to point".removeprefix("; "))
        _add_marks(root, marks, chart.points)
    return ElementTree.tostring(root, encoding="unicode")


class Mark(NamedTuple):
    x: float
    y: float
    colour: str
    size: float
    label: str


def _places(scatter: PathCollection) -> NDArray[np.float64]:
    return np.ma.filled(np.ma.asarray(scatter.get_offsets(), dtype=np.float64), np.nan)


def _scatters(figure: Figure) -> Iterator[PathCollection]:
    from matplotlib.collections import PathCollection

    for axes in figure.axes:
        for artist in axes.collections:
            if isinstance(artist, PathCollection):
                yield artist


def _marks(scatter: PathCollection, height: float) -> Iterator[Mark]:
    from matplotlib.colors import to_hex

    places = scatter.get_offset_transform().transform(_places(scatter))
    sizes = scatter.get_sizes()
    filled: Any = scatter.get_facecolor()
    colours: Any = filled if len(filled) else scatter.get_edgecolor()
    for number, (x, y) in enumerate(places):
        colour = to_hex(colours[number % len(colours)])
        size = float(np.sqrt(sizes[number % len(sizes)]))
        yield Mark(x, height - y, colour, size, str(scatter.get_label()))


def _add_marks(root: ElementTree.Element, marks: Sequence[Mark], points: Sequence[tuple[int, str]]) -> None:
    """One path for each look; ``data-point`` numbers the points in the order of its marks."""
    looks: dict[tuple[str, float, str], list[int]] = {}
    for number, mark in enumerate(marks):
        if np.isfinite(mark.x + mark.y):
            looks.setdefault(mark[2:], []).append(number)
    for (colour, size, label), numbers in looks.items():
        cross = label == FAILED
        arm = size / 2
        shape = f"l{size:.1f} {size:.1f}m0-{size:.1f}l-{size:.1f} {size:.1f}" if cross else "h0"
        back = arm if cross else 0.0
        way = "".join(f"M{marks[n].x - back:.1f} {marks[n].y - back:.1f}{shape}" for n in numbers)
        style = f"stroke: {THEMED.get(colour, colour)}; stroke-width: {1 if cross else size:.1f}"
        ElementTree.SubElement(root, f"{{{SVG}}}path", {
            "class": "marks cross" if cross else "marks", "d": way, "style": style, "data-back": f"{back:.2f}",
            "data-point": ",".join(map(str, numbers)),
        })  # fmt: skip


def _clean(root: ElementTree.Element, prefix: str) -> None:
    """Removes elements that a page does not need, and makes colours and identifiers the page's own."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        attributes: dict[str, Any] = element.attrib
        for name, value in list(attributes.items()):
            if name == "id":
                attributes[name] = f"{prefix}{value}"
            elif name == f"{{{LINK}}}href" and value.startswith("#"):
                attributes[name] = f"#{prefix}{value[1:]}"
            elif name == "clip-path":
                attributes[name] = value.replace("url(#", f"url(#{prefix}")
            elif name == "style":
                attributes[name] = re.sub("#[0-9a-f]{6}", lambda colour: THEMED.get(colour[0], colour[0]), value)
