"""Proxies of what a network answers and how its answer changes, against loops over images, units, layers, blocks."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from cases import CELLS, cells, make, training
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.az_nas import az_expressivity, az_progressivity, az_trainability
from proxies.input_jacobian import epe_nas, jacov
from proxies.meco import meco
from proxies.swap import swap
from proxies.vkdnw import vkdnw
from proxies.zen import zen

EVERY = ["plain", "groups", "pointwise with stride", "residual", "tokens", "fully connected", *CELLS, "transformer"]


def seen_by(net, kinds, images, before=False):
    """What every module of these kinds takes, or gives, in a pass in training mode: [(module, tensor)]."""
    seen = []
    hooks = [
        module.register_forward_pre_hook(lambda m, inputs: seen.append((m, inputs[0].detach().clone())))
        if before
        else module.register_forward_hook(lambda m, inputs, out: seen.append((m, out.detach().clone())))
        for module in net.modules()
        if isinstance(module, kinds)
    ]
    training(net)(images)
    for hook in hooks:
        hook.remove()
    return seen


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


class Patterns(TorchDispatchMode):
    """The signs that every ReLU is given, seen where torch computes it: a list of [samples][units]."""

    RELUS = (torch.ops.aten.relu, torch.ops.aten.relu_)

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in self.RELUS:
            self.found.append([[value > 0 for value in row] for row in args[0].flatten(1).tolist()])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("images", [3, 16])
@pytest.mark.parametrize("name", EVERY)
def test_swap(name, images):
    net, batch, _ = make(name)
    with Patterns() as patterns, torch.no_grad():
        training(net)(batch[:images])
    columns = {column for layer in patterns.found for column in zip(*layer, strict=True)}
    assert swap(Probe(*make(name)), images=images) == len(columns)


@pytest.mark.parametrize("images", [16, 17, 48])
def test_swap_of_more_images_than_are_marked(images):
    net, batch, labels = make("plain", samples=48)
    with Patterns() as patterns, torch.no_grad():
        training(net)(batch[:images])
    columns = {column for layer in patterns.found for column in zip(*layer, strict=True)}
    assert swap(Probe(make("plain")[0], batch, labels), images=images) == len(columns)


def test_swap_fails_without_relus():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Tanh(), nn.Linear(4, 3))
    with pytest.raises(ValueError, match="no ReLU"):
        swap(Probe(net, torch.randn(4, 3, 8, 8), torch.arange(4) % 3))


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


LAST = {  # what the head takes
    "plain": nn.AdaptiveAvgPool2d,
    "groups": nn.AdaptiveAvgPool2d,
    "pointwise with stride": nn.Flatten,
    "all skip": nn.AdaptiveAvgPool2d,
    "cells": nn.AdaptiveAvgPool2d,
}


@pytest.mark.parametrize("name", LAST)
def test_zen(name):
    net, images, labels = make(name)
    torch.manual_seed(5)
    x, noise = torch.randn(2, 7, 3, 8, 8).double()
    ((_, features),) = seen_by(net, LAST[name], x, before=True)
    ((_, moved),) = seen_by(net, LAST[name], x + 0.02 * noise, before=True)
    expected = math.log(np.mean(np.abs(features.numpy() - moved.numpy())))
    for _, taken in seen_by(net, nn.BatchNorm2d, x, before=True):
        variances = [np.var(taken[:, channel].numpy()) for channel in range(taken.shape[1])]
        expected += math.log(math.sqrt(sum(variances) / len(variances)))
    torch.manual_seed(5)
    assert float(zen(Probe(net, images, labels), images=7, step=0.02)) == pytest.approx(expected, rel=1e-9)


class Attentive(nn.Module):
    """Attention over pixels in four dimensions, between two convolutions or after them."""

    def __init__(self, fused, last):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.fused, self.last = fused, last

    def attend(self, x):
        tokens = x.reshape(len(x), 2, 4, 16).transpose(2, 3)  # [samples, heads, pixels, channels]
        if self.fused:
            y = F.scaled_dot_product_attention(tokens, tokens, tokens)
        else:
            y = (tokens @ tokens.transpose(2, 3)).softmax(-1) @ tokens
        return x + y.transpose(2, 3).reshape(x.shape)

    def forward(self, x):
        x = self.second(self.attend(self.first(x)))
        return (self.attend(x) if self.last else x).mean((2, 3))


@pytest.mark.parametrize("fused", [True, False])
def test_zen_sees_feature_maps_and_no_attention(fused):
    torch.manual_seed(0)
    net, images, labels = Attentive(fused, last=False), torch.randn(4, 3, 8, 8), torch.arange(4) % 3
    torch.manual_seed(5)
    x, noise = torch.randn(2, 7, 3, 8, 8)
    ((_, features),) = [pair for pair in seen_by(net, nn.Conv2d, x) if pair[0] is net.second]
    ((_, moved),) = [pair for pair in seen_by(net, nn.Conv2d, x + 0.02 * noise) if pair[0] is net.second]
    torch.manual_seed(5)
    expected = math.log(float((features - moved).abs().mean()))
    assert float(zen(Probe(net, images, labels), images=7, step=0.02)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "net",
    [
        lambda: make("transformer")[0].float(),
        lambda: make("cross attention")[0].float(),
        lambda: Attentive(fused=True, last=True),
        lambda: Attentive(fused=False, last=True),
    ],
    ids=["transformer", "cross attention", "fused", "by hand"],
)
def test_zen_fails_where_attention_comes_last(net):
    with pytest.raises(ValueError, match="no feature map of more than one pixel, or no convolution after its last att"):
        zen(Probe(net(), torch.randn(4, 3, 8, 8), torch.arange(4) % 3))


def test_zen_fails_without_feature_maps():
    with pytest.raises(ValueError, match="no feature map of more than one pixel"):
        zen(Probe(*make("fully connected")))


@pytest.mark.parametrize("name", [*EVERY, "cross attention"])
def test_vkdnw(name):
    net, images, _ = make(name, seed=1)
    layers = nn.Conv2d | nn.Linear | nn.MultiheadAttention
    own = [p for m in net.modules() if isinstance(m, layers) for p in m.named_parameters(recurse=False)]
    weights = [weight for key, weight in own if key.endswith("weight")]
    net.eval()
    fisher = np.zeros((len(weights), len(weights)))
    for image in images[:3]:
        logits = net(image[None])[0]
        p = 0.95 * np.exp(logits.detach().numpy()) / np.exp(logits.detach().numpy()).sum() + 0.05 / 3
        jacobian = np.zeros((3, len(weights)))
        for label in range(3):
            gradients = torch.autograd.grad(logits[label], weights, retain_graph=True, allow_unused=True)
            for k, gradient in enumerate(gradients):
                jacobian[label, k] = 0.0 if gradient is None else gradient.flatten()[0]
        for a in range(3):
            for b in range(3):
                fisher += (p[a] * (a == b) - p[a] * p[b]) * np.outer(jacobian[a], jacobian[b]) / 3
    deciles = np.quantile(np.linalg.eigvalsh(fisher).clip(0), [k / 10 for k in range(1, 10)])
    entropy = -sum(q * math.log(q) for q in deciles / deciles.sum() if q > 0)
    probe = Probe(*make(name, seed=1))
    assert float(vkdnw(probe, images=3, count=False)) == pytest.approx(entropy, rel=1e-6)
    assert float(vkdnw(probe, images=3)) == pytest.approx(len(weights) + entropy / math.log(9), rel=1e-6)


def test_vkdnw_fails_where_rows_are_not_the_samples():
    with pytest.raises(ValueError, match="a layer gives 16 rows for 4 images"):
        vkdnw(Probe(*make("windows")), images=4)


def test_vkdnw_fails_where_the_network_cannot_choose():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, 1))
    with pytest.raises(ProxyFailure, match="nine tenths of the Fisher matrix's eigenvalues are zero"):
        vkdnw(Probe(net, torch.randn(4, 3, 8, 8), torch.zeros(4)))


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
