"""Which calls are ReLUs."""

from functools import partial

import pytest
import torch
from cases import Calling
from torch import nn
from torch.nn import functional as F

from nas.passes.footprint import Footprint
from nas.passes.intercept import Intercept
from nas.probe import Probe
from proxies.naswot import naswot

RECTIFIERS = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "nn.LeakyReLU": nn.LeakyReLU(0.1),
    "nn.LeakyReLU in place": nn.LeakyReLU(0.1, inplace=True),
    "F.relu": F.relu,
    "F.relu in place": partial(F.relu, inplace=True),
    "F.relu_": F.relu_,
    "F.relu6": F.relu6,
    "F.hardtanh": lambda x: F.hardtanh(x, min_val=0.0, max_val=6.0),
    "F.leaky_relu": F.leaky_relu,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": torch.Tensor.relu,
    "Tensor.relu_": torch.Tensor.relu_,
}


@pytest.mark.parametrize("name", RECTIFIERS)
def test_every_relu_is_seen_once(name):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), Calling(RECTIFIERS[name]), nn.Flatten(), nn.Linear(144, 3)).double()
    images, labels = torch.randn(6, 3, 8, 8, dtype=torch.float64), torch.arange(6) % 3
    active = (net[0](images) > 0).flatten(1)
    probe = Probe(net, images, labels)
    (pattern,) = probe.map_relus(lambda pattern: pattern)
    assert torch.equal(pattern, active)
    agreements = [[float((a == b).sum()) for a in active] for b in active]
    assert float(naswot(probe)) == pytest.approx(torch.tensor(agreements).double().logdet().item(), rel=1e-9)


def test_what_is_no_relu_is_not_seen():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Hardtanh(), nn.GELU(), nn.Linear(4, 3))
    with pytest.raises(ValueError, match="no ReLU"):
        naswot(Probe(net, torch.randn(6, 3, 8, 8), torch.arange(6) % 3))


def test_looks_at_the_flags_are_not_intercepted():
    """There are as many looks as a network has outputs, each at all of its tensors."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    footprint, seen = Footprint(net, {}), []
    own = nn.Parameter.requires_grad.__get__
    with Intercept({own: lambda tensor: seen.append(own) or own(tensor)}):
        assert footprint.flags() == [True] * (3 + 4) + [False] * 3
        assert not seen
        assert net[0].weight.requires_grad
        assert seen


@pytest.mark.parametrize("ask", ["map_modules", "map_relus", "map_convolutions", "map_blocks", "map_layers"])
def test_what_a_proxy_calls_in_the_middle_of_a_pass_is_its_own(ask):
    """Handlers are for the network's calls: in a pass that normalises by the batch, a proxy's own batch norm does as it
    is told."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    seen = []

    def look(_):
        ones = torch.ones(2, 1, 3, 3)
        with Intercept({torch.relu: seen.append}):  # a mode of its own
            torch.relu(ones)
        return float(F.batch_norm(ones, torch.zeros(1), torch.ones(1), eps=0.0).sum())

    answers = getattr(Probe(net, torch.randn(6, 3, 8, 8), torch.arange(6) % 3), ask)(look)
    assert len(seen) == len(answers) > 0
    assert set(answers) == {18.0}
