"""What a user may have: networks of many habits. `Twins` is in every conformance check of the space."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F


class Twins(nn.Module):
    """Functional ReLUs, and features beside the logits."""

    def __init__(self, classes, channels, *, width=6):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        features = F.relu(self.norm(F.relu(self.stem(x)))).mean((2, 3))
        return features, self.head(features)


def flat(classes, channels, size):
    """Knows the size of its images, and has no ReLU."""
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, 4), nn.Tanh(), nn.Linear(4, classes))


def fixed(width=4):
    """Takes nothing of the task: always 3 channels and 10 classes."""
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def shrinking(classes, channels):
    """At 8 pixels a side the batch norm sees one; the last layer learns its shape from the first image."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 8, stride=8), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes)
    )


def unmade(classes):
    raise KeyError("no weights\nof that name")


def number(classes):
    return classes


def demanding(classes, depth, activation):
    raise AssertionError("never called")


READY = nn.Linear(3, 3)


class Answer(NamedTuple):
    auxiliary: torch.Tensor
    logits: torch.Tensor
