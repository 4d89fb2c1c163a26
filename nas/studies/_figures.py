"""What the figures of several studies share. Matplotlib is imported when the first one is drawn."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
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


def heat_map(axes: Axes, frame: pd.DataFrame) -> None:
    """Correlations as colours, each with its number."""
    rows, columns, values = list(map(str, frame.index)), list(map(str, frame.columns)), frame.to_numpy(float)
    axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            colour = "white" if abs(value) > 0.6 else "black"
            axes.text(
                column,
                row,
                f"{value:.2f}" if isfinite(value) else "–",
                ha="center",
                va="center",
                fontsize=8,
                color=colour,
            )
