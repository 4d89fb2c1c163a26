"""Linear regions that can be counted by hand."""

import pytest
import torch
from cases import make
from torch import nn

from nas.probe import Probe
from nas.proxy import Saturated
from proxies.linear_regions import linear_regions


def test_linear_regions_counts_the_pieces_of_a_line():
    """One hidden layer on one input: the kinks of three ReLUs cut the line into four pieces."""
    hidden = nn.Linear(1, 3)
    hidden.weight.data.fill_(1.0)
    hidden.bias.data.copy_(torch.tensor([0.0, -1.0, 1.0]))
    net = nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(3, 2))
    images = torch.linspace(-3, 3, 101).reshape(-1, 1, 1, 1)
    assert float(linear_regions(Probe(net, images, torch.zeros(101)))) == 4


def test_linear_regions_says_when_it_is_saturated():
    net, images, labels = make("plain")
    with pytest.raises(Saturated, match="every one of the 9 inputs"):
        linear_regions(Probe(net, images, labels))
