"""Zen against loops over layers and channels."""

import math

import numpy as np
import pytest
import torch
from cases import make
from references import seen_by
from torch import nn
from torch.nn import functional as F

from nas.probe import Probe
from proxies.zen import zen

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
    with pytest.raises(ValueError, match="no map of several pixels, or no convolution after its last att"):
        zen(Probe(net(), torch.randn(4, 3, 8, 8), torch.arange(4) % 3))


def test_zen_fails_without_feature_maps():
    with pytest.raises(ValueError, match="no map of several pixels"):
        zen(Probe(*make("fully connected")))
