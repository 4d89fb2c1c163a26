"""Small data that can be learned, and small trainings."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from nas.data.splits import splits
from nas.scoring.measurer import build
from nas.space import SPACES
from nas.training.network import Conditions
from nas.training.recipe import recipe_of

CELL = "nats:3,1,2,4,0,3"
OTHER = "nats:1,3,0,2,3,1"
NARROW = {"nasbench201": {"widths": (4, 8), "repeats": 1}}


def stripes(count=90, size=8, channels=1, seed=0):
    """Three classes of noisy images: stripes down, stripes across, none; as bytes, with their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.normal(100, 25, (count, size, size, channels))
    images[labels == 0, :, ::2] += 60
    images[labels == 1, ::2] += 60
    return images.clip(0, 255).astype(np.uint8), labels


def stripes_file(folder: Path, **kinds) -> Path:
    images, labels = stripes(**kinds)
    np.savez(folder / "stripes.npz", images=images, labels=labels)
    return folder / "stripes.npz"


def recipe(parts, **given):
    defaults = {
        "epochs": 3, "batch_size": 16, "optimiser": "auto", "lr": None, "weight_decay": None, "label_smoothing": 0.0,
        "augment": "none", "precision": "float32", "seed": 0,
    }  # fmt: skip
    return recipe_of(len(parts.train), parts.task, **defaults | given)


def conditions(*, events=False, size=8, channels=1, **given):
    parts = splits(stripes(size=size, channels=channels))
    space = SPACES["nasbench201"](**NARROW["nasbench201"])
    return Conditions(space, parts, recipe(parts, **given), torch.device("cpu"), events)


def network(cond, text=CELL, seed=0):
    return build(cond.space, cond.space.parse(text), cond.splits.task, seed)


class Chancy(nn.Module):
    """Draws from PyTorch's generator, Python's and NumPy's in training."""

    def __init__(self, classes=3, channels=1):
        super().__init__()
        self.stem = nn.Conv2d(channels, 6, 3, stride=2)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(6, classes)

    def forward(self, x):
        import random

        x = self.drop(torch.relu(self.norm(self.stem(x))).mean((2, 3)))
        if self.training:
            x = x * (1 + 0.1 * random.random()) + 0.1 * np.random.standard_normal()
        return self.head(x)
