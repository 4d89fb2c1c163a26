"""Proxies of weights and their gradients against loops over layers, channels and single weights."""

import math
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from cases import Calling, cells, make
from references import EVERY, linearised, loss_of, weights_and_gradients, weights_of
from torch import nn
from torch.nn import functional as F

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.zero_cost import fisher, grad_norm, grasp, l2_norm, plain, snip, synflow


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


def scores_without_in_place(first, second, proxy):
    """The scores of a network that changes a convolution's output in place, and of one that does not."""
    scores = []
    for inplace in (False, True):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), first(inplace), nn.Conv2d(4, 4, 3), second(inplace),
                            nn.Flatten(), nn.Linear(64, 3)).double()  # fmt: skip
        images = 9 * torch.randn(6, 3, 8, 8, dtype=torch.float64)  # some units above 6
        scores.append(float(proxy(Probe(net, images, torch.arange(6) % 3))))
    return scores


@pytest.mark.parametrize(
    ("first", "second"),
    [(nn.ReLU, nn.ReLU), (nn.ReLU6, nn.ReLU), (nn.ReLU, lambda inplace: Calling(partial(F.relu6, inplace=inplace)))],
    ids=["twice", "ReLU6 first", "ReLU6 last"],
)
def test_fisher_where_a_relu_works_in_place_on_a_convolution(first, second):
    expected, found = scores_without_in_place(first, second, fisher)
    assert expected > 0
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.mul_(2),
        lambda x: F.leaky_relu(x, 0.2, inplace=True),
        lambda x: F.hardtanh(x, -1, 1, inplace=True),
        lambda x: x.add_(1).relu_(),
        lambda x: F.relu6(x.mul_(2), inplace=True),
    ],
    ids=["product", "leaky ReLU", "hard tanh", "sum and ReLU", "product and ReLU6"],
)
def test_fisher_where_the_output_of_a_layer_is_changed_in_place(change):
    """It has the output's own value, as where the change is made to a copy."""
    convolution, head = nn.Conv2d(3, 4, 3), nn.Linear(144, 3)
    images, labels = torch.randn(6, 3, 8, 8), torch.arange(6) % 3
    nets = [
        nn.Sequential(convolution, Calling(changed), nn.Flatten(), head)
        for changed in (change, lambda x: change(x.clone()))
    ]
    in_place, copied = (float(fisher(Probe(net, images, labels))) for net in nets)
    assert in_place == copied > 0


def test_a_function_without_a_second_derivative():
    """Of a hard sigmoid torch has none, so ours is differentiated; of others it says so."""
    convolution, head = nn.Conv2d(3, 4, 3).double(), nn.Linear(144, 3).double()
    images, labels = torch.randn(6, 3, 8, 8, dtype=torch.float64), torch.arange(6) % 3

    def scored(activation):
        net = nn.Sequential(convolution, Calling(activation), nn.Flatten(), head)
        return float(grasp(Probe(net, images, labels)))

    expected = scored(lambda x: (x / 6 + 0.5).clamp(0, 1))
    assert scored(F.hardsigmoid) == pytest.approx(expected, rel=1e-10)
    assert scored(nn.Hardsigmoid(inplace=True)) == pytest.approx(expected, rel=1e-10)
    with pytest.raises(ValueError, match="torch has no second derivative of pdist, which the network calls"):
        scored(lambda x: x * F.pdist(x.flatten(1)).sum())
