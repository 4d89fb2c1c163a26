"""Pruning at initialisation as a score of networks (Abdelfattah et al. 2021, arXiv:2101.08134).

L is the mean cross-entropy of the batch, w a weight tensor of the convolutions and linear layers; biases and norm
layers do not count. Batch norm is in training mode over the batch, the initialisation PyTorch's default. Each measure
except the norms comes from a way to prune a network, whose saliencies are summed here.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from nas.probe import Layer, Probe
from nas.proxy import ProxyFailure, proxy

PAPER = "Abdelfattah et al. 2021, arXiv:2101.08134"


@proxy("grad_norm", family="pruning", passes=1, labels=True, paper=PAPER)
def grad_norm(probe: Probe) -> Tensor:
    """Norm of the loss gradient, summed over layers; larger is better.

    Σ_layers ‖∂L/∂w‖₂
    """
    return total(gradient.double().norm() for _, gradient in probe.loss_gradients())


@proxy("snip", family="pruning", passes=1.1, labels=True, paper=f"{PAPER}; Lee et al. 2019, arXiv:1810.02340")
def snip(probe: Probe) -> Tensor:
    """How much removing single weights would change the loss, by size; larger is better.

    Σ |w · ∂L/∂w|
    """
    return total((w * g).double().abs().sum() for w, g in probe.loss_gradients())


@proxy("plain", family="pruning", passes=1, labels=True, paper=PAPER)
def plain(probe: Probe) -> Tensor:
    """How much removing single weights would change the loss, with its sign; larger is better.

        Σ w · ∂L/∂w

    Where batch norm follows a convolution, the loss does not depend on the scale of its weight, and its term is zero
    except for the norm's ε: what remains is the term of the layers without one, mainly the classifier.
    """
    return total((w.double() * g.double()).sum() for w, g in probe.loss_gradients())


@proxy("l2_norm", family="pruning", passes=0.072, paper=PAPER)
def l2_norm(probe: Probe) -> Tensor:
    """Norm of the weights, summed over layers; larger is better.

    Σ_layers ‖w‖₂
    """
    return total(weight.double().norm() for weight in probe.weights)


@proxy("grasp", family="pruning", passes=3.8, labels=True, paper=f"{PAPER}; Wang et al. 2020, arXiv:2002.07376")
def grasp(probe: Probe) -> Tensor:
    """How much removing single weights would change the gradient's norm; larger is better.

        Σ −w · H ∂L/∂w,   H the Hessian of L for all weights together

    The authors chose the sign by the accuracies. The temperature of the softmax is 1.
    """
    return -total((w.double() * h.double()).sum() for w, h in probe.hessian_gradients())


@proxy("fisher", family="pruning", passes=1.5, labels=True, paper=f"{PAPER}; Theis et al. 2018, arXiv:1801.05787")
def fisher(probe: Probe) -> Tensor:
    """How much removing single channels would change the loss, to second order; larger is better.

        Σ over weights of ½ mean_n (Σ_hw a · ∂L/∂a)²,   a the output of the weight's own channel

    Every weight of a filter counts the value of its channel, as in the published code.
    """

    def saliency(layer: Layer) -> Tensor:
        product = layer.output * layer.gradient
        product = product.movedim(-1, 1) if layer.weight.ndim == 2 else product  # [samples, channels, …]
        by_channel = product.reshape(*product.shape[:2], -1).sum(2).double().square().mean(0) / 2
        return by_channel.sum() * layer.weight[0].numel()

    return total(probe.map_layers(saliency))


@proxy("synflow", family="pruning", passes=0.43, paper=f"{PAPER}; Tanaka et al. 2020, arXiv:2006.05467")
def synflow(probe: Probe) -> Tensor:
    """Logarithm of the synaptic flow; larger is better.

        log Σ |w · ∂R/∂w|,   R = Σ of all logits

    Every parameter is replaced by its absolute value, batch norm bypassed, the input one image of ones, all in float64;
    labels and images do not count. The sum itself can reach 1e67.
    """
    flow = total((flow.weight * flow.gradient).abs().sum() for flow in probe.flow())
    if not flow > 0:
        raise ProxyFailure("nothing flows from the input to the output")
    return flow.log()


def total(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum().detach()
