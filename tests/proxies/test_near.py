"""NEAR against loops over pixels and singular values."""

import math
from zlib import crc32

import numpy as np
import pytest
import torch
from cases import NETWORKS, make, training
from torch import nn

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.near import effective_rank, near


def near_by_definition(net, images, seed):
    outputs = []
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d | nn.LayerNorm | nn.ReLU):
            module.register_forward_hook(lambda module, inputs, out, name=name: outputs.append((name, out.clone())))
    with torch.no_grad():
        training(net)(images)
    total = 0.0
    for name, out in outputs:
        if out.ndim == 4:
            _, _, height, width = out.shape
            rows = [image[:, h, w].tolist() for image in out for w in range(width) for h in range(height)]
        else:
            rows, width = out.tolist(), out.shape[1]
        stream = torch.Generator().manual_seed(seed ^ crc32(name.encode()))
        place = int(torch.randint(max(len(rows) // width - 1, 1), (), generator=stream))
        sigma = np.linalg.svd(np.array(rows[place * width :][: out.shape[1]]), compute_uv=False)
        if sigma.max() > 0:
            total += math.exp(-sum(s / sigma.sum() * math.log(s / sigma.sum()) for s in sigma if s > 0))
    return total


@pytest.mark.parametrize("images", [1, 9])
@pytest.mark.parametrize("name", [*(name for name in NETWORKS if name not in ("tokens", "positions")), "cells"])
def test_near(name, images):
    net, batch, labels = make(name)
    expected = near_by_definition(make(name)[0], batch[:images], seed=5)
    assert float(near(Probe(net, batch, labels, seed=5), images=images)) == pytest.approx(expected, rel=1e-9)


def test_effective_rank_by_hand():
    assert float(effective_rank(torch.diag(torch.tensor([3.0, 1.0])))) == pytest.approx(1.7548, abs=5e-5)
    assert float(effective_rank(torch.zeros(3, 2))) == 0
    assert float(effective_rank(torch.eye(4))) == pytest.approx(4)


def test_near_refuses_tokens_and_networks_without_layers():
    with pytest.raises(ProxyFailure, match="a layer gives 3 dimensions"):
        near(Probe(*make("tokens")))
    _, images, labels = make("plain")
    with pytest.raises(ProxyFailure, match="no module with a weight"):
        near(Probe(nn.Flatten(), images, labels))


def test_near_of_images_that_are_too_small():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=8, padding=1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3)
    ).double()
    _, images, labels = make("plain")
    with pytest.raises(ValueError, match="the images are too small for this network"):
        near(Probe(net, images, labels), images=1)
