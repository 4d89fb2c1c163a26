"""GradSign (Zhang & Jia 2022, arXiv:2110.08616)."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.probe import Block, Probe
from nas.proxy import proxy


@proxy("gradsign", family="gradients", passes=1.1, labels=True, paper="Zhang & Jia 2022, arXiv:2110.08616")
def gradsign(probe: Probe) -> Tensor:
    """How far the samples agree on the sign of each weight's gradient; larger is better.

        Σ_k |Σ_i sign g_ik|

    g_ik is sample i's loss gradient at weight k of the convolutions and linear layers, with batch norm on each sample
    by itself (the published code feeds one image at a time in training mode). Unit: samples times weights.
    """
    return sum(probe.map_blocks(agreement))  # type: ignore[no-any-return]


def agreement(block: Block) -> Tensor:
    """The block's part of the sum, exact in float64."""
    return block.signs.sum(0, dtype=torch.float32).abs().sum(dtype=torch.float64)
