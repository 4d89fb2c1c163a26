"""ResNeXt in the comparison of network design spaces (Radosavovic et al. 2019, arXiv:1905.13214)."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import nn

from nas.registry import Range
from nas.space import space
from spaces._stages import StageSpace

DEPTHS = (1, 2, 4, 8, 16)
RATIOS = (1.0, 0.5, 0.25)
"""The bottleneck's width, relative to the block's."""
WIDTHS = {"a": (16, 32, 64, 128, 256), "b": (64, 128, 256, 512, 1024)}
GROUPS = {"a": (1, 2, 4), "b": (1, 2, 4, 8, 16)}


def bottleneck(inputs: int, outputs: int, stride: int, ratio: float, groups: int) -> nn.Module:
    """1 x 1 to ``ratio`` times the width, 3 x 3 in ``groups`` groups, 1 x 1 back; each with batch norm."""
    inner = round(outputs * ratio)
    return nn.Sequential(
        nn.Conv2d(inputs, inner, 1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
    )


@space("nds_resnext")
def nds_resnext(
    *,
    variant: Literal["a", "b"] = "a",
    depths: Annotated[tuple[int, ...], Range(1)] = DEPTHS,
    stem: Annotated[int, Range(1)] = 16,
) -> StageSpace:
    """Three stages of bottlenecks with a depth, width, bottleneck ratio and groups each: 11,390,625 in ResNeXt-A.

    ResNeXt-B (``variant`` b; 52,734,375) is wider and has more groups. Written as in NDS's records: ``{"ds": [1, 2, 4],
    "ws": [16, 32, 64], "bot_muls": [0.5, 0.5, 0.25], "num_gs": [1, 2, 4]}``.
    """
    settings = {"ds": depths, "ws": WIDTHS[variant], "bot_muls": RATIOS, "num_gs": GROUPS[variant]}
    return StageSpace(settings, bottleneck, stem)
