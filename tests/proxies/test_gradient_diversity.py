"""Diversity of gradients against loops over images."""

import numpy as np
import pytest
import torch
from cases import NETWORKS, make, one_image_at_a_time
from references import EVERY

from nas.probe import Probe
from proxies.gradient_diversity import grad_spectral_norm, grad_variance, knas


@pytest.mark.parametrize("name", [name for name in EVERY if name in NETWORKS])
def test_diversity_of_gradients(name):
    net, images, labels = make(name)
    rows = torch.cat(list(one_image_at_a_time(net, images, labels).values()), 1).numpy()
    mean = sum(rows) / len(rows)
    probe = Probe(*make(name))
    products = [[float(np.dot(a, b)) for a in rows] for b in rows]
    assert float(knas(probe)) == pytest.approx(sum(map(sum, products)) / len(rows) ** 2, rel=1e-8)
    variance = sum(float(np.dot(row - mean, row - mean)) for row in rows) / len(rows)
    assert float(grad_variance(probe)) == pytest.approx(variance, rel=1e-8)
    largest = np.linalg.svd(rows, compute_uv=False)[0] ** 2
    assert float(grad_spectral_norm(probe)) == pytest.approx(largest, rel=1e-8)
