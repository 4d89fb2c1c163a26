"""Small networks of several kinds, and the slow, obviously correct ways to measure them."""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from nas.probe import Probe
from nas.scoring.measurer import build
from nas.space import SPACES, Task


class Residual(nn.Module):
    """Two branches, functional ReLU, a weight used twice, a branch that the output does not depend on."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.shared = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.dead = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = F.relu(self.stem(x))
        self.dead(F.relu(x))
        y = self.norm(self.shared(x))
        return self.head(F.relu(x + self.shared(F.relu(y))).mean((2, 3)))


class Tokens(nn.Module):
    """A linear layer on patches, layer norm, a linear layer with three leading dimensions."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 4, stride=4)
        self.norm = nn.LayerNorm(6)
        self.mix = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        return self.head((x + self.mix(self.norm(x))).relu().mean(1))


class Positions(nn.Module):
    """Linear layers on several leading dimensions, one of them used twice, and as many positions as samples."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 4, stride=2)
        self.mix = nn.Linear(4, 4)
        self.head = nn.Linear(9, 3)

    def forward(self, x):
        x = self.stem(x).permute(0, 2, 3, 1)  # [samples, 3, 3, channels]
        x = self.mix(F.relu(self.mix(x)))
        return self.head(F.relu(x).flatten(1, 2).mean(2))


class VisionTransformer(nn.Module):
    """Nine patches, as many as samples, with dropout that must not act; tokens first or samples first."""

    def __init__(self, batch_first, norm_first):
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 4, stride=2)
        self.position = nn.Parameter(torch.randn(9, 1, 6))
        self.batch_first = batch_first
        self.layer = nn.TransformerEncoderLayer(6, 2, 8, 0.5, batch_first=batch_first, norm_first=norm_first)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.patch(x).flatten(2).permute(2, 0, 1) + self.position  # [tokens, samples, channels]
        x = self.layer(x.transpose(0, 1)).transpose(0, 1) if self.batch_first else self.layer(x)
        return self.head(x.mean(0))


class CrossAttention(nn.Module):
    """Attention with projections of their own for queries, keys and values of different widths."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 4, stride=2)
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.5, kdim=3, vdim=3, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        queries, memory = self.stem(x).flatten(2).transpose(1, 2), x.flatten(2).transpose(1, 2)
        return self.head(self.attention(queries, memory, memory)[0].mean(1))


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight / weight.std((1, 2, 3), keepdim=True), self.bias)


class Scaled(Standardised):
    """A scale for each channel, in the shape of the weight: no weight, as that of batch norm is none."""

    def __init__(self, *shape):
        super().__init__(*shape)
        self.gain = nn.Parameter(torch.rand(shape[1], 1, 1, 1) + 0.5)

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, self.gain * weight, self.bias)


class RankOne(nn.Module):
    """A weight that is the product of a column and a row: neither is its scale."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.column = nn.Parameter(torch.randn(outputs, 1) / 5)
        self.row = nn.Parameter(torch.randn(1, inputs) / 5)

    def forward(self, x):
        return F.linear(x, self.column @ self.row)


class Bilinear(nn.Module):
    """A weight used by `linear` and by another function."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(192, 3)

    def forward(self, x):
        return self.linear(x.flatten(1)) + x.flatten(1).sin() @ self.linear.weight.T


class Windows(nn.Module):
    """A convolution over windows, of which each sample has four."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.window = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.stem(x).unflatten(2, (2, 4)).unflatten(4, (2, 4)).permute(0, 2, 4, 1, 3, 5)  # [samples, 2, 2, …]
        return self.head(F.relu(self.window(x.flatten(0, 2))).mean((2, 3)).reshape(-1, 4, 4).mean(1))


class Mixing(nn.Module):
    """Each sample's features minus the batch's mean, at shapes that do not tell."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = F.relu(self.stem(x))
        return self.head((x - 0.1 * x.mean(0, keepdim=True)).mean((2, 3)))


class Reversed(nn.Module):
    """The samples go through the hidden layer in reverse order."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(192, 4)
        self.hidden = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.hidden(F.relu(self.stem(x.flatten(1))).flip(0)).relu().flip(0))


class Branching(nn.Module):
    """The image decides which weights it meets."""

    def __init__(self):
        super().__init__()
        self.light = nn.Conv2d(3, 4, 3)
        self.dark = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(F.relu(self.light(x) if x.sum() > 0 else self.dark(x)).mean((2, 3)))


class Remembering(nn.Module):
    """Each image's mean goes through a buffer, in place."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        x = self.stem(x)
        with torch.no_grad():
            self.mean.copy_(x.mean((0, 2, 3)))
        return self.head(F.relu(x - self.mean[:, None, None]).mean((2, 3)))


def cells(text, *widths):
    space = SPACES["nasbench201"](widths=widths, repeats=1)
    return space.build(space.parse(text), Task(3, 3, 8))


def convolutional(**kinds):
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 6, 3, **kinds), nn.BatchNorm2d(6), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip


NETWORKS = {
    "plain": lambda: convolutional(padding=1),
    "stride": lambda: convolutional(stride=2, padding=1),
    "dilation": lambda: convolutional(dilation=2, padding=2),
    "groups": lambda: convolutional(groups=3, padding=1, bias=False),
    "depthwise": lambda: convolutional(groups=6),
    "same padding": lambda: convolutional(padding="same", dilation=2),
    "groups, stride and dilation": lambda: convolutional(groups=2, stride=2, dilation=2, padding=2),
    "circular padding": lambda: convolutional(padding=1, padding_mode="circular"),
    "reflected padding": lambda: convolutional(padding=1, padding_mode="reflect"),
    "pointwise with stride": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 1, stride=2), nn.ReLU(), nn.Conv2d(4, 4, (3, 1), padding=(1, 0)), nn.Flatten(), nn.Linear(64, 3)
    ),
    "residual": Residual,
    "tokens": Tokens,
    "positions": Positions,
    "fully connected": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 7), nn.ReLU(), nn.Linear(7, 3)),
}
"""Those on which every proxy is tested, all of whose gradients come from the batched pass."""

MAPPED = {
    "weight standardisation": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        Standardised(4, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 3),
    ),
    "weight standardisation with a gain": lambda: nn.Sequential(
        Scaled(3, 4, 3), nn.ReLU(), Scaled(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    ),
    "factors of rank one": lambda: nn.Sequential(nn.Flatten(), RankOne(192, 8), nn.ReLU(), nn.Linear(8, 3)),
    "weight normalisation": lambda: nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    ),
    "transformer": lambda: VisionTransformer(batch_first=True, norm_first=False),
    "transformer, norm first": lambda: VisionTransformer(batch_first=True, norm_first=True),
    "transformer, tokens first": lambda: VisionTransformer(batch_first=False, norm_first=False),
    "transformer, tokens and norm first": lambda: VisionTransformer(batch_first=False, norm_first=True),
    "cross attention": CrossAttention,
    "bilinear": Bilinear,
    "windows": Windows,
    "mixing": Mixing,
    "reversed": Reversed,
}
"""Those some of whose gradients `torch.func.vmap` has to give."""

LOOPED = {"branching": Branching, "remembering": Remembering}
"""Those of which it cannot."""

CELLS = {
    "all skip": lambda: cells("nats:1,1,1,1,1,1", 2, 3),
    "cells": lambda: cells("nats:3,2,1,4,1,0", 2, 4),
}
"""Small networks of NAS-Bench-201."""


def make(name, seed=0, samples=9, dtype=torch.float64):
    """(network, images [samples, 3, 8, 8], labels of three classes)."""
    torch.manual_seed(seed)
    net = (NETWORKS | MAPPED | LOOPED | CELLS)[name]().to(dtype)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # an affine part that does something
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return net, torch.randn(samples, 3, 8, 8, dtype=dtype), torch.arange(samples) % 3


def training(net):
    """``net`` in training mode, but for dropout: a score is a function of the network, not of a mask."""
    net.train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    return net


WEIGHTS = ("weight", "original1")
"""Names of what a weight is computed from but for its scale."""


def one_image_at_a_time(net, images, labels, target="loss"):
    """The per-sample gradients of every Conv2d, Linear and attention weight, [samples, weights] by name: the published
    way, one image at a time in training mode, so that batch norm sees that image alone."""
    training(net)
    layers = nn.Conv2d | nn.Linear | RankOne | nn.MultiheadAttention | nn.utils.parametrize.ParametrizationList
    weights = {
        f"{n}.{p}": weight
        for n, m in net.named_modules()
        if isinstance(m, layers)
        for p, weight in m.named_parameters(recurse=False)
        if (weight.ndim > 1 and not isinstance(m, Scaled | nn.utils.parametrize.ParametrizationList)) or p in WEIGHTS
    }
    rows = {name: [] for name in weights}
    for image, label in zip(images, labels, strict=True):
        logits = net(image[None])
        value = F.cross_entropy(logits, label[None]) if target == "loss" else logits.sum()
        gradients = torch.autograd.grad(value, list(weights.values()), allow_unused=True)
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
            rows[name].append((torch.zeros_like(weight) if gradient is None else gradient).flatten())
    return {name: torch.stack(row) for name, row in rows.items()}


ROOT = Path(__file__).parent.parent
"""The checkout."""
MINE = ROOT / "tests" / "user_networks.py"
GENOTYPE = {"widths": (4,), "depths": (3,)}
SMALL = {
    "autoformer": {"hidden_dims": (16, 24), "depths": (1, 2, 3), "patch": 4},
    "cells": {"widths": (4, 8), "repeats": 1},
    "darts": {"width": 4, "depth": 3},
    "mnasnet": {"widths": (4, 4, 6, 8, 8, 8, 8), "stem": 4, "last": 8},
    "multi_resolution": {"widths": (8, 16), "stems": (8,), "most": 1},
    "nasbench101": {"stem": 60, "modules": 1},
    "nasbench201": {"widths": (4, 8), "repeats": 1},
    "nasbench_bert": {"widths": (8, 16), "feed_forwards": (12, 20), "embedding": 8},
    "nasbench_macro": {"width": 4, "last": 8},
    "nasbench_nlp": {"embedding": 6, "width": 5, "layers": 2},
    "nats_sss": {"widths": (4, 6, 8)},
    "nds_amoeba": GENOTYPE,
    "nds_darts": GENOTYPE,
    "nds_enas": {"widths": (4, 6), "depths": (3, 4)},
    "nds_nasnet": GENOTYPE,
    "nds_pnas": GENOTYPE,
    "nds_resnet": {"depths": (1, 2), "widths": (4, 8), "stem": 4},
    "nds_resnext": {"depths": (1, 2), "stem": 4},
    "transnas_micro": {"width": 4, "macro": "4"},
    "networks": {"names": (f"{MINE}:Twins", f"{MINE}:flat")},
}
"""The options under which a space's networks are built in milliseconds."""
OF_TOKENS = ("nasbench_bert", "nasbench_nlp")
"""Spaces whose networks take tokens."""


class Calling(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def named(*functions):
    return [f"{MINE}:{function}" for function in functions]


def made(function, task=Task(3, 3, 8), seed=0):  # noqa: B008, a task is a tuple
    space = SPACES["networks"]()
    return build(space, space.parse(*named(function)), task, seed)


def counted(space, text, task=Task(10)):  # noqa: B008
    """Parameters and multiply-accumulates of a network without weights."""
    with torch.device("meta"):
        net = space.build(space.parse(text), task)
        image = torch.zeros(1, task.channels, task.size, task.size)
    probe = Probe(net, image, torch.zeros(1))
    return probe.params, probe.trace.flops


DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
