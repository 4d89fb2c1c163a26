"""A pass leaves the network as it was, also where it is broken off."""

from functools import partial

import pytest
import torch
from cases import make
from torch import nn

from nas.passes.batch import visit_batch, visit_halves
from nas.passes.linearised import visit_flow
from nas.passes.outputs import visit_outputs
from nas.passes.scalars import visit_scalars
from nas.probe import Probe, measure
from nas.proxy import PROXIES

PASSES = {  # pass -> the kinds of visitors it has
    "batch": (visit_batch, ("relus", "features", "input", "gradients", "curvature", "layers")),
    "halves": (visit_halves, ("gradients",)),
    "outputs": (
        lambda net, images, _, visits: visit_outputs(net, images, visits),
        ("convolutions", "variances"),
    ),
    "last": (lambda net, images, _, visits: visit_outputs(net, images, visits), ("last",)),
    "flow": (lambda net, images, _, visits: visit_flow(net, images, visits), ("flow",)),
    "scalars": (lambda net, images, _, visits: visit_scalars(net, images, visits), ("scalars",)),
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


def test_a_pass_that_fails_for_one_serves_the_others():
    class Changed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

        def forward(self, x):
            y = self.conv(x).relu().mean((2, 3))
            return self.head(y * nn.functional.pdist(y).mean())

    images, labels = torch.randn(6, 3, 8, 8), torch.arange(6) % 3
    torch.manual_seed(0)
    net = Changed()
    names = ("grad_norm", "grasp", "naswot", "jacov")
    found = measure(Probe(net, images, labels), {name: PROXIES[name] for name in names})
    assert "no second derivative" in str(found["grasp"][0])
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
