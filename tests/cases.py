"""Small networks of several kinds, and the slow, obviously correct ways to measure them."""

import torch
from torch import nn
from torch.nn import functional as F


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
    "reflected padding": lambda: convolutional(padding=1, padding_mode="reflect"),
    "pointwise with stride": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 1, stride=2), nn.ReLU(), nn.Conv2d(4, 4, (3, 1), padding=(1, 0)), nn.Flatten(), nn.Linear(64, 3)
    ),
    "residual": Residual,
    "tokens": Tokens,
    "fully connected": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 7), nn.ReLU(), nn.Linear(7, 3)),
}


def make(name, seed=0, samples=9, dtype=torch.float64):
    """(network, images [samples, 3, 8, 8], labels of three classes)."""
    torch.manual_seed(seed)
    net = NETWORKS[name]().to(dtype)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # an affine part that does something
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return net, torch.randn(samples, 3, 8, 8, dtype=dtype), torch.arange(samples) % 3


def one_image_at_a_time(net, images, labels, target="loss"):
    """The per-sample gradients of every Conv2d and Linear weight, [samples, weights] by name: the published way, one
    image at a time in training mode, so that batch norm sees that image alone."""
    net.train()
    weights = {f"{n}.weight": m.weight for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    rows = {name: [] for name in weights}
    for image, label in zip(images, labels, strict=True):
        logits = net(image[None])
        value = F.cross_entropy(logits, label[None]) if target == "loss" else logits.sum()
        gradients = torch.autograd.grad(value, list(weights.values()), allow_unused=True)
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
            rows[name].append((torch.zeros_like(weight) if gradient is None else gradient).flatten())
    return {name: torch.stack(row) for name, row in rows.items()}
