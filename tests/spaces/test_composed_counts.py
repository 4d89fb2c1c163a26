"""The counts that spaces compose of their parts are those of the networks that they build."""

from random import Random

import pytest
import torch

from nas.probe import Probe
from nas.space import SPACES, Task

TASK = Task(10, 3, 32)
SPACES_AND_SETTINGS = [
    ("nasbench201", {}),
    ("nasbench201", {"widths": (5, 7), "repeats": 2}),
    ("nasbench101", {"stem": 16}),
    ("nasbench101", {"stem": 8, "modules": 1}),
    ("nasbench_macro", {}),
    ("nats_sss", {}),
    ("nds_darts", {}),
    ("nds_nasnet", {}),
    ("nds_amoeba", {}),
    ("nds_pnas", {}),
    ("nds_enas", {}),
    ("darts", {}),
    ("mnasnet", {"last": 40}),
    ("multi_resolution", {"widths": (8, 24), "most": 2}),
    ("transnas_micro", {"width": 6, "macro": "1234"}),
]


def of(net, task):
    probe = Probe(net, torch.zeros(1, task.channels, task.size, task.size, device="meta"), torch.zeros(1))
    return probe.params, probe.trace.flops, probe.trace.depth


@pytest.mark.parametrize(("name", "settings"), SPACES_AND_SETTINGS)
@pytest.mark.parametrize("task", [TASK, Task(7, 1, 28)])
def test_they_are_the_built_networks(name, settings, task):
    space, rng = SPACES[name](**settings), Random(1)
    for _ in range(2):
        arch = space.sample(rng)
        with torch.device("meta"):
            expected = of(space.build(arch, task), task)
        assert space.counts(arch, task) == expected
