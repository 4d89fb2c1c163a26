"""NASWOT against loops over images and units."""

import numpy as np
import pytest
from cases import NETWORKS, make
from references import relu_inputs, thinned_relu_inputs

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.naswot import naswot, naswot_ncd


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


def test_naswot_fails_on_equal_images():
    net, images, labels = make("plain", samples=4)
    images[1] = images[0]
    with pytest.raises(ProxyFailure, match="singular"):
        naswot(Probe(net, images, labels))


@pytest.mark.parametrize("name", ["plain", "groups", "residual", "cells"])
def test_naswot_of_a_thinned_network(name, monkeypatch):
    net, images, labels = make(name, samples=5)
    found = float(naswot_ncd(Probe(net, images, labels, seed=2), part=0.6))
    patterns = thinned_relu_inputs(net, images, 0.6, 2, monkeypatch)
    columns = np.concatenate([np.array(pattern) > 0 for pattern in patterns], 1)
    kernel = [[np.sum(one == other) for other in columns] for one in columns]
    assert found == pytest.approx(np.linalg.slogdet(np.array(kernel))[1], rel=1e-9)
