"""MeCo against loops over layers."""

import numpy as np
import pytest
import torch
from cases import make
from references import EVERY, seen_by
from torch import nn

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.meco import meco


@pytest.mark.parametrize("name", [name for name in EVERY if name != "fully connected"])
def test_meco(name):
    net, images, labels = make(name)
    expected = scale = 0.0
    for _, output in seen_by(net, nn.Conv2d, images[:1]):
        eigenvalues = np.linalg.eigvalsh(np.corrcoef(output[0].flatten(1).numpy()))
        expected += eigenvalues[0]
        scale += eigenvalues[-1]
    if expected <= 1e-12 * scale:
        with pytest.raises(ProxyFailure, match="all smallest eigenvalues are zero"):
            meco(Probe(net, images, labels))
        return
    assert float(meco(Probe(net, images, labels))) == pytest.approx(expected, rel=1e-8, abs=1e-14 * scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1])
def test_meco_of_a_constant_channel_is_zero(value, dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(72, 3)).to(dtype)
    images = torch.randn(2, 3, 8, 8, dtype=dtype)
    both = float(meco(Probe(net, images, torch.arange(2))))
    with torch.no_grad():
        net[0].weight[0] = 0
        net[0].bias.fill_(value)
    with pytest.raises(ProxyFailure, match="all smallest eigenvalues are zero"):  # the second layer has one direction
        meco(Probe(net, images, torch.arange(2)))
    assert both > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_meco_of_more_channels_than_pixels_is_no_score(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 20, 4, 4), nn.Flatten(), nn.Linear(80, 3)).to(dtype)
    with pytest.raises(ProxyFailure, match="all smallest eigenvalues are zero"):
        meco(Probe(net, torch.randn(2, 3, 8, 8, dtype=dtype), torch.arange(2)))


def test_meco_fails_without_convolutions():
    with pytest.raises(ValueError, match="no convolution"):
        meco(Probe(*make("fully connected")))
