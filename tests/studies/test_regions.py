"""Linear regions on a plane against a grid."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from nas.studies._regions import area, regions


def on_a_grid(net, radius, side):
    """Every activation pattern met on a grid: the slow way to look for regions."""
    ticks = torch.linspace(-radius, radius, side, dtype=torch.float64)
    return set(map(tuple, patterns(net, torch.cartesian_prod(ticks, ticks)).tolist()))


def patterns(net, points):
    found, x = [], points
    for module in net:
        x = module(x)
        if isinstance(module, nn.ReLU):
            found.append(x > 0)
    return torch.cat(found, 1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("widths", [(5,), (4, 4), (3, 4, 3)])
def test_regions_are_the_patterns_of_a_grid(widths, seed):
    torch.manual_seed(seed)
    sizes = (2, *widths)
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    net = nn.Sequential(nn.Flatten(), *layers, nn.Linear(sizes[-1], 2)).double()
    found = regions(net, 2.0)
    assert sum(area(region.corners) for region in found) == pytest.approx(16)
    middles = torch.tensor(np.array([region.corners.mean(0) for region in found]))
    there = list(map(tuple, patterns(net, middles).tolist()))
    assert len(set(there)) == len(there)
    grid = on_a_grid(net, 2.0, 301)
    assert grid <= set(there)
    missed = [area(r.corners) for r, pattern in zip(found, there, strict=True) if pattern not in grid]
    assert all(size < 2e-3 for size in missed), "the grid, 0.013 wide, misses slivers alone"
    for region, middle in zip(found, middles, strict=True):  # the map that goes with a region is the network's there
        np.testing.assert_allclose(region.slope @ middle.numpy() + region.shift, net(middle[None])[0].detach().numpy())
