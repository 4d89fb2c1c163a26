"""AZ-NAS against loops over blocks and pixels."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from cases import CELLS, cells, make, training
from torch import nn

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.az_nas import az_expressivity, az_progressivity, az_trainability


class Residual(nn.Module):
    """A block that halves the image where its stride is 2."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReLU(), nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.Tanh()
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x):
        return self.branch(x) + self.shortcut(x)


class Normless(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())

    def forward(self, x):
        return x + self.layers(x)


def head(channels):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3)]


def blocks_of(name):
    """(network, the part before its blocks, its blocks)."""
    torch.manual_seed(0)
    if name == "transformers":
        blocks = [nn.TransformerEncoderLayer(4, 2, 6, 0.5, batch_first=True) for _ in range(2)]
        stem = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.Flatten(2), nn.Linear(4, 4))  # the channels are tokens
        return nn.Sequential(stem, *blocks, nn.Flatten(), nn.Linear(16, 3)).double(), stem, blocks
    if name in CELLS:
        net, _, _ = make(name)
        return net, net.stem, [child for key, child in net.named_children() if key.startswith(("cell", "reduction"))]
    stem = nn.Conv2d(3, 3, 3, stride=2, padding=1)
    if name == "normless":
        blocks = [Normless(), Normless()]
    else:
        blocks = [Residual(3, 4, 1), Residual(4, 5, 2), Residual(5, 5, 1), Residual(5, 2, 2)]
    stages = blocks if name == "normless" else [nn.Sequential(*blocks[:2]), nn.Sequential(*blocks[2:])]
    net = nn.Sequential(stem, *stages, *head(3 if name == "normless" else 2)).double()
    return net, stem, blocks


BLOCKS = ["residual blocks", "normless", *CELLS, "transformers"]


def features_of(name, samples):
    net, stem, blocks = blocks_of(name)
    images = torch.randn(samples, 3, 8, 8, dtype=torch.float64)
    training(net)
    features = [stem(images).detach()]
    for block in blocks:
        features.append(block(features[-1]).detach())
    return Probe(net, images, torch.arange(samples) % 3, seed=3), features, blocks


def pixels(feature):
    """[pixels of all samples, channels], by loops."""
    feature = feature.numpy()
    if feature.ndim == 3:
        return np.array([token for sample in feature for token in sample])
    _, _, height, width = feature.shape
    return np.array([sample[:, i, j] for sample in feature for i in range(height) for j in range(width)])


@pytest.mark.parametrize("name", BLOCKS)
def test_az_expressivity_and_progressivity(name):
    probe, features, _ = features_of(name, 6)
    entropies = []
    for feature in features:
        eigenvalues = np.linalg.eigvalsh(np.cov(pixels(feature).T, bias=True)).clip(0)
        p = eigenvalues / eigenvalues.sum()
        entropies.append(-sum(x * math.log(x) for x in p if x > 0))
    assert float(az_expressivity(probe)) == pytest.approx(sum(entropies), rel=1e-9)
    steps = [b - a for a, b in pairwise(entropies)]
    assert float(az_progressivity(probe)) == pytest.approx(min(steps), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("name", BLOCKS)
def test_az_trainability(name):
    """With the whole Jacobian of each block; the vectors are drawn from the last block to the first."""
    probe, features, blocks = features_of(name, 2)
    generator = torch.Generator().manual_seed(3)
    scores = []
    for source, block in reversed(list(zip(features, blocks, strict=False))):
        jacobian = torch.autograd.functional.jacobian(block, source)
        target = jacobian.shape[: source.ndim]
        u = 2.0 * torch.randint(0, 2, target, generator=generator).double() - 1
        v = (jacobian.reshape(u.numel(), -1).T @ u.flatten()).reshape(source.shape)
        outers = []
        if u.ndim == 3:
            outers = [np.outer(v[n, t], u[n, t]) for n in range(2) for t in range(u.shape[1])]
        else:
            stride = source.shape[2] // target[2]
            for n in range(2):
                for i in range(target[2]):
                    for j in range(target[3]):
                        patch = v[n, :, i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
                        outers.append(np.outer(patch.flatten(), u[n, :, i, j]))
        s = np.linalg.norm(sum(outers) / len(outers), 2)
        scores.append(-s - 1 / (s + 1e-6) + 2)
    assert float(az_trainability(probe)) == pytest.approx(sum(scores) / len(scores), rel=1e-8)


def test_az_trainability_fails_on_a_block_that_changes_nothing():
    net = cells("nats:0,0,0,1,0,0", 2, 4)
    with pytest.raises(ProxyFailure, match="passes its input on unchanged"):
        az_trainability(Probe(net, torch.randn(4, 3, 8, 8), torch.arange(4) % 3))


@pytest.mark.parametrize("proxy", [az_expressivity, az_progressivity, az_trainability])
@pytest.mark.parametrize("name", ["plain", "fully connected"])
def test_az_nas_fails_without_blocks(name, proxy):
    with pytest.raises(ProxyFailure, match="no blocks"):
        proxy(Probe(*make(name)))


def test_az_expressivity_fails_on_constant_features():
    net = cells("nats:0,0,0,0,0,0", 2, 4)
    with pytest.raises(ProxyFailure, match="features of a block are constant"):
        az_expressivity(Probe(net, torch.randn(4, 3, 8, 8), torch.arange(4) % 3))


@pytest.mark.parametrize("proxy", [az_expressivity, az_progressivity, az_trainability])
def test_of_the_first_images_alone(proxy):
    probe, _, _ = features_of("residual blocks", 6)
    few = proxy(Probe(probe.net, probe.images[:3], probe.labels[:3], seed=3))
    assert float(proxy(probe, images=3)) == pytest.approx(float(few), rel=1e-6)
    assert float(few) != pytest.approx(float(proxy(probe)), rel=1e-3)
