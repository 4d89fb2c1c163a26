"""Other initialisations, and the proxies that see them."""

import math

import pytest
import torch
from cases import make
from scipy.stats import kstest
from torch import nn

from nas.data.minibatch import minibatch
from nas.passes.initialisation import initialise
from nas.probe import Probe, measure
from nas.proxy import PROXIES, Proxy
from nas.scoring.scorer import Scorer
from nas.space import SPACES


def initialised(how, seed):
    torch.manual_seed(4)
    net = nn.Sequential(
        nn.Conv2d(3, 40, 3), nn.BatchNorm2d(40), nn.ReLU(), nn.Conv2d(40, 80, 3, groups=4), nn.GroupNorm(4, 80),
        nn.Flatten(), nn.Linear(80 * 16, 20), nn.LayerNorm(20), nn.BatchNorm1d(20), nn.Linear(20, 3, bias=False),
    )  # fmt: skip
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 2, 3)
    initialise(net, how, seed)
    return net


@pytest.mark.parametrize(("how", "scale"), [("gaussian", lambda inputs: 1), ("kaiming", lambda n: math.sqrt(2 / n))])
def test_initialisations_are_normal(how, scale):
    inputs = {"0": 27, "3": 90, "6": 1280, "9": 20}
    net = initialised(how, 7)
    for name, number in inputs.items():
        weights = net.get_submodule(name).weight.detach().flatten() / scale(number)
        assert kstest(weights, "norm").pvalue > 1e-3, name
    for name in ("0", "3", "6"):
        assert not net.get_submodule(name).bias.any()
    for name in ("1", "4", "7", "8"):
        norm = net.get_submodule(name)
        assert (norm.weight == 1).all()
        assert not norm.bias.any()


@pytest.mark.parametrize("kdim", [None, 40])
@pytest.mark.parametrize(("how", "scale"), [("gaussian", lambda inputs: 1), ("kaiming", lambda n: math.sqrt(2 / n))])
def test_initialisations_reach_the_projections_of_attention(how, scale, kdim):
    net = nn.ModuleDict({"attention": nn.MultiheadAttention(60, 2, kdim=kdim, vdim=kdim, add_bias_kv=True)})
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 2, 3)
    initialise(net, how, 7)
    weights = {name: p.detach() for name, p in net.named_parameters() if p.ndim == 2}
    assert len(weights) == (2 if kdim is None else 4)
    for name, weight in weights.items():
        assert kstest(weight.flatten() / scale(weight.shape[1]), "norm").pvalue > 1e-3, name
    assert not any(p.any() for p in net.parameters() if p.ndim != 2)


def test_an_initialisation_depends_on_the_seed_and_the_name_alone():
    before = torch.get_rng_state()
    generator = torch.random.get_rng_state()
    first, again, other = initialised("kaiming", 7), initialised("kaiming", 7), initialised("kaiming", 8)
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    for name in ("0", "3", "6", "9"):
        assert not torch.equal(first.get_submodule(name).weight, other.get_submodule(name).weight)
    shorter = nn.Sequential(nn.Conv2d(3, 40, 3), nn.Identity(), nn.Identity(), nn.Conv2d(10, 80, 3))
    torch.set_rng_state(before)
    initialise(shorter, "kaiming", 7)
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(shorter[3].weight, first[3].weight)


@pytest.mark.parametrize(("how", "scale"), [("gaussian", lambda inputs: 1), ("kaiming", lambda n: math.sqrt(2 / n))])
def test_a_proxy_sees_the_weights_that_it_declares(how, scale):
    seen = []

    def look(probe):
        layers = [module for module in probe.net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        seen.append(torch.cat([m.weight.detach().flatten() / scale(m.weight[0].numel()) for m in layers]))
        return sum(float(m.bias.abs().sum()) for m in layers if m.bias is not None)

    space = SPACES["nasbench201"](widths=(8, 16), repeats=1)
    declared = Proxy("declared", look, initialisation=how, initialisations=2)
    default = Proxy("default", look)
    scorer = Scorer(space, minibatch("synthetic:size=8,classes=4", 16, 0), device="cpu")
    (scores,) = scorer([((3,),) * 6], [default, declared])
    assert scores["declared"].value == 0
    own, *drawn = seen
    assert len(drawn) == 2
    assert not torch.equal(*drawn)
    assert all(kstest(weights, "norm").pvalue > 1e-3 for weights in drawn)
    assert kstest(own, "norm").pvalue < 1e-3


def test_a_weight_that_is_computed_from_others_is_not_drawn():
    names = (
        "grad_norm",
        "snip",
        "fisher",
        "grasp",
        "zico",
        "synflow",
        "vkdnw",
        "l2_norm",
        "naswot",
        "jacov",
        "gradalign_i",
    )
    found = measure(Probe(*make("weight normalisation")), {name: PROXIES[name] for name in names})
    assert "computed from others: its entries are not the network's own" in str(found.pop("vkdnw")[0])
    for value, _ in found.values():  # of what it is computed from, where it is the weight that counts
        assert math.isfinite(float(value))
    with pytest.raises(ValueError, match="the weight of 0 is computed"):
        initialise(make("weight normalisation")[0], "gaussian", 0)
