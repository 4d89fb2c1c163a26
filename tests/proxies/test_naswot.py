"""NASWOT against loops over images and units."""

import numpy as np
import pytest
import torch
from cases import NETWORKS, make
from torch.nn import functional as F

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.naswot import naswot


@pytest.mark.parametrize("name", NETWORKS)
def test_naswot(name, monkeypatch):
    net, images, labels = make(name, samples=5)
    patterns = relu_inputs(net, images, monkeypatch)
    kernel = np.zeros((5, 5))
    for pattern in patterns:
        for i in range(5):
            for j in range(5):
                kernel[i, j] += sum(bool(a > 0) == bool(b > 0) for a, b in zip(pattern[i], pattern[j], strict=True))
    _, logdet = np.linalg.slogdet(kernel)
    if np.linalg.matrix_rank(kernel) < 5:
        with pytest.raises(ProxyFailure, match="singular"):
            naswot(Probe(net, images, labels))
    else:
        assert float(naswot(Probe(net, images, labels))) == pytest.approx(logdet, rel=1e-9)


def relu_inputs(net, images, monkeypatch):
    """What every ReLU is given in a training-mode forward pass, [samples, units] each, in order."""
    seen = []
    with monkeypatch.context() as patch:
        for owner in (F, torch, torch.Tensor):  # one calls the other, with the same tensor

            def relu(x, *args, original=owner.relu, **kwargs):
                if not seen or seen[-1] is not x:
                    seen.append(x)
                return original(x, *args, **kwargs)

            patch.setattr(owner, "relu", relu)
        with torch.no_grad():
            net.train()(images)
    return [x.reshape(len(x), -1).tolist() for x in seen]


def test_naswot_fails_on_equal_images():
    net, images, labels = make("plain", samples=4)
    images[1] = images[0]
    with pytest.raises(ProxyFailure, match="singular"):
        naswot(Probe(net, images, labels))
