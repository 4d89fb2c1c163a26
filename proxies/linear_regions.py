"""The number of linear regions (Xiong et al. 2020; as TE-NAS counts it, Chen et al. 2021, arXiv:2102.11535)."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import Saturated, proxy


@proxy(
    "linear_regions",
    family="activations",
    passes=0.16,
    needs=("ReLUs", "images"),
    network="thin",
    initialisations=3,
    paper="Xiong et al. 2020, arXiv:2006.01578; Chen et al. 2021, arXiv:2102.11535",
)
def linear_regions(probe: Probe) -> Tensor:
    """How many distinct ReLU patterns the inputs produce, mean of three initialisations; larger is better.

    Each pattern is the region of the input space on which the network is one linear map. Counted after TE-NAS: on a
    thin copy of the network (width 1, one cell per stage, no stem), over 3,000 inputs, each a random crop of 3 x 3
    pixels in one channel; batch norm is in training mode over all of them. Ours differs from its code in three ways:
    the crops come from the images of the minibatch, they pass in one batch instead of three, and that code's runs on
    NAS-Bench-201 also set a depth of 1.

    With ordinary images and widths every input is in a region of its own; the count is then the number of inputs and
    means nothing, which is reported as saturation.
    """
    patterns = probe.map_relus(lambda pattern: pattern)
    regions = len(torch.unique(torch.cat(patterns, dim=1), dim=0))  # [inputs, units]
    if regions == probe.samples:
        raise Saturated(f"every one of the {regions} inputs lies in a region of its own")
    return torch.tensor(float(regions))
