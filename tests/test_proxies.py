"""Each proxy against a slow, independent reference: loops over samples, weights and units, in float64."""

import math

import numpy as np
import pytest
import torch
from cases import NETWORKS, make, one_image_at_a_time
from torch import nn
from torch.nn import functional as F

from nas.probe import Probe
from nas.proxy import ProxyFailure, Saturated
from nas.space import SPACES, Task
from proxies.counts import depth, flops, params
from proxies.gradalign import gradalign_i, gradalign_ii
from proxies.gradsign import gradsign
from proxies.linear_regions import linear_regions
from proxies.naswot import naswot
from proxies.ntk import ntk


def gradients(name):
    net, images, labels = make(name)
    return Probe(net, images, labels), torch.cat(list(one_image_at_a_time(net, images, labels).values()), 1).numpy()


def directed(vector, direction):
    if direction == "sign":
        return np.sign(vector)
    length = math.sqrt(sum(x * x for x in vector))
    return vector / length if direction == "unit" and length else vector


def groups_of(labels, per_class):
    return [np.flatnonzero(labels.numpy() == c) for c in range(3)] if per_class else [np.arange(len(labels))]


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize("direction", ["sign", "unit", "raw"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradalign(name, direction, per_class):
    probe, rows = gradients(name)
    first = second = 0.0
    for members in groups_of(probe.labels, per_class):
        average = directed(rows[members].mean(0), direction)
        first += sum(float(np.dot(directed(rows[i], direction), average)) for i in members) / len(members)
        gram = [
            [float(np.dot(directed(rows[i], direction), directed(rows[j], direction))) for j in members]
            for i in members
        ]
        second += np.linalg.slogdet(np.array(gram) + 1e-3 * np.eye(len(members)))[1]
    options = {"direction": direction, "per_class": per_class}
    assert float(gradalign_i(probe, **options)) == pytest.approx(first, rel=1e-6)
    assert float(gradalign_ii(probe, **options)) == pytest.approx(second, rel=1e-6)


def test_gradalign_by_hand():
    """One linear weight, two images of one class with opposite gradients and one that agrees with the first."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    nn.init.zeros_(net[1].weight)
    images = torch.tensor([1.0, -1.0, 2.0]).reshape(3, 1, 1, 1)
    probe = Probe(net, images, torch.tensor([0, 0, 0]))
    # the gradients are x * (-1/2, 1/2), their mean has x's mean 2/3: signs (-, +), (+, -), (-, +) against (-, +)
    assert float(gradalign_i(probe)) == pytest.approx((2 - 2 + 2) / 3)
    assert float(gradalign_i(probe, mean_per_weight=True)) == pytest.approx(1 / 3)
    signs = np.array([[-1, 1], [1, -1], [-1, 1]])
    assert float(gradalign_ii(probe)) == pytest.approx(np.linalg.slogdet(signs @ signs.T + 1e-3 * np.eye(3))[1])


@pytest.mark.parametrize("name", NETWORKS)
def test_gradsign(name):
    probe, rows = gradients(name)
    expected = sum(abs(sum(np.sign(row[k]) for row in rows)) for k in range(rows.shape[1]))
    assert float(gradsign(probe)) == expected


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


def test_linear_regions_counts_the_pieces_of_a_line():
    """One hidden layer on one input: the kinks of three ReLUs cut the line into four pieces."""
    hidden = nn.Linear(1, 3)
    hidden.weight.data.fill_(1.0)
    hidden.bias.data.copy_(torch.tensor([0.0, -1.0, 1.0]))
    net = nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(3, 2))
    images = torch.linspace(-3, 3, 101).reshape(-1, 1, 1, 1)
    assert float(linear_regions(Probe(net, images, torch.zeros(101)))) == 4


def test_linear_regions_says_when_it_is_saturated():
    net, images, labels = make("plain")
    with pytest.raises(Saturated, match="every one of the 9 inputs"):
        linear_regions(Probe(net, images, labels))


def test_counts_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4, padding=1),
        nn.Flatten(), nn.Linear(8 * 16, 5),
    )  # fmt: skip
    probe = Probe(net, torch.randn(2, 3, 8, 8), torch.zeros(2))
    assert params(probe) == (8 * 27 + 8) + 16 + (8 * 18 + 8) + (640 + 5)
    assert flops(probe) == 16 * 8 * 27 + 16 * 8 * 18 + 640
    assert depth(probe) == 2


def test_depth_follows_the_longest_path():
    space = SPACES["nasbench201"](widths=(4, 8), repeats=2)
    expected = {  # convolutions on the longest path of a cell, by eye
        "nats:3,3,3,3,3,3": 3,
        "nats:1,1,1,1,1,1": 0,
        "nats:2,0,0,0,3,0": 2,
        "nats:2,0,0,1,0,0": 0,  # the convolution leads nowhere
        "nats:0,0,3,1,0,3": 0,  # the convolutions come from nowhere
    }
    for text, of_cell in expected.items():
        probe = Probe(space.build(space.parse(text), Task(10)), torch.randn(1, 3, 8, 8), torch.zeros(1))
        assert depth(probe) == 1 + 2 * of_cell + 2 + 2 * of_cell, text
