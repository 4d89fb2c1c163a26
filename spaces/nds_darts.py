"""DARTS (Liu et al. 2019, arXiv:1806.09055), as one of NDS (Radosavovic et al. 2019, arXiv:1905.13214)."""

from __future__ import annotations

from typing import Annotated

from nas.registry import Range
from nas.space import space
from spaces._genotype import GenotypeSpace
from spaces.darts import OPERATIONS


@space("nds_darts")
def nds_darts(
    *,
    widths: Annotated[tuple[int, ...], Range(2)] = (16, 24, 32),
    depths: Annotated[tuple[int, ...], Range(3)] = (20, 16, 12, 8, 4),
) -> GenotypeSpace:
    """Cells of four nodes and eight operations (``none`` too); all nodes are the output. 2 · 10^11 cells, 15 sizes."""
    return GenotypeSpace(OPERATIONS, 4, "all", widths=widths, depths=depths)
