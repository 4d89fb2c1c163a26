"""The parts of a network, in the order in which they run."""

import torch
from torch import nn

from nas.passes.stages import Stage, stages


class Net(nn.Module):
    """Parts that are declared in another order than they run in, one of them twice, and a list that is never called."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.unused = nn.Linear(100, 100)
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()) for _ in range(3))

    def forward(self, x):
        x = self.stem(x)
        for block in (*self.blocks, self.blocks[0]):
            x = block(x)
        return self.head(x.mean((2, 3)))


def test_parts_in_the_order_of_the_pass():
    whole = stages(Net(), torch.zeros(1, 3, 8, 8))
    assert [stage.name for stage in whole] == [
        "stem.0", "stem.1", "blocks.0.0", "blocks.0.1", "blocks.1.0", "blocks.1.1", "blocks.2.0", "blocks.2.1", "head",
    ]  # fmt: skip
    assert whole[0] == Stage("stem.0", "Conv2d", (4, 6, 6), 112)
    assert whole[-1] == Stage("head", "Linear", (2,), 10)


def test_containers_stay_closed_where_there_would_be_too_many():
    parts = stages(Net(), torch.zeros(1, 3, 8, 8), most=4)
    assert [stage.name for stage in parts] == ["stem", "blocks.0", "blocks.1", "blocks.2", "head"]
    assert [stage.params for stage in parts] == [112, 20, 20, 20, 10]


def test_the_network_has_no_hooks_left():
    net = Net()
    stages(net, torch.zeros(1, 3, 8, 8))
    assert not any(module._forward_hooks for module in net.modules())
