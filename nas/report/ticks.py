"""The ticks of an axis: a few, at round numbers, each written so that it can be read where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import Formatter, MaxNLocator
from numpy.typing import NDArray

MOST = 6
"""The most spaces between the ticks of an axis."""


def plain_ticks(*axes: Axis) -> None:
    for axis in axes:
        axis.set_major_locator(MaxNLocator(MOST, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(Short())


def whole_ticks(axis: Axis, numbers: NDArray[Any] | None = None) -> None:
    """Ticks at whole numbers alone, for what is counted; unless one of the ``numbers`` there is none."""
    if numbers is None or np.all(numbers == np.round(numbers)):
        axis.set_major_locator(MaxNLocator(MOST, integer=True))


class Short(Formatter):
    """What is written at the ticks of an axis: whole numbers, with k, M or G for thousands and their powers, never a
    factor or a summand that stands elsewhere; with as many digits as tell any two apart."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return self.format_ticks([x])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        largest = max(map(abs, values), default=0.0)
        shown = [0.0 if abs(value) < 1e-9 * largest else value for value in values]
        texts: list[str] = []
        for digits in range(4, 16):
            texts = [short(value, largest, digits) for value in shown]
            if len(set(texts)) == len(set(shown)):
                break
        return [text.replace("-", "\N{MINUS SIGN}") for text in texts]


def short(number: float, largest: float, digits: int = 3) -> str:
    """``number`` in the unit of the ``largest`` one beside it."""
    units = ((1e9, " G"), (1e6, " M"), (1e3, " k"))
    unit, sign = next((one for one in units if one[0] <= largest < 1e12 and largest >= 1e4), (1.0, ""))
    return f"{number / unit:.{digits}g}{sign if number else ''}"
