"""VKDNW against loops over images and classes."""

import math

import numpy as np
import pytest
import torch
from cases import make
from references import EVERY
from torch import nn

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.vkdnw import vkdnw


@pytest.mark.parametrize("batch_norm", ["running", "sample"])
@pytest.mark.parametrize("name", [*EVERY, "cross attention"])
def test_vkdnw(name, batch_norm):
    net, images, _ = make(name, seed=1)
    layers = nn.Conv2d | nn.Linear | nn.MultiheadAttention
    own = [p for m in net.modules() if isinstance(m, layers) for p in m.named_parameters(recurse=False)]
    weights = [weight for key, weight in own if key.endswith("weight")]
    for module in net.modules():  # in training mode a batch of one image is normalised by itself
        module.train(batch_norm == "sample" and isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d))
    fisher = np.zeros((len(weights), len(weights)))
    for image in images[:3]:
        logits = net(image[None])[0]
        p = 0.95 * np.exp(logits.detach().numpy()) / np.exp(logits.detach().numpy()).sum() + 0.05 / 3
        jacobian = np.zeros((3, len(weights)))
        for label in range(3):
            gradients = torch.autograd.grad(logits[label], weights, retain_graph=True, allow_unused=True)
            for k, gradient in enumerate(gradients):
                jacobian[label, k] = 0.0 if gradient is None else gradient.flatten()[0]
        for a in range(3):
            for b in range(3):
                fisher += (p[a] * (a == b) - p[a] * p[b]) * np.outer(jacobian[a], jacobian[b]) / 3
    deciles = np.quantile(np.linalg.eigvalsh(fisher).clip(0), [k / 10 for k in range(1, 10)])
    entropy = -sum(q * math.log(q) for q in deciles / deciles.sum() if q > 0)
    probe = Probe(*make(name, seed=1))
    assert float(vkdnw(probe, images=3, count=False, batch_norm=batch_norm)) == pytest.approx(entropy, rel=1e-6)
    assert float(vkdnw(probe, images=3, batch_norm=batch_norm)) == pytest.approx(
        len(weights) + entropy / math.log(9), rel=1e-6
    )


def test_vkdnw_fails_where_rows_are_not_the_samples():
    with pytest.raises(ValueError, match="a layer gives 16 rows for 4 images"):
        vkdnw(Probe(*make("windows")), images=4)


def test_vkdnw_fails_where_the_network_cannot_choose():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, 1))
    with pytest.raises(ProxyFailure, match="nine tenths of the Fisher matrix's eigenvalues are zero"):
        vkdnw(Probe(net, torch.randn(4, 3, 8, 8), torch.zeros(4)))
