"""WRCor against numpy's correlations of what hooks see."""

import numpy as np
import pytest
from cases import make
from torch import nn
from torch.nn import functional as F

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.wrcor import wrcor

LEVELS = {"cells": {"cell0-0": 0, "reduction1": 1, "cell1-0": 2, "norm": 3}, "plain": {"2": 0, "5": 0}}
"""Of each ReLU by the first part of its name: the stretch without blocks is one level."""


def wrcor_by_definition(net, images, labels, levels, weighted):
    seen = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
            module.register_forward_hook(lambda m, inputs, out, name=name: seen.update({name: [inputs[0].detach()]}))
            module.register_full_backward_hook(lambda m, inputs, outs, name=name: seen[name].append(inputs[0]))
    F.cross_entropy(net.train()(images), labels).backward()
    kernel = np.zeros((len(images),) * 2)
    for name, matrices in seen.items():
        scale = 2.0 ** levels[name.split(".")[0]] if weighted else 1.0
        for matrix in matrices:
            with np.errstate(invalid="ignore"):
                correlations = np.corrcoef(matrix.flatten(1).numpy())
            if np.isfinite(correlations).all():
                kernel += scale * np.abs(correlations)
    return np.linalg.slogdet(kernel)[1]


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("name", LEVELS)
def test_wrcor(name, weighted):
    expected = wrcor_by_definition(*make(name), LEVELS[name], weighted)
    assert float(wrcor(Probe(*make(name)), weighted=weighted)) == pytest.approx(expected, rel=1e-9)


def test_a_relu_that_the_loss_does_not_depend_on_counts_without_a_gradient():
    """As those before a multiplication by zero in the published code, whose gradient does not vary."""
    net, images, labels = make("plain")

    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.relu = net, nn.ReLU()

        def forward(self, x):
            return self.net(x) + 0 * self.relu(x).mean((1, 2, 3))[:, None]

    class Dead(Beside):
        def forward(self, x):
            self.relu(x)
            return self.net(x)

    values = [float(wrcor(Probe(kind(), images, labels), weighted=False)) for kind in (Beside, Dead)]
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    assert values[0] != pytest.approx(float(wrcor(Probe(net, images, labels), weighted=False)), rel=1e-6)


def test_wrcor_fails_on_equal_images():
    net, images, labels = make("plain", samples=4)
    images[1], labels[1] = images[0], labels[0]
    with pytest.raises(ProxyFailure, match="the kernel is singular"):
        wrcor(Probe(net, images, labels))
