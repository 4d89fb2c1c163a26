"""One self-contained HTML page, of sections with text, figures and tables.

Everything that is written into it is escaped; a content security policy lets only its own script run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from itertools import count
from math import ceil, floor, isfinite, log10
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nas.report.palette import COLOURS
from nas.report.svg import CYCLE, LEGIBLE, LEVELS, SERIES, Chart, inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


WIDE = 5.0
"""Inches from which on a figure has the width of a sheet of paper to itself."""
LONG = 60
"""Rows beyond which a folded table is not printed."""
STACKED = 24
"""Characters of a cell from which on a phone shows the cells of a row one below the other."""


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
    """A part of a page: paragraphs (an empty line between two), figures, tables.

    Attributes:
        command: of a shell, below the text.
        row: the figures, which are of the same width, stand in one row where there is room, and else shrink alike.
    """

    title: str
    text: str = ""
    figures: Sequence[Figure | Chart] = ()
    tables: Sequence[pd.DataFrame | Sheet] = ()
    command: str = ""
    row: bool = False


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
            svg, wide = Markup(inline_svg(chart, f"{name}-")), chart.figure.get_figwidth() > WIDE
            figures.append({"name": name, "svg": svg, "caption": chart.caption, "wide": wide})
            if chart.points:
                points[name] = [list(column) for column in zip(*chart.points, strict=True)]
        sheets = [table if isinstance(table, Sheet) else Sheet(table) for table in section.tables]
        shown.append({
            "title": section.title, "paragraphs": [p for p in section.text.split("\n\n") if p.strip()],
            "command": _options_apart(section.command), "row": section.row, "least": _least(charts),
            "figures": figures, "tables": [_rendered(sheet) for sheet in sheets],
        })  # fmt: skip
    used = sorted({number for first, _ in points.values() for number in first})
    places = {number: place for place, number in enumerate(used)}
    points = {name: [[places[number] for number in first], notes] for name, (first, notes) in points.items()}
    script = Markup(_environment.get_template("page.js").render())
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    html: str = _environment.get_template("page.html").render(
        title=title, sections=shown, script=script, long=LONG, digest=digest,
        data={"texts": [texts[number] for number in used], "points": points},
        palettes={"level": LEVELS, "series": SERIES, "cycle": list(CYCLE.values()),
                  "operation": list(COLOURS.values())},
    )  # fmt: skip
    return html


_environment = Environment(
    loader=PackageLoader("nas.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def _least(charts: Sequence[Chart]) -> int:
    """The fewest pixels across in which each of the charts is legible."""
    return ceil(max((96 * LEGIBLE * chart.figure.get_figwidth() for chart in charts), default=0.0))


def _options_apart(command: str) -> list[str]:
    """The parts of a command between which a line may be broken: its name, and each option with its value."""
    first, *others = command.split(" --")
    return [first, *(f"--{other}" for other in others)] if command else []


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
    longest = max((len(cell.text) for row in rows for cell in row), default=0)
    look = "record" if len(heads) == 2 else "stacked" if longest > STACKED and not sheet.folded else ""
    return {
        "heads": heads, "rows": rows, "caption": sheet.caption, "folded": sheet.folded, "sortable": sortable,
        "look": look,
    }  # fmt: skip


def _cells(column: pd.Series[Any]) -> list[Cell]:
    """The column's cells; all its numbers with as many digits after the point, but those that would be zero then."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return [Cell("–" if value is None or value != value else str(value)) for value in column]
    numbers = [float(value) for value in column]
    digits = _digits([number for number in numbers if isfinite(number)])
    return [
        Cell(_in_digits(number, digits), number) if isfinite(number) else Cell("–" if number != number else str(number))
        for number in numbers
    ]


def _in_digits(number: float, digits: int | None) -> str:
    if digits is None:
        return f"{number:.4g}"
    text = f"{number:.{digits}f}"
    return f"{number:.2g}" if number and not float(text) else text


def _digits(numbers: Sequence[float]) -> int | None:
    """The digits after the point that give the largest three significant ones, or up to six where those from 10 on
    would look alike; None where that makes long numbers."""
    largest = max(map(abs, numbers), default=0.0)
    if all(number == int(number) for number in numbers):
        return 0 if largest < 1e12 else None
    if not 1e-3 <= largest < 1e6:
        return None
    if largest < 10:
        return 3 if largest < 1 else 2
    before = floor(log10(largest))
    large = {float(f"{number:.6g}") for number in numbers if abs(number) >= 10}
    digits = max(0, 2 - before)
    while digits < 5 - before and len({f"{number:.{digits}f}" for number in large}) < len(large):
        digits += 1
    return digits
