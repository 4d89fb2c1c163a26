"""MeCo against loops over layers."""

import numpy as np
import pytest
import torch
from cases import make
from references import EVERY, seen_by
from torch import nn

from nas.probe import Probe
from proxies.meco import meco


@pytest.mark.parametrize("name", [name for name in EVERY if name != "fully connected"])
def test_meco(name):
    net, images, labels = make(name)
    expected = scale = 0.0
    for _, output in seen_by(net, nn.Conv2d, images[:1]):
        eigenvalues = np.linalg.eigvalsh(np.corrcoef(output[0].flatten(1).numpy()))
        expected += eigenvalues[0]
        scale += eigenvalues[-1]
    assert float(meco(Probe(net, images, labels))) == pytest.approx(expected, rel=1e-8, abs=1e-14 * scale)


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_meco_of_a_constant_channel_is_zero(value):
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 3))
    with torch.no_grad():
        net[0].weight[0] = 0
        net[0].bias.fill_(value)
    assert float(meco(Probe(net, torch.randn(2, 3, 8, 8), torch.arange(2)))) == 0


def test_meco_fails_without_convolutions():
    with pytest.raises(ValueError, match="no convolution"):
        meco(Probe(*make("fully connected")))
