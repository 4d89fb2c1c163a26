"""GradAlign-I and -II against loops over samples and weights."""

import math

import numpy as np
import pytest
import torch
from cases import NETWORKS
from references import gradients
from torch import nn

from nas.probe import Probe, measure
from nas.scoring.measurer import build
from nas.space import SPACES, Task
from proxies.gradalign import gradalign_i, gradalign_ii


def directed(vector, direction):
    if direction == "sign":
        return np.sign(vector)
    length = math.sqrt(sum(x * x for x in vector))
    return vector / length if direction == "unit" and length else vector


def groups_of(labels, per_class):
    return [np.flatnonzero(labels.numpy() == c) for c in range(3)] if per_class else [np.arange(len(labels))]


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize("direction", ["sign", "unit", "raw"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradalign(name, direction, per_class):
    probe, rows = gradients(name)
    first = second = 0.0
    for members in groups_of(probe.labels, per_class):
        average = directed(rows[members].mean(0), direction)
        first += sum(float(np.dot(directed(rows[i], direction), average)) for i in members) / len(members)
        gram = [
            [float(np.dot(directed(rows[i], direction), directed(rows[j], direction))) for j in members]
            for i in members
        ]
        second += np.linalg.slogdet(np.array(gram) + 1e-3 * np.eye(len(members)))[1]
    options = {"direction": direction, "per_class": per_class}
    assert float(gradalign_i(probe, **options)) == pytest.approx(first, rel=1e-6)
    assert float(gradalign_ii(probe, **options)) == pytest.approx(second, rel=1e-6)


CHOSEN = {
    "all of a small minibatch": (list(range(10)) * 2, 20, list(range(20))),
    "four each of four classes out of ten": (list(range(10)) * 7, 16, [p for p in range(40) if p % 10 < 4]),
    "of three classes as many": (list(range(3)) * 8, 16, list(range(16))),
    "more classes where each has few": (list(range(10)) * 2, 16, [*range(8), *range(10, 18)]),
    "of one class where there are not four each": (list(range(4)) * 6, 3, [0, 4, 8]),
    "the first ones as one group": (list(range(10)) * 7, 16, list(range(16)), False),
    "of a minibatch in another order": ([5, 5, 5, 7, 7, 9, 5, 7, 9, 7, 9, 9], 8, [0, 1, 2, 3, 4, 6, 7, 9]),
}
"""Labels, how many images, the places that are taken; whether by class."""


@pytest.mark.parametrize("proxy", [gradalign_i, gradalign_ii])
@pytest.mark.parametrize("name", CHOSEN)
def test_a_score_is_that_of_the_images_which_are_taken(name, proxy):
    numbers, images, places, *per_class = CHOSEN[name]
    options = {"images": images, "per_class": not per_class}
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).double()
    inputs, labels = torch.randn(len(numbers), 3, 8, 8, dtype=torch.float64), torch.tensor(numbers)
    taken = proxy(Probe(net, inputs[places], labels[places]), per_class=not per_class, images=len(places))
    assert proxy(Probe(net, inputs, labels), **options).item() == taken.item()
    others = [place for place in range(len(numbers)) if place not in places]
    inputs[others] = torch.nan
    assert proxy(Probe(net, inputs, labels), **options).item() == taken.item()


def test_gradalign_by_hand():
    """One linear weight, two images of one class with opposite gradients and one that agrees with the first."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    nn.init.zeros_(net[1].weight)
    images = torch.tensor([1.0, -1.0, 2.0]).reshape(3, 1, 1, 1)
    probe = Probe(net, images, torch.tensor([0, 0, 0]))
    # the gradients are x * (-1/2, 1/2), their mean has x's mean 2/3: signs (-, +), (+, -), (-, +) against (-, +)
    assert float(gradalign_i(probe)) == pytest.approx((2 - 2 + 2) / 3)
    assert float(gradalign_i(probe, mean_per_weight=True)) == pytest.approx(1 / 3)
    signs = np.array([[-1, 1], [1, -1], [-1, 1]])
    assert float(gradalign_ii(probe)) == pytest.approx(np.linalg.slogdet(signs @ signs.T + 1e-3 * np.eye(3))[1])


def test_gradalign_hardly_moves_with_the_number_of_threads():
    """A sum in another order turns the signs of a few gradients that are zero but for rounding, if any."""
    space = SPACES["nasbench201"]()
    net = build(space, space.parse("nats:3,1,3,2,0,3"), Task(4))
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            values = measure(Probe(net, images, torch.arange(16) % 4), {"i": gradalign_i, "ii": gradalign_ii})
            found.append([float(value) for value, _ in values.values()])
    finally:
        torch.set_num_threads(before)
    for values in found[1:]:
        assert values == pytest.approx(found[0], rel=1e-5)
