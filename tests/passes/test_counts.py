"""Counts come from what runs, however it is written; or there is a sentence."""

import warnings
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nas.passes.counts import trace


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(8, 3, 3, 3)), nn.Parameter(torch.randn(8))
        self.out = nn.Parameter(torch.randn(4, 8))

    def forward(self, x):
        return F.linear(F.conv2d(x, self.weight, self.bias, padding=1).mean((2, 3)), self.out)


class Einsum(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 3))

    def forward(self, x):
        return torch.einsum("nchw,oc->nohw", x, self.weight)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2)[:, :, :8]
        return self.attention(tokens, tokens, tokens)[0]


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.cell = kind(8, 5, batch_first=True)

    def forward(self, x):
        return self.cell(x.flatten(2))[0]


class Windows(nn.Module):
    """A linear layer on windows that lie in the batch, as Swin's."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 6)

    def forward(self, x):
        return self.linear(x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 4, 5, 1).reshape(-1, 16, 3))


class Branch(nn.Module):
    """Its second convolution does not reach the output; its third sees a constant."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))

    def forward(self, x):
        self.b(x)
        return self.a(x) + self.c(torch.zeros_like(x))


def plain():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))


def made_by(compiler, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # users have such networks all the same
        return compiler(*arguments)


IMAGE = (1, 3, 8, 8)
CASES = {
    "1-d": (nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 8, 3, padding=1)), IMAGE, 64 * 8 * 3 * 3, 1),
    "3-d": (nn.Conv3d(1, 8, 3, padding=1), (1, 1, 4, 8, 8), 256 * 8 * 27, 1),
    "transposed": (nn.ConvTranspose2d(3, 8, 2, 2), IMAGE, 64 * 3 * 8 * 4, 1),
    "transposed 1-d": (nn.Sequential(nn.Flatten(2), nn.ConvTranspose1d(3, 4, 3)), IMAGE, 64 * 3 * 4 * 3, 1),
    "grouped": (nn.Conv2d(3, 6, 3, groups=3, padding=1), IMAGE, 64 * 6 * 9, 1),
    "dilated": (nn.Conv2d(3, 6, 3, dilation=2, padding=2), IMAGE, 64 * 6 * 27, 1),
    "functional": (Functional(), IMAGE, 64 * 8 * 27 + 32, 1),
    "einsum": (Einsum(), IMAGE, 64 * 8 * 3, 0),
    "attention, its products left out": (Attention(), IMAGE, 3 * 8 * 8 * 4, 0),
    "lstm": (Recurrent(nn.LSTM), (1, 3, 2, 4), 3 * 4 * 5 * (8 + 5), 0),
    "gru": (Recurrent(nn.GRU), (1, 3, 2, 4), 3 * 3 * 5 * (8 + 5), 0),
    "windows": (Windows(), IMAGE, 64 * 3 * 6, 0),
    "unused and constant branches": (Branch(), IMAGE, 3 * 64 * 3 * 27, 1),
    "traced": (made_by(torch.jit.trace, plain(), torch.zeros(IMAGE)), IMAGE, 64 * 27 * 8 + 64 * 72 * 8, 2),
    "scripted": (made_by(torch.jit.script, plain()), IMAGE, 64 * 27 * 8 + 64 * 72 * 8, 2),
}


@pytest.mark.parametrize("name", CASES)
def test_what_runs_is_counted(name):
    net, shape, flops, depth = CASES[name]
    assert trace(net, torch.zeros(shape)) == (flops, depth, 3 if isinstance(net, Branch) else depth)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("traced", "scripted", "lstm")])
def test_without_weights_it_is_the_same(name):
    net, shape, flops, depth = CASES[name]
    meta = deepcopy(net).to("meta")
    assert trace(meta, torch.zeros(shape, device="meta")) == (flops, depth, 3 if isinstance(net, Branch) else depth)


def test_a_view_that_is_written_to_carries_its_depth():
    class Written(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            canvas = torch.zeros(1, 3, 8, 8)
            canvas[:, :, ::2] = self.convolution(x)[:, :, ::2]
            return canvas

    assert trace(Written(), torch.zeros(IMAGE)).depth == 1


def test_an_operation_whose_cost_is_not_known_is_refused():
    @torch.library.custom_op("nas_tests::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    class Custom(nn.Module):
        def forward(self, x):
            return twice(x)

    with pytest.raises(ValueError, match="what the operation nas_tests::twice costs is not known"):
        trace(Custom(), torch.zeros(IMAGE))
