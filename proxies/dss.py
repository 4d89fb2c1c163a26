"""DSS-indicator of TF-TAS (Zhou et al. 2022, arXiv:2203.12217), for transformers."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.probe import Flow, Probe
from nas.proxy import ProxyFailure, proxy


@proxy("dss", family="pruning", passes=6.1, transformers=True, paper="Zhou et al. 2022, arXiv:2203.12217")
def dss(probe: Probe) -> Tensor:
    """Synaptic diversity of attention and synaptic saliency of MLPs; larger is better.

        Σ over attention weights of ‖∂R/∂W‖_* ‖W‖_* + Σ over MLP weights of Σ |∂R/∂W · W|

    R is the sum of the logits for one input of ones; parameters are replaced by their absolute values, in float64, and
    ‖·‖_* is the nuclear norm. Attention weights are the linear layers in a module that attends, MLP weights those in
    the block around it; patch embedding and head do not count. The published code counts the head among the MLPs, and
    does not reach attention weights that are called ``qkv``. Labels and images do not count. Fails without attention.
    """
    flows = [flow for flow in probe.flow() if flow.role != "other"]
    if not any(flow.role == "attention" for flow in flows):
        raise ProxyFailure("the network has no attention: this proxy is for transformers")
    return sum(map(contribution, flows))  # type: ignore[return-value]


def contribution(flow: Flow) -> Tensor:
    if flow.role == "attention":
        gradient, weight = (torch.linalg.svdvals(matrix) for matrix in (flow.gradient, flow.weight))
        product: Tensor = gradient.sum() * weight.sum()
        return product
    return (flow.gradient * flow.weight).abs().sum()
