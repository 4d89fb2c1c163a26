"""ZiCo (Li et al. 2023, arXiv:2301.11300)."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import ProxyFailure, proxy


@proxy("zico", family="gradients", passes=1.2, labels=True, paper="Li et al. 2023, arXiv:2301.11300")
def zico(probe: Probe) -> Tensor:
    """How large gradients are relative to their spread between minibatches, over layers; larger is better.

        Σ_layers log Σ_w E|g_w| / std(g_w)

    g_w is the gradient of a minibatch's mean loss, batch norm in training mode over it. The two minibatches are the two
    halves of the probe's images, without the last of an odd number. As in the published code, std (by the number, not
    one less) is of the signed gradient, and weights with std zero do not count.
    """
    terms = []
    for _, gradients in probe.half_gradients():
        first, second = gradients.double().flatten(1)
        spread = (first - second).abs()  # of two numbers, twice their standard deviation
        ratio = (first.abs() + second.abs()) / spread  # and above it twice the mean
        terms.append(ratio[spread > 0].sum().log())
    finite = [term for term in terms if term.isfinite()]
    if not finite:
        raise ProxyFailure("no weight has a gradient that differs between the two halves of the batch")
    return torch.stack(finite).sum()
