"""SWAP against the set of patterns."""

import pytest
import torch
from cases import make, training
from references import EVERY
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from nas.probe import Probe
from proxies.swap import swap


class Patterns(TorchDispatchMode):
    """The signs that every ReLU is given, seen where torch computes it: a list of [samples][units]."""

    RELUS = (torch.ops.aten.relu, torch.ops.aten.relu_)

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in self.RELUS:
            self.found.append([[value > 0 for value in row] for row in args[0].flatten(1).tolist()])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("images", [3, 16])
@pytest.mark.parametrize("name", EVERY)
def test_swap(name, images):
    net, batch, _ = make(name)
    with Patterns() as patterns, torch.no_grad():
        training(net)(batch[:images])
    columns = {column for layer in patterns.found for column in zip(*layer, strict=True)}
    assert swap(Probe(*make(name)), images=images) == len(columns)


@pytest.mark.parametrize("images", [16, 17, 48])
def test_swap_of_more_images_than_are_marked(images):
    net, batch, labels = make("plain", samples=48)
    with Patterns() as patterns, torch.no_grad():
        training(net)(batch[:images])
    columns = {column for layer in patterns.found for column in zip(*layer, strict=True)}
    assert swap(Probe(make("plain")[0], batch, labels), images=images) == len(columns)


def test_swap_fails_without_relus():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Tanh(), nn.Linear(4, 3))
    with pytest.raises(ValueError, match="no ReLU"):
        swap(Probe(net, torch.randn(4, 3, 8, 8), torch.arange(4) % 3))
