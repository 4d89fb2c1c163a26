"""jacov and epe_nas against loops over images."""

import math

import numpy as np
import pytest
import torch
from cases import make, training
from references import EVERY
from torch import nn

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.input_jacobian import epe_nas, jacov


def input_jacobian(net, images):
    """Of the sum of all logits, a row for each image."""
    leaves = [image.clone().requires_grad_() for image in images]
    training(net)(torch.stack(leaves)).sum().backward()
    return [leaf.grad.numpy().ravel() for leaf in leaves]


@pytest.mark.parametrize("name", EVERY)
def test_jacov(name):
    rows = input_jacobian(*make(name)[:2])
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(rows)) + 1e-5
    expected = -sum(math.log(v) + 1 / v for v in eigenvalues)
    assert float(jacov(Probe(*make(name)))) == pytest.approx(expected, rel=1e-6)


def test_jacov_of_the_first_images_alone():
    net, images, labels = make("plain")
    few = jacov(Probe(net, images[:3], labels[:3]))
    assert float(jacov(Probe(net, images, labels), images=3)) == pytest.approx(float(few), rel=1e-6)
    assert float(few) != pytest.approx(float(jacov(Probe(net, images, labels))), rel=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_epe_nas(name):
    net, images, labels = make(name)
    rows = input_jacobian(net, images)
    expected = 0.0
    for label in range(3):
        members = [row for row, its in zip(rows, labels.tolist(), strict=True) if its == label]
        expected += abs(sum(math.log(abs(np.corrcoef(a, b)[0, 1]) + 1e-5) for a in members for b in members))
    assert float(epe_nas(Probe(*make(name)))) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("proxy", [jacov, epe_nas])
@pytest.mark.parametrize("value", [0.0, 0.1])
def test_jacobians_fail_where_all_pixels_count_alike(proxy, value):
    net = nn.Sequential(nn.Flatten(), nn.Linear(49, 2))
    nn.init.constant_(net[1].weight, value)
    with pytest.raises(ProxyFailure, match="does not depend on some image, or on all its pixels alike"):
        proxy(Probe(net, torch.randn(4, 1, 7, 7), torch.arange(4) % 2))
