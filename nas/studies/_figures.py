"""Parts of figures that several studies share. Matplotlib is imported when the first one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP*X<>"


def panels(columns: int, rows: int = 1, width: float = 4.4, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row; sizes are those of one panel, in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).ravel())


def style(number: int) -> dict[str, Any]:
    """Colour and marker of the ``number``-th series, so that either tells them apart."""
    return {"color": f"C{number % 10}", "marker": MARKERS[number % len(MARKERS)]}


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """The legend of one of the axes, under all of them."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False)
