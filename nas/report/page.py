"""One self-contained HTML page, of sections with text, figures and tables.

Everything that is written into it is escaped; a content security policy lets only its own script run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from itertools import count
from math import floor, isfinite, log10
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nas.report.palette import COLOURS
from nas.report.svg import CYCLE, LEVELS, SERIES, Chart, inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Sheet(NamedTuple):
    """A table of a page; the first column names the rows.

    Attributes:
        folded: it is shown only on request.
        sortable: its headings sort it.
        about: explanations of columns, by their names.
    """

    frame: pd.DataFrame
    caption: str = ""
    folded: bool = False
    sortable: bool = True
    about: Mapping[str, str] = {}


class Section(NamedTuple):
    """A part of a page: paragraphs (an empty line between two), figures, tables."""

    title: str
    text: str = ""
    figures: Sequence[Figure | Chart] = ()
    tables: Sequence[pd.DataFrame | Sheet] = ()


class Cell(NamedTuple):
    """The text of a cell, and the number that it is sorted by."""

    text: str
    number: float | None = None


def page(title: str, sections: Sequence[Section], texts: Sequence[str] = ()) -> str:
    """The page as HTML. ``texts`` are what the points of charts stand for, usually architectures: each that has points
    is in the page once."""
    points: dict[str, list[Any]] = {}
    shown, numbers = [], count()
    for section in sections:
        charts = [figure if isinstance(figure, Chart) else Chart(figure) for figure in section.figures]
        figures = []
        for chart in charts:
            name = f"f{next(numbers)}"
            figures.append({"name": name, "svg": Markup(inline_svg(chart, f"{name}-")), "caption": chart.caption})
            if chart.points:
                points[name] = [list(column) for column in zip(*chart.points, strict=True)]
        sheets = [table if isinstance(table, Sheet) else Sheet(table) for table in section.tables]
        shown.append({
            "title": section.title, "paragraphs": [p for p in section.text.split("\n\n") if p.strip()],
            "figures": figures, "tables": [_rendered(sheet) for sheet in sheets],
        })  # fmt: skip
    used = sorted({number for first, _ in points.values() for number in first})
    places = {number: place for place, number in enumerate(used)}
    points = {name: [[places[number] for number in first], notes] for name, (first, notes) in points.items()}
    script = Markup(_environment.get_template("page.js").render())
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    html: str = _environment.get_template("page.html").render(
        title=title, sections=shown, script=script, digest=digest,
        data={"texts": [texts[number] for number in used], "points": points},
        palettes={"level": LEVELS, "series": SERIES, "cycle": list(CYCLE.values()),
                  "operation": list(COLOURS.values())},
    )  # fmt: skip
    return html


_environment = Environment(
    loader=PackageLoader("nas.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def _rendered(sheet: Sheet) -> dict[str, Any]:
    columns = [_cells(sheet.frame.iloc[:, place]) for place in range(sheet.frame.shape[1])]
    heads = [
        {
            "name": str(name),
            "about": sheet.about.get(str(name), ""),
            "numeric": any(c.number is not None for c in cells),
        }
        for name, cells in zip(sheet.frame.columns, columns, strict=True)
    ]
    rows = list(zip(*columns, strict=True))
    sortable = sheet.sortable and len(rows) > 1
    return {"heads": heads, "rows": rows, "caption": sheet.caption, "folded": sheet.folded, "sortable": sortable}


def _cells(column: pd.Series[Any]) -> list[Cell]:
    """The column's cells; all its numbers with as many digits after the point."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return [Cell("–" if value is None or value != value else str(value)) for value in column]
    numbers = [float(value) for value in column]
    digits = _digits([abs(number) for number in numbers if isfinite(number)])
    return [
        Cell(f"{number:.{digits}f}" if digits is not None else f"{number:.4g}", number)
        if isfinite(number)
        else Cell("–" if number != number else str(number))
        for number in numbers
    ]


def _digits(sizes: Sequence[float]) -> int | None:
    """The digits after the point that give the largest three significant ones; None where that makes long numbers."""
    largest = max(sizes, default=0.0)
    if all(size == int(size) for size in sizes):
        return 0 if largest < 1e12 else None
    if not 1e-3 <= largest < 1e6:
        return None
    return max(0, min(3, 2 - floor(log10(largest)))) if largest >= 1 else 3
