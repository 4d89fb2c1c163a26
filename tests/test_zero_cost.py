"""Proxies of weights and their gradients against references that loop over layers, channels and single weights."""

import math
from copy import deepcopy

import numpy as np
import pytest
import torch
from cases import CELLS, NETWORKS, cells, make, one_image_at_a_time, training
from torch import nn
from torch.nn import functional as F

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.dss import dss
from proxies.gradient_diversity import grad_spectral_norm, grad_variance, knas
from proxies.zero_cost import fisher, grad_norm, grasp, l2_norm, plain, snip, synflow
from proxies.zico import zico

EVERY = ["plain", "groups", "pointwise with stride", "residual", "tokens", "fully connected", *CELLS, "transformer"]


def weights_of(net):
    """The weights of convolutions, linear layers and attention's projections: no bias, no norm, no place."""
    return [p for name, p in net.named_parameters() if name.endswith("weight") and p.ndim > 1]


def loss_of(net, images, labels):
    logits = training(net)(images)
    return -sum(row.log_softmax(0)[label] for row, label in zip(logits, labels, strict=True)) / len(labels)


def weights_and_gradients(net, images, labels):
    """(weight, gradient) of each layer, numpy and flat."""
    net.zero_grad()
    loss_of(net, images, labels).backward()
    return [
        (w.detach().numpy().ravel(), np.zeros(w.numel()) if w.grad is None else w.grad.numpy().ravel())
        for w in weights_of(net)
    ]


@pytest.mark.parametrize("name", EVERY)
def test_weights_times_gradients(name):
    lengths = products = removals = norms = 0.0
    for weight, gradient in weights_and_gradients(*make(name)):
        lengths += math.sqrt(sum(g * g for g in gradient))
        products += sum(w * g for w, g in zip(weight, gradient, strict=True))
        removals += sum(abs(w * g) for w, g in zip(weight, gradient, strict=True))
        norms += math.sqrt(sum(w * w for w in weight))
    probe = Probe(*make(name))
    assert float(grad_norm(probe)) == pytest.approx(lengths, rel=1e-9)
    assert float(plain(probe)) == pytest.approx(products, rel=1e-8, abs=1e-8 * removals)
    assert float(snip(probe)) == pytest.approx(removals, rel=1e-9)
    assert float(l2_norm(probe)) == pytest.approx(norms, rel=1e-12)


def test_grasp_with_the_whole_hessian():
    """Row by row."""
    net, images, labels = make("pointwise with stride")
    weights = weights_of(net)
    gradients = torch.autograd.grad(loss_of(net, images, labels), weights, create_graph=True)
    gradient = torch.cat([g.flatten() for g in gradients])
    rows = [torch.autograd.grad(entry, weights, retain_graph=True) for entry in gradient]
    hessian = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
    expected = -torch.cat([w.flatten() for w in weights]) @ hessian @ gradient
    assert float(grasp(Probe(net, images, labels))) == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_grasp(name):
    """By how much the gradient differs a small step along itself ahead and behind."""
    net, images, labels = make(name)
    layers = weights_and_gradients(net, images, labels)
    step = 1e-6 / math.sqrt(sum(float(g @ g) for _, g in layers))

    def gradients(length):
        moved = deepcopy(net)
        for weight, (_, gradient) in zip(weights_of(moved), layers, strict=True):
            weight.data += length * torch.from_numpy(gradient).reshape(weight.shape)
        return [g.copy() for _, g in weights_and_gradients(moved, images, labels)]

    products = [(a - b) / (2 * step) for a, b in zip(gradients(step), gradients(-step), strict=True)]
    expected = -sum(float(w @ h) for (w, _), h in zip(layers, products, strict=True))
    scale = sum(float(abs(w) @ abs(h)) for (w, _), h in zip(layers, products, strict=True))
    assert float(grasp(Probe(*make(name)))) == pytest.approx(expected, rel=1e-6, abs=1e-7 * scale)


class Projections(nn.Module):
    """What a `nn.MultiheadAttention` computes, by four linear layers."""

    def __init__(self, attention):
        super().__init__()
        self.heads = attention.num_heads
        packed = attention.in_proj_weight
        weights = [attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight]
        weights = weights if packed is None else packed.chunk(3)
        self.projections = nn.ModuleList()
        for weight, bias in zip(weights, attention.in_proj_bias.chunk(3), strict=True):
            layer = nn.Linear(*weight.T.shape)
            layer.weight, layer.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
            self.projections.append(layer)
        self.out_proj = attention.out_proj

    def forward(self, *inputs, **_):
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in zip(self.projections, inputs, strict=True)
        )
        weights = (query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])).softmax(-1)
        return self.out_proj((weights @ value).transpose(1, 2).flatten(2)), None


def with_visible_projections(net):
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MultiheadAttention):
                setattr(module, name, Projections(child))
    return net


@pytest.mark.parametrize("name", [*EVERY, "transformer, norm first", "cross attention"])
def test_fisher(name):
    net, images, labels = make(name)
    net = with_visible_projections(net)
    uses = []

    def keep(module, inputs, output):
        output.retain_grad()
        uses.append((module, output))
        return output.clone()  # what comes next may change it in place

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(keep)
    loss_of(net, images, labels).backward()
    expected = 0.0
    for module, output in uses:
        if output.grad is None:  # the loss does not depend on it
            continue
        product = (output * output.grad).detach().numpy()
        if isinstance(module, nn.Linear):
            product = np.moveaxis(product, -1, 1)
        for channel in range(product.shape[1]):
            value = sum(product[n, channel].sum() ** 2 for n in range(len(images))) / (2 * len(images))
            expected += value * module.weight[channel].numel()
    assert float(fisher(Probe(*make(name)))) == pytest.approx(expected, rel=1e-9)


def test_fisher_fails_where_rows_are_not_the_samples():
    with pytest.raises(ValueError, match="a layer gives 36 rows for 9 images"):
        fisher(Probe(*make("windows")))


def test_fisher_fails_where_samples_attend_to_each_other():
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.attention = nn.Linear(192, 3), nn.MultiheadAttention(3, 1)

        def forward(self, x):
            x = self.head(x.flatten(1))
            return self.attention(x, x, x)[0]

    with pytest.raises(ValueError, match="takes all samples as one sequence"):
        fisher(Probe(Sequence(), torch.randn(6, 3, 8, 8), torch.arange(6) % 3))


def linearised(net, images):
    """Absolute parameters, no batch norm, and the gradients for one image of ones."""
    net = training(deepcopy(net))
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    for parameter in net.parameters():
        parameter.data.abs_()
    net(torch.ones_like(images[:1])).sum().backward()
    return net


@pytest.mark.parametrize("name", EVERY)
def test_synflow(name):
    net, images, labels = make(name)
    weights = [w for w in weights_of(linearised(net, images)) if w.grad is not None]
    expected = sum(
        abs(w * g) for weight in weights for w, g in zip(weight.flatten().tolist(), weight.grad.flatten(), strict=True)
    )
    assert float(synflow(Probe(net, images, labels))) == pytest.approx(math.log(expected), rel=1e-9)


def test_synflow_is_computed_in_float64():
    """Its sum does not fit a float32."""
    layers = [layer for _ in range(30) for layer in (nn.Linear(30, 30, bias=False), nn.ReLU())]
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 30), *layers, nn.Linear(30, 3))
    for weight in weights_of(net):
        nn.init.ones_(weight)
    score = synflow(Probe(net, torch.zeros(2, 3, 8, 8), torch.zeros(2)))
    assert float(score) > 100
    with torch.no_grad():
        for bias in (net[1].bias, net[-1].bias):
            nn.init.zeros_(bias)
    expected = math.log(32 * 192 * 3) + 31 * math.log(30)  # each of the 32 layers carries the whole flow
    assert float(synflow(Probe(net, torch.zeros(2, 3, 8, 8), torch.zeros(2)))) == pytest.approx(expected, rel=1e-12)


def test_synflow_fails_where_nothing_flows():
    net = cells("nats:0,0,0,0,0,0", 2, 4)
    with pytest.raises(ProxyFailure, match="nothing flows"):
        synflow(Probe(net, torch.randn(4, 3, 8, 8), torch.arange(4) % 3))


def zico_by_definition(net, images, labels):
    first = weights_and_gradients(net, images[:4], labels[:4])
    second = weights_and_gradients(net, images[4:8], labels[4:8])
    expected = 0.0
    for (_, g), (_, h) in zip(first, second, strict=True):
        ratios = []
        for a, b in zip(g.tolist(), h.tolist(), strict=True):
            if a != b:
                mean = (a + b) / 2
                spread = math.sqrt(((a - mean) ** 2 + (b - mean) ** 2) / 2)
                ratios.append((abs(a) + abs(b)) / 2 / spread)
        if ratios:
            expected += math.log(sum(ratios))
    return expected


@pytest.mark.parametrize("name", EVERY)
def test_zico(name):
    assert float(zico(Probe(*make(name)))) == pytest.approx(zico_by_definition(*make(name)), rel=1e-6)


def test_zico_leaves_out_weights_without_a_gradient():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).double()
    with torch.no_grad():
        net[0].bias[0] = -100.0  # a channel that no image reaches, in a layer in which others count
    _, images, labels = make("plain")
    assert float(zico(Probe(net, images, labels))) == pytest.approx(zico_by_definition(net, images, labels), rel=1e-6)


def test_zico_fails_on_equal_halves():
    net, images, labels = make("plain", samples=4)
    with pytest.raises(ProxyFailure, match="no weight has a gradient that differs"):
        zico(Probe(net, images[:2].repeat(2, 1, 1, 1), labels[:2].repeat(2)))


class Attention(nn.Module):
    """Written by hand: one head, softmax of a product."""

    def __init__(self):
        super().__init__()
        self.three = nn.Linear(4, 12)
        self.out = nn.Linear(4, 4)

    def forward(self, x):
        query, key, value = self.three(x).chunk(3, -1)
        return self.out((query @ key.transpose(1, 2)).softmax(-1) @ value)


class FusedAttention(Attention):
    def forward(self, x):
        return self.out(F.scaled_dot_product_attention(*self.three(x).chunk(3, -1)))


class Block(nn.Module):
    """Attention and MLP with a residual connection each."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention
        self.norm = nn.LayerNorm(4)
        self.mlp = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 4))

    def forward(self, x):
        x = x + self.attention(x)
        return x + self.mlp(self.norm(x))


def transformer(block):
    tokens = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.Flatten(2), nn.Linear(4, 4))  # the channels are the tokens
    return nn.Sequential(tokens, nn.Sequential(block(), block()), nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.parametrize(
    ("net", "attention", "mlp"),
    [
        (
            lambda: transformer(lambda: nn.TransformerEncoderLayer(4, 2, 6, 0.5, batch_first=True)),
            ("in_proj_weight", "out_proj.weight"),
            ("linear1.weight", "linear2.weight"),
        ),
        (
            lambda: transformer(lambda: Block(Attention())),
            ("three.weight", "out.weight"),
            ("mlp.0.weight", "mlp.2.weight"),
        ),
        (
            lambda: transformer(lambda: Block(FusedAttention())),
            ("three.weight", "out.weight"),
            ("mlp.0.weight", "mlp.2.weight"),
        ),
    ],
    ids=["library", "by hand", "fused"],
)
def test_dss(net, attention, mlp):
    torch.manual_seed(0)
    net, images = net().double(), torch.randn(3, 3, 8, 8, dtype=torch.float64)
    expected, counted = 0.0, 0
    for name, weight in linearised(net, images).named_parameters():
        if name.endswith(attention):
            nuclear = [np.linalg.svd(m.detach().numpy(), compute_uv=False).sum() for m in (weight, weight.grad)]
            expected += nuclear[0] * nuclear[1]
        elif name.endswith(mlp):
            expected += float((weight * weight.grad).detach().abs().sum())
        else:
            continue
        counted += 1
    assert counted == 8
    assert float(dss(Probe(net, images, torch.arange(3)))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["plain", "tokens", "fully connected", "all skip"])
def test_dss_fails_without_attention(name):
    with pytest.raises(ProxyFailure, match="no attention"):
        dss(Probe(*make(name)))


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


def test_a_tied_weight_counts_once():
    torch.manual_seed(0)
    first, second = nn.Linear(192, 192), nn.Linear(192, 192)
    second.weight = first.weight
    net = nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.Linear(192, 3)).double()
    images, labels = torch.randn(6, 3, 8, 8, dtype=torch.float64), torch.arange(6) % 3
    F.cross_entropy(net(images), labels).backward()
    weights = [net[1].weight, net[4].weight]
    probe = Probe(net, images, labels)
    assert float(l2_norm(probe)) == pytest.approx(float(sum(w.norm() for w in weights).detach()), rel=1e-12)
    assert float(grad_norm(probe)) == pytest.approx(float(sum(w.grad.norm() for w in weights)), rel=1e-9)
