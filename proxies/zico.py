"""ZiCo (Li et al. 2023, arXiv:2301.11300)."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.probe import Probe
from nas.proxy import ProxyFailure, proxy


@proxy("zico", labels=True, paper="Li et al. 2023, arXiv:2301.11300")
def zico(probe: Probe) -> Tensor:
    """How large gradients are against their spread between minibatches, over layers; larger is better.

        Σ_layers log Σ_w E|g_w| / std(g_w)

    g_w is the gradient of a minibatch's mean loss, batch norm in training mode over it. The two minibatches are the two
    halves of the probe's images, without the last of an odd number. As in the published code, std (by the number, not
    one less) is of the signed gradient, and weights with std zero do not count.
    """
    terms = []
    for _, gradients in probe.half_gradients():
        gradients = gradients.double().flatten(1)  # [2, weights]
        spread = gradients.std(0, correction=0)
        ratio = (gradients.abs().mean(0) / spread)[spread > 0].sum()
        terms.append(ratio.log())
    kept = [term for term in terms if term.isfinite()]
    if not kept:
        raise ProxyFailure("no weight has a gradient that differs between the two halves of the batch")
    return torch.stack(kept).sum()
