"""SWAP against the set of patterns."""

import math

import pytest
import torch
from cases import make, training
from references import EVERY, thinned_relu_inputs
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.swap import swap, swap_ncd


class Patterns(TorchDispatchMode):
    """The signs that every ReLU is given, seen where torch computes it: a list of [samples][units]."""

    RELUS = (torch.ops.aten.relu, torch.ops.aten.relu_)

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in self.RELUS:
            self.found.append([[value > 0 for value in row] for row in args[0].flatten(1).tolist()])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("images", [3, 16])
@pytest.mark.parametrize("name", EVERY)
def test_swap(name, images):
    net, batch, _ = make(name)
    with Patterns() as patterns, torch.no_grad():
        training(net)(batch[:images])
    columns = {column for layer in patterns.found for column in zip(*layer, strict=True)}
    assert swap(Probe(*make(name)), images=images) == len(columns)


@pytest.mark.parametrize("images", [16, 17, 48])
def test_swap_of_more_images_than_are_marked(images):
    net, batch, labels = make("plain", samples=48)
    with Patterns() as patterns, torch.no_grad():
        training(net)(batch[:images])
    columns = {column for layer in patterns.found for column in zip(*layer, strict=True)}
    assert swap(Probe(make("plain")[0], batch, labels), images=images) == len(columns)


def test_swap_fails_without_relus():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Tanh(), nn.Linear(4, 3))
    with pytest.raises(ValueError, match="no ReLU"):
        swap(Probe(net, torch.randn(4, 3, 8, 8), torch.arange(4) % 3))


def test_swap_with_regularisation():
    net, images, labels = make("plain")
    probe, plain = Probe(net, images, labels), swap(Probe(*make("plain")))
    thousands = sum(parameter.numel() for parameter in net.parameters()) / 1000
    assert swap(probe, mu=2.0, sigma=3.0) == pytest.approx(plain * math.exp(-((thousands - 2) ** 2) / 3), rel=1e-12)
    assert swap(probe, mu=2.0) == plain
    with pytest.raises(ProxyFailure, match=r"parameters is exp\(−\d+\), too small for a number: a larger sigma"):
        swap(probe, mu=1500.0, sigma=1500.0)


@pytest.mark.parametrize("name", ["plain", "residual", "cells"])
def test_swap_of_a_thinned_network(name, monkeypatch):
    net, images, labels = make(name)
    found = swap_ncd(Probe(net, images, labels, seed=2), images=4, part=0.6)
    patterns = thinned_relu_inputs(net, images[:4], 0.6, 2, monkeypatch)
    assert found == len({tuple(v > 0 for v in column) for pattern in patterns for column in zip(*pattern, strict=True)})
