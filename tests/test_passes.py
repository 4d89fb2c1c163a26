"""What a pass leaves behind, what it sees and refuses; other initialisations, and the proxies that see them."""

import math
from functools import partial

import pytest
import torch
from cases import make
from scipy.stats import kstest
from torch import nn
from torch.nn import functional as F

from nas import plugins
from nas.data.minibatch import minibatch
from nas.passes import batch as passes
from nas.passes.initialisation import initialise
from nas.passes.layers import seen_by_first_entry
from nas.probe import Probe, measure
from nas.proxy import PROXIES, Proxy
from nas.scoring.scorer import Scorer
from nas.space import SPACES
from proxies.naswot import naswot
from proxies.zero_cost import fisher

plugins.load()

PASSES = {  # pass -> the kinds of visitors it has
    "batch": (passes.visit_batch, ("relus", "features", "input", "gradients", "curvature", "layers")),
    "halves": (passes.visit_halves, ("gradients",)),
    "outputs": (
        lambda net, images, _, visits: passes.visit_outputs(net, images, visits),
        ("convolutions", "variances"),
    ),
    "last": (lambda net, images, _, visits: passes.visit_outputs(net, images, visits), ("last",)),
    "flow": (lambda net, images, _, visits: passes.visit_flow(net, images, visits), ("flow",)),
    "scalars": (lambda net, images, _, visits: passes.visit_scalars(net, images, visits), ("scalars",)),
}


def state(net, images):
    """Everything of a network and its images that a pass could change, tensors copied."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "modules": [(name, id(module), module.training) for name, module in net.named_modules()],
        "hooks": [list(getattr(module, kind).items()) for module in net.modules() for kind in hooks],
        "requires_grad": [p.requires_grad for p in (*net.parameters(), images)],
        "tensors": [(name, id(tensor)) for name, tensor in (*net.named_parameters(), *net.named_buffers())],
        "hooks of tensors": [len(p._backward_hooks or ()) for p in net.parameters()],
        "grads": [id(p.grad) for p in (*net.parameters(), images)],
        "modes": (torch.is_grad_enabled(), len(torch.overrides._get_current_function_mode_stack())),
        "kernels": (torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled()),
        "generator": torch.get_rng_state().tolist(),
        "values": [t.clone() for t in (*net.parameters(), *net.buffers(), images)],
        "gradients": [p.grad.clone() for p in net.parameters() if p.grad is not None],
    }


def used(name):
    """A network in the middle of something: modes and gradients of every kind, statistics that are not the first."""
    net, images, labels = make(name)
    net(images + 1)
    for number, parameter in enumerate(net.parameters()):
        parameter.requires_grad_(number % 3 > 0)
        parameter.grad = torch.randn_like(parameter) if number % 2 else None
    for number, module in enumerate(net.modules()):
        module.training = number % 2 > 0
    list(net.modules())[-1].register_forward_hook(lambda module, inputs, out: None)
    return net, images, labels


@pytest.mark.parametrize("ending", ["ends", "is broken off"])
@pytest.mark.parametrize("name", ["cells", "transformer"])
@pytest.mark.parametrize("kind", PASSES)
def test_the_network_is_as_before(kind, name, ending):
    visit, kinds = PASSES[kind]
    for broken in [None] if ending == "ends" else kinds:
        net, images, labels = used(name)
        before, seen = state(net, images), []

        def visitor(part, kind, seen=seen, broken=broken):
            seen.append(kind)
            if kind == broken:
                raise KeyError(kind)

        visits = {kind: partial(visitor, kind=kind) for kind in kinds}
        if broken is None or not sees(name, broken):
            visit(net, images, labels, visits)
            assert set(seen) == {kind for kind in kinds if sees(name, kind)}
        else:
            with pytest.raises(KeyError, match=broken):
                visit(net, images, labels, visits)
        after = state(net, images)
        for what in ("values", "gradients"):
            assert all(map(torch.equal, before.pop(what), after.pop(what))), what
        assert after == before


def sees(name, kind):
    return not (name == "transformer" and kind in ("variances", "last"))  # it has no batch norm, and ends in tokens


def scores_without_in_place(first, second, proxy):
    """The scores of a network that changes a convolution's output in place, and of one that does not."""
    scores = []
    for inplace in (False, True):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), first(inplace), nn.Conv2d(4, 4, 3), second(inplace),
                            nn.Flatten(), nn.Linear(64, 3)).double()  # fmt: skip
        images = 9 * torch.randn(6, 3, 8, 8, dtype=torch.float64)  # some units above 6
        scores.append(float(proxy(Probe(net, images, torch.arange(6) % 3))))
    return scores


@pytest.mark.parametrize(
    ("first", "second"),
    [(nn.ReLU, nn.ReLU), (nn.ReLU6, nn.ReLU), (nn.ReLU, lambda inplace: Calling(partial(F.relu6, inplace=inplace)))],
    ids=["twice", "ReLU6 first", "ReLU6 last"],
)
def test_fisher_where_a_relu_works_in_place_on_a_convolution(first, second):
    expected, found = scores_without_in_place(first, second, fisher)
    assert expected > 0
    assert found == pytest.approx(expected, rel=1e-12)


class Calling(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.mul_(2),
        lambda x: F.leaky_relu(x, 0.2, inplace=True),
        lambda x: F.hardtanh(x, -1, 1, inplace=True),
        lambda x: x.add_(1).relu_(),
        lambda x: F.relu6(x.mul_(2), inplace=True),
    ],
    ids=["product", "leaky ReLU", "hard tanh", "sum and ReLU", "product and ReLU6"],
)
def test_fisher_refuses_where_the_output_of_a_layer_is_lost(change):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), Calling(change), nn.Flatten(), nn.Linear(144, 3))
    with pytest.raises(RuntimeError, match="output of a layer is changed in place"):
        fisher(Probe(net, torch.randn(6, 3, 8, 8), torch.arange(6) % 3))


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


# Initialisations


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


def test_a_pass_that_fails_for_one_serves_the_others():
    class Changed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

        def forward(self, x):
            y = self.conv(x)
            y += 1
            return self.head(y.relu().mean((2, 3)))

    images, labels = torch.randn(6, 3, 8, 8), torch.arange(6) % 3
    torch.manual_seed(0)
    net = Changed()
    names = ("grad_norm", "fisher", "naswot", "jacov")
    found = measure(Probe(net, images, labels), {name: PROXIES[name] for name in names})
    assert "changed in place" in str(found["fisher"][0])
    for name in ("grad_norm", "naswot", "jacov"):
        ((alone, _),) = measure(Probe(net, images, labels), {name: PROXIES[name]}).values()
        assert torch.equal(found[name][0], alone), name


def test_a_network_that_does_not_depend_on_the_images():
    class Blind(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(torch.zeros(len(x), 4))

    probe = Probe(Blind(), torch.randn(6, 3, 8, 8), torch.arange(6) % 3)
    found = measure(probe, {name: PROXIES[name] for name in ("grad_norm", "jacov", "grasp")})
    assert float(found["grad_norm"][0]) == 0
    assert float(found["grasp"][0]) == 0
    assert "does not depend on some image" in str(found["jacov"][0])


@pytest.mark.parametrize("name", ["gradalign_i", "jacov", "naswot", "vkdnw", "meco", "zico", "flops"])
def test_a_network_that_writes_to_its_input(name):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.conv(x.mul_(2).add_(1)).relu().mean((2, 3)))

    torch.manual_seed(0)
    probe = Probe(Scaled(), torch.randn(6, 3, 8, 8), torch.arange(6) % 3)
    before = probe.images.clone()
    ((value, _),) = measure(probe, {name: PROXIES[name]}).values()
    assert not isinstance(value, Exception), value
    assert torch.equal(probe.images, before)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"padding": 1},
        {"padding": (0, 2), "stride": (2, 1)},
        {"padding": [1], "stride": [3], "dilation": 2},
        {"padding": "same", "dilation": (1, 3)},
        {"padding": "valid"},
    ],
    ids=str,
)
def test_what_the_first_entry_of_a_weight_sees(how):
    """The gain of the output with a weight that is zero but for that entry."""
    x, weight = torch.randn(2, 3, 9, 8, dtype=torch.float64), torch.zeros(4, 3, 2, 3, dtype=torch.float64)
    weight[0, 0, 0, 0] = 1
    out = F.conv2d(x, weight, None, **how)
    settings = {"stride": 1, "padding": 0, "dilation": 1} | how
    assert torch.equal(seen_by_first_entry(x, weight, out.shape, **settings), out[:, 0])


def test_a_weight_that_is_computed_from_others_is_a_stated_failure():
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
    for name in names[:-3]:
        assert "the weight of 0 is computed from other parameters" in str(found[name][0])
    for name in names[-3:]:  # which look at no weight, or at what it is computed from
        assert math.isfinite(float(found[name][0]))
    with pytest.raises(ValueError, match="the weight of 0 is computed"):
        initialise(make("weight normalisation")[0], "gaussian", 0)
