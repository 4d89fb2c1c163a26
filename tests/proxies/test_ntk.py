"""The NTK's condition number against loops over images and weights."""

import numpy as np
import pytest
import torch
from cases import make, one_image_at_a_time
from references import gradients

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.ntk import ntk


@pytest.mark.parametrize("name", ["plain", "stride", "tokens", "fully connected"])
def test_ntk(name):
    net, images, labels = make(name, samples=6)
    net.train()
    weights = [parameter for key, parameter in net.named_parameters() if key.endswith("weight")]
    rows = []
    for i in range(6):
        net.zero_grad()
        net(images)[i].sum().backward()
        rows.append(torch.cat([weight.grad.flatten() for weight in weights]).numpy().copy())
    eigenvalues = np.linalg.eigvalsh([[np.dot(a, b) for a in rows] for b in rows])
    found = ntk(Probe(net, images, labels), batch_norm="batch")
    assert float(found) == pytest.approx(eigenvalues[-1] / eigenvalues[0], rel=1e-6)


@pytest.mark.parametrize("batch_norm", ["sample", "batch"])
def test_ntk_of_the_first_images(batch_norm):
    net, images, labels = make("plain", samples=6)
    part = ntk(Probe(net, images, labels), images=4, batch_norm=batch_norm)
    assert float(part) == pytest.approx(float(ntk(Probe(net, images[:4], labels[:4]), batch_norm=batch_norm)), rel=1e-9)


@pytest.mark.parametrize("name", ["plain", "residual", "tokens", "fully connected"])
def test_ntk_of_each_image_by_itself(name):
    net, images, labels = make(name, samples=6)
    rows = torch.cat(list(one_image_at_a_time(net, images, labels, "logits").values()), 1).numpy()
    eigenvalues = np.linalg.eigvalsh(rows @ rows.T)
    assert float(ntk(Probe(net, images, labels))) == pytest.approx(eigenvalues[-1] / eigenvalues[0], rel=1e-6)


def test_ntk_of_loss_gradients():
    probe, rows = gradients("stride")
    eigenvalues = np.linalg.eigvalsh(rows @ rows.T)
    assert float(ntk(probe, loss=True)) == pytest.approx(eigenvalues[-1] / eigenvalues[0], rel=1e-6)


def test_ntk_fails_on_equal_images():
    net, images, labels = make("fully connected", samples=4)
    images[1] = images[0]
    with pytest.raises(ProxyFailure, match="not positive"):
        ntk(Probe(net, images, labels))
