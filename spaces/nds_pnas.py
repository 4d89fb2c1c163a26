"""PNAS (Liu et al. 2018, arXiv:1712.00559), as one of NDS (Radosavovic et al. 2019, arXiv:1905.13214)."""

from __future__ import annotations

from typing import Annotated

from nas.registry import Range
from nas.space import space
from spaces._genotype import GenotypeSpace

OPERATIONS = (
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "conv_7x1_1x7",
    "skip_connect",
    "avg_pool_3x3",
    "max_pool_3x3",
    "dil_conv_3x3",
)


@space("nds_pnas")
def nds_pnas(
    *,
    widths: Annotated[tuple[int, ...], Range(2)] = (16, 24, 32),
    depths: Annotated[tuple[int, ...], Range(3)] = (20, 16, 12, 8, 4),
) -> GenotypeSpace:
    """Cells of five nodes and eight operations; all nodes are the output. 6 · 10^14 cells, 15 sizes."""
    return GenotypeSpace(OPERATIONS, 5, "all", widths=widths, depths=depths)
