"""AZ-NAS on networks whose features are not those of NAS-Bench-201: the value, or a sentence."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.az_nas import az_expressivity, az_progressivity, az_trainability, stacked

PROXIES = (az_expressivity, az_progressivity, az_trainability)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride=1, last=False):
        super().__init__()
        self.convolution, self.last = nn.Conv2d(inputs, outputs, 3, stride, 1), last

    def forward(self, x):
        x = x.permute(0, 3, 1, 2) if self.last and x.shape[1] == x.shape[2] != x.shape[3] else x
        x = F.relu(self.convolution(x))
        return x.permute(0, 2, 3, 1) if self.last else x


class Tokens(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, x):
        return self.linear(x.flatten(2).transpose(1, 2)) if x.ndim == 4 else self.linear(x)


class Pool(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()

    def forward(self, x):
        return self.flatten(self.pool(x))


class Net(nn.Module):
    """Blocks, and a head that averages over whatever they give."""

    def __init__(self, *blocks, pool=None, channels=8):
        super().__init__()
        for number, block in enumerate(blocks):
            setattr(self, f"block{number}", block)
        self.blocks, self.pool, self.head = len(blocks), pool, nn.Linear(channels, 4)

    def forward(self, x):
        for number in range(self.blocks):
            x = getattr(self, f"block{number}")(x)
        if self.pool is not None:
            return self.head(self.pool(x))
        if x.ndim == 3:
            return self.head(x.mean(1))
        return self.head(x.mean((1, 2)) if x.shape[3] == 8 and x.shape[1] != 8 else x.mean((2, 3)))


def values(size, make):
    torch.manual_seed(0)
    net = make()
    torch.manual_seed(1)
    probe = Probe(net, torch.randn(4, 3, size, size), torch.arange(4) % 2)
    return [float(proxy(probe)) for proxy in PROXIES]


def three(stride=1, **options):
    return Net(Block(3, 8, last=options.get("last", False)), Block(8, 8, stride, **options), Block(8, 8, **options))


def test_pooling_as_a_module_with_parts_changes_nothing():
    plain = values(16, three)
    pooled = values(16, lambda: Net(Block(3, 8), Block(8, 8), Block(8, 8), pool=Pool()))
    assert pooled == plain


def test_channels_last_change_nothing():
    assert values(16, lambda: three(last=True))[:2] == pytest.approx(values(16, three)[:2], rel=1e-5)
    assert values(16, lambda: three(last=True))[2] == pytest.approx(values(16, three)[2], abs=0.5)  # another draw of u


def test_a_reduction_of_three():
    assert all(value == value for value in values(12, lambda: three(stride=3)))


def test_stacking_is_torchs_own_order():
    v = torch.randn(2, 3, 8, 8)
    assert torch.equal(stacked(v, torch.zeros(2, 5, 4, 4))[0], F.pixel_unshuffle(v, 2).flatten(2))
    assert [tuple(part.shape) for part in stacked(torch.randn(2, 3, 8, 6), torch.zeros(2, 5, 4, 3))] == [
        (2, 12, 12), (2, 5, 12),
    ]  # fmt: skip


def test_a_side_that_is_rounded_up_is_filled_with_zeros():
    v = torch.randn(2, 3, 7, 7)
    filled = F.pixel_unshuffle(F.pad(v, (0, 1, 0, 1)), 2)
    assert torch.equal(stacked(v, torch.zeros(2, 5, 4, 4))[0], filled.flatten(2))
    assert all(math.isfinite(value) for value in values(7, lambda: three(stride=2)))


def test_tokens_of_a_square_are_its_pixels():
    v, tokens = torch.randn(2, 3, 4, 4), torch.zeros(2, 4, 5)
    assert torch.equal(stacked(v, tokens)[0], F.pixel_unshuffle(v, 2).flatten(2))


def test_what_has_no_matrix_says_so():
    with pytest.raises(ProxyFailure, match="a block turns 7 x 7 positions into 5 x 5: which of them become one is not"):
        stacked(torch.randn(2, 3, 7, 7), torch.zeros(2, 5, 5, 5))
    with pytest.raises(ProxyFailure, match="a block turns 4 rows into 2: which are whose is not known"):
        stacked(torch.randn(4, 3, 7, 7), torch.zeros(2, 5, 7, 7))


def test_expressivity_needs_no_such_matrix():
    torch.manual_seed(0)
    probe = Probe(three(stride=2), torch.randn(4, 3, 7, 7), torch.arange(4) % 2)
    assert az_expressivity(probe) > 0


class Cut(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block(8, 8)

    def forward(self, x):
        return self.block(x) * 0 + x.detach() * 0 + self.block(x).relu() * 0


def test_a_block_without_gradient_is_a_failure():
    with pytest.raises(ProxyFailure, match=r"lets no gradient through|does not depend|are constant"):
        values(8, lambda: Net(Block(3, 8), Cut(), Block(8, 8)))
