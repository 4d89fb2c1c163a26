"""What the probe measures once for all who ask, and whose error it is."""

import torch
from searches import DATA
from torch import nn

from nas.probe import Probe, measure
from nas.proxy import PROXIES


def test_one_pass_serves_all_who_ask_together(monkeypatch):
    passes = []
    original = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **kwargs: (passes.append(1), original(*args, **kwargs)))
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    names = ("gradalign_i", "gradalign_ii", "gradsign")
    values = measure(Probe(net, DATA.images, DATA.labels), {name: PROXIES[name] for name in names})
    assert len(passes) == 1
    for name in names:
        assert float(PROXIES[name](Probe(net, DATA.images, DATA.labels))) == float(values[name][0])
    assert len(passes) == 4


def test_a_function_that_two_hand_over_is_called_once():
    seen = []

    def weights(block):
        seen.append(block)
        return block.weight.numel()

    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    proxies = {"sum": lambda probe: sum(probe.map_blocks(weights)), "max": lambda probe: max(probe.map_blocks(weights))}
    found = measure(Probe(net, DATA.images, DATA.labels), proxies)
    assert [value for value, _ in found.values()] == [576, 576]
    assert len(seen) == 1


def test_an_error_belongs_to_the_proxy_that_made_it():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    wrong = lambda probe: sum(probe.map_blocks(lambda block: 1 / 0))  # noqa: E731
    right = lambda probe: sum(probe.map_blocks(lambda block: block.weight.numel()))  # noqa: E731
    no_relu = lambda probe: sum(probe.map_relus(len))  # noqa: E731
    found = measure(Probe(net, DATA.images, DATA.labels), {"wrong": wrong, "right": right, "no relu": no_relu})
    assert isinstance(found["wrong"][0], ZeroDivisionError)
    assert found["right"][0] == 576
    assert "no ReLU" in str(found["no relu"][0])


def test_a_proxy_may_ask_again_when_it_knows_more():
    def twice(probe):
        largest = max(probe.map_blocks(lambda block: float(block.gradients.abs().max())))
        return sum(probe.map_blocks(lambda block: int((block.gradients.abs() == largest).sum())))

    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    assert measure(Probe(net, DATA.images, DATA.labels), {"twice": twice})["twice"][0] == 1
