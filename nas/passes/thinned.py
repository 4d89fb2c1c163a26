"""A forward pass of a network whose convolutions are thinned out, with layer norm for batch norm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.passes.intercept import CONVOLUTION, Intercept, Visits, normalising
from nas.passes.rectifiers import Rectifiers
from nas.passes.running import untouched


def visit_thinned(net: nn.Module, images: Tensor, visits: Visits, part: float, seed: int) -> None:
    """A pass in which each convolution multiplies its weight by a mask of ones and, in ``part`` of its entries at
    random, zeros; batch norm's place is taken by layer norm over the channels and pixels of each image, with batch
    norm's scales and shifts.

    Visitors:
        relus: as those of `nas.passes.batch.visit_batch`.
    """
    stream = torch.Generator().manual_seed(seed)

    def convolution(x: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        kept = torch.rand(weight.shape, generator=stream) >= part
        return F.conv2d(x, weight * kept.to(weight), *args, **kwargs)

    handlers = normalising(layer_normalisation) | {CONVOLUTION: convolution}
    with untouched(net) as run, torch.no_grad(), Rectifiers(visits["relus"], len(images), net.parameters()):
        run(images, Intercept(handlers))


def layer_normalisation(x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Tensor:
    return F.group_norm(x, 1, weight, bias, eps)
