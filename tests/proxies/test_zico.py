"""ZiCo against loops over single weights."""

import math

import pytest
import torch
from cases import make
from references import EVERY, weights_and_gradients
from torch import nn

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.zico import zico


def zico_by_definition(net, images, labels):
    first = weights_and_gradients(net, images[:4], labels[:4])
    second = weights_and_gradients(net, images[4:8], labels[4:8])
    expected = 0.0
    for (_, g), (_, h) in zip(first, second, strict=True):
        ratios = []
        for a, b in zip(g.tolist(), h.tolist(), strict=True):
            if a != b:
                mean = (a + b) / 2
                spread = math.sqrt(((a - mean) ** 2 + (b - mean) ** 2) / 2)
                ratios.append((abs(a) + abs(b)) / 2 / spread)
        if ratios:
            expected += math.log(sum(ratios))
    return expected


@pytest.mark.parametrize("name", EVERY)
def test_zico(name):
    assert float(zico(Probe(*make(name)))) == pytest.approx(zico_by_definition(*make(name)), rel=1e-6)


def test_zico_leaves_out_weights_without_a_gradient():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).double()
    with torch.no_grad():
        net[0].bias[0] = -100.0  # a channel that no image reaches, in a layer in which others count
    _, images, labels = make("plain")
    assert float(zico(Probe(net, images, labels))) == pytest.approx(zico_by_definition(net, images, labels), rel=1e-6)


def test_zico_fails_on_equal_halves():
    net, images, labels = make("plain", samples=4)
    with pytest.raises(ProxyFailure, match="no weight has a gradient that differs"):
        zico(Probe(net, images[:2].repeat(2, 1, 1, 1), labels[:2].repeat(2)))
