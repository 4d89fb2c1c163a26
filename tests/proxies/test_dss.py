"""DSS against singular values and loops over layers."""

import numpy as np
import pytest
import torch
from cases import make
from references import linearised
from torch import nn
from torch.nn import functional as F

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.dss import dss


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
