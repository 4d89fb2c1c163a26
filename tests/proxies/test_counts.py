"""Parameters, multiply-accumulates and depth by hand."""

import torch
from torch import nn

from nas.probe import Probe
from nas.space import SPACES, Task
from proxies.counts import convolutions, depth, flops, params, width


def test_counts_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4, padding=1),
        nn.Flatten(), nn.Linear(8 * 16, 5),
    )  # fmt: skip
    probe = Probe(net, torch.randn(2, 3, 8, 8), torch.zeros(2))
    assert params(probe) == (8 * 27 + 8) + 16 + (8 * 18 + 8) + (640 + 5)
    assert flops(probe) == 16 * 8 * 27 + 16 * 8 * 18 + 640
    assert depth(probe) == 2
    assert convolutions(probe) == 2


def test_depth_follows_the_longest_path():
    space = SPACES["nasbench201"](widths=(4, 8), repeats=2)
    expected = {  # convolutions on the longest path of a cell, by eye
        "nats:3,3,3,3,3,3": 3,
        "nats:1,1,1,1,1,1": 0,
        "nats:2,0,0,0,3,0": 2,
        "nats:2,0,0,1,0,0": 0,  # the convolution leads nowhere
        "nats:0,0,3,1,0,3": 0,  # the convolutions come from nowhere
    }
    for text, of_cell in expected.items():
        probe = Probe(space.build(space.parse(text), Task(10)), torch.randn(1, 3, 8, 8), torch.zeros(1))
        assert depth(probe) == 1 + 2 * of_cell + 2 + 2 * of_cell, text


def test_convolutions_of_every_branch_count_and_width_is_that_of_the_last_block():
    space = SPACES["nasbench201"](widths=(4, 8), repeats=2)
    for text, of_cell in {"nats:3,3,3,3,3,3": 6, "nats:1,1,1,1,1,1": 0, "nats:2,0,0,1,0,0": 1}.items():
        probe = Probe(space.build(space.parse(text), Task(10)), torch.randn(2, 3, 8, 8), torch.zeros(2).long())
        assert convolutions(probe) == 1 + 4 * of_cell + 3, text  # the stem, and a reduction's three
        assert width(probe) == 8
