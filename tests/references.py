"""Slow, obviously correct ways to measure what several proxies look at."""

from copy import deepcopy

import numpy as np
import torch
from cases import CELLS, make, one_image_at_a_time, training
from torch import nn
from torch.nn import functional as F

from nas.passes.per_sample import visit_blocks
from nas.probe import Probe

EVERY = ["plain", "groups", "pointwise with stride", "residual", "tokens", "fully connected", *CELLS, "transformer"]
"""Networks on which proxies of weights and of responses are tested."""


def blocks_of(net, images, labels, target="loss"):
    """The gradients of each weight by name, [samples, weights], and that they came once, in order of their rows."""
    names = {parameter: name for name, parameter in net.named_parameters()}
    found = {}
    visit_blocks(net, images, labels, lambda block: found.setdefault(names[block.weight], []).append(block), target)
    for name, parts in found.items():
        assert [row for part in parts for row in range(len(part.weight))[part.rows]] == list(
            range(len(parts[0].weight))
        )
        found[name] = torch.cat([part.gradients for part in parts], 1)
    return found


def relative_error(found, expected):
    """Over all weights together; what the output does not depend on has gradient zero and needs no block."""
    assert found.keys() <= expected.keys()
    difference = sum(
        (found[name] - rows).square().sum() if name in found else rows.square().sum() for name, rows in expected.items()
    )
    return float((difference / sum(rows.square().sum() for rows in expected.values())).sqrt())


def gradients(name):
    """(probe, the loss gradients of each image, [samples, weights]) of a case."""
    net, images, labels = make(name)
    return Probe(net, images, labels), torch.cat(list(one_image_at_a_time(net, images, labels).values()), 1).numpy()


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


def relu_inputs(net, images, monkeypatch):
    """What every ReLU is given in a training-mode forward pass, [samples, units] each, in order."""
    seen, within = [], []
    with monkeypatch.context() as patch:
        for owner in (F, torch, torch.Tensor):  # one calls the other

            def relu(x, *args, original=owner.relu, **kwargs):
                if not within:
                    seen.append(x.clone())
                within.append(x)
                out = original(x, *args, **kwargs)
                within.pop()
                return out

            patch.setattr(owner, "relu", relu)
        with torch.no_grad():
            net.train()(images)
    return [x.reshape(len(x), -1).tolist() for x in seen]


def thinned_relu_inputs(net, images, part, seed, monkeypatch):
    """The same of the network with masked convolutions and layer norm, module by module."""
    stream = torch.Generator().manual_seed(seed)

    def convolve(conv, x):
        mask = (torch.rand(conv.weight.shape, generator=stream) >= part).double()
        return F.conv2d(x, conv.weight * mask, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)

    def normalise(norm, x):
        mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), correction=0, keepdim=True)
        return (x - mean) / (variance + norm.eps).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]

    monkeypatch.setattr(nn.Conv2d, "forward", convolve)
    monkeypatch.setattr(nn.BatchNorm2d, "forward", normalise)
    return relu_inputs(net, images, monkeypatch)
