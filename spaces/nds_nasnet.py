"""NASNet (Zoph et al. 2018, arXiv:1707.07012), as one of NDS (Radosavovic et al. 2019, arXiv:1905.13214)."""

from __future__ import annotations

from typing import Annotated

from nas.registry import Range
from nas.space import space
from spaces._genotype import GenotypeSpace

OPERATIONS = (
    "skip_connect",
    "conv_3x1_1x3",
    "conv_7x1_1x7",
    "dil_conv_3x3",
    "avg_pool_3x3",
    "max_pool_3x3",
    "max_pool_5x5",
    "max_pool_7x7",
    "conv_1x1",
    "conv_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
)


@space("nds_nasnet")
def nds_nasnet(
    *,
    widths: Annotated[tuple[int, ...], Range(2)] = (16, 24, 32),
    depths: Annotated[tuple[int, ...], Range(3)] = (20, 16, 12, 8, 4),
) -> GenotypeSpace:
    """Cells of five nodes and 13 operations; unused nodes are the output. 7 · 10^16 cells, 15 sizes."""
    return GenotypeSpace(OPERATIONS, 5, "loose", widths=widths, depths=depths)
