"""ResNet in the comparison of network design spaces (Radosavovic et al. 2019, arXiv:1905.13214)."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from nas.registry import Range
from nas.space import space
from spaces._stages import StageSpace

DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24)
WIDTHS = (16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256)


def basic(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Two 3 x 3 convolutions with batch norm, ReLU between them."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        nn.BatchNorm2d(outputs),
    )


@space("nds_resnet")
def nds_resnet(
    *,
    depths: Annotated[tuple[int, ...], Range(1)] = DEPTHS,
    widths: Annotated[tuple[int, ...], Range(1)] = WIDTHS,
    stem: Annotated[int, Range(1)] = 16,
) -> StageSpace:
    """Three stages of basic residual blocks with one of nine depths and twelve widths each: 1,259,712.

    Written as in NDS's records: ``{"ds": [2, 3, 2], "ws": [16, 32, 64]}``.
    """
    return StageSpace({"ds": depths, "ws": widths}, basic, stem)
