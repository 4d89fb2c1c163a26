"""DARTS (Liu et al. 2019, arXiv:1806.09055)."""

from __future__ import annotations

from typing import Annotated

from nas.registry import Range
from nas.space import space
from spaces._genotype import GenotypeSpace

OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""NAS-Bench-301 lists the seven without ``none``: its numbers are smaller by one."""


@space("darts")
def darts(*, width: Annotated[int, Range(2)] = 36, depth: Annotated[int, Range(3)] = 20) -> GenotypeSpace:
    """Cells of four nodes with two distinct predecessors each, written as a Genotype: about 10^18 networks.

    ``none`` is in the supernet only: a derived cell has none. The published networks have ``width`` 36 and ``depth``
    20, those of the search 16 and 8.
    """
    return GenotypeSpace(OPERATIONS, 4, "all", widths=(width,), depths=(depth,), distinct=True)
