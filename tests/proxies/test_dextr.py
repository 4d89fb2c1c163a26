"""Dextr against numpy's singular values and finite differences along its circles."""

import math

import numpy as np
import pytest
import torch
from cases import NETWORKS, make, training
from torch import nn

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.dextr import dextr, dextr_condition


def condition_by_definition(net, image):
    outputs = []
    for module in net.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, inputs, out: outputs.append(out[0].clone()))
    with torch.no_grad():
        training(net)(image[None])
    total = 0.0
    for out in outputs:
        sigma = np.linalg.svd(out.reshape(len(out), -1).numpy(), compute_uv=False)
        total += sigma[-1] / sigma[0] if sigma[0] > 0 else 0.0
    return total


@pytest.mark.parametrize("name", [*NETWORKS, "cells", "transformer"])
def test_condition(name):
    net, images, labels = make(name)
    expected = condition_by_definition(make(name)[0], images[0])
    assert float(dextr_condition(Probe(net, images, labels))) == pytest.approx(expected, rel=1e-9)


def curvature_by_finite_differences(net, shape, stream, step=1e-5):
    training(net)
    basis = torch.randn(math.prod(shape), 2, generator=stream, dtype=torch.float64)
    first, second = torch.linalg.qr(basis).Q.T.reshape(2, 1, *shape)

    def logits(angle):
        with torch.no_grad():
            return net(first * math.cos(angle) + second * math.sin(angle))[0]

    before, here, after = map(logits, (-step, 0.0, step))
    chosen = torch.randint(len(here), (10,), generator=stream)
    v, a = ((after - before) / (2 * step))[chosen], ((after - 2 * here + before) / step**2)[chosen]
    return float((v @ v * (a @ a) - (v @ a) ** 2).sqrt() / v.norm() ** 3)


@pytest.mark.parametrize("name", ["plain", "stride", "groups", "residual", "cells"])
def test_dextr(name):
    net, images, labels = make(name)
    stream = torch.Generator().manual_seed(3)
    kappas = [curvature_by_finite_differences(make(name)[0], (3, 12, 12), stream) for _ in range(2)]
    a = math.log1p(condition_by_definition(make(name)[0], images[0]))
    b = math.log1p(math.sqrt(kappas[0] * kappas[1]))
    found = dextr(Probe(net, images, labels, seed=3), curves=2, size=12)
    assert float(found) == pytest.approx(a * b / (a + b), rel=1e-4)


def test_dextr_of_logits_that_do_not_move():
    net, images, labels = make("plain")
    with torch.no_grad():
        net[-1].weight.zero_()
    with pytest.raises(ProxyFailure, match="do not bend"):
        dextr(Probe(net, images, labels))


def test_dextr_of_a_single_class():
    _, images, labels = make("plain")
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)).double()
    with pytest.raises(ProxyFailure, match="do not bend"):  # ten times the same logit stay on one line
        dextr(Probe(net, images, labels))


def test_dextr_of_images_that_are_too_small():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).double()
    _, images, labels = make("plain")
    with pytest.raises(ValueError, match="the images are too small for this network"):
        dextr(Probe(net, images, labels), size=4)
