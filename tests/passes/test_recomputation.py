"""Networks that recompute activations in the backward pass are measured as those that keep them."""

from functools import partial

import pytest
import torch
from odd_networks import Recomputing, RecomputingItself, alone, made
from references import blocks_of, relative_error
from torch.utils.checkpoint import checkpoint

from nas.probe import Probe, measure
from nas.proxy import PROXIES

NAMES = ("gradsign", "grad_norm", "fisher", "grasp", "jacov", "naswot", "synflow", "zico")


@pytest.mark.parametrize("reentrant", [True, False], ids=["reentrant", "not reentrant"])
def test_every_proxy_is_that_of_the_network_that_keeps_them(reentrant):
    plain, images, labels = made(partial(Recomputing, on=False))
    net, *_ = made(partial(Recomputing, reentrant=reentrant))
    proxies = {name: PROXIES[name] for name in NAMES}
    expected, values = (measure(Probe(n, images, labels), proxies) for n in (plain, net))
    for name in NAMES:
        assert float(values[name][0]) == pytest.approx(float(expected[name][0]), rel=1e-10), name


@pytest.mark.parametrize("reentrant", [True, False], ids=["reentrant", "not reentrant"])
def test_checkpointing_is_as_before(reentrant):
    """Nothing of torch is replaced after a visit."""
    net, images, labels = made(partial(Recomputing, reentrant=reentrant))
    measure(Probe(net, images, labels), {"gradsign": PROXIES["gradsign"]})
    calls = []
    x = torch.ones(2, requires_grad=True)
    checkpoint(lambda x: (calls.append(1), x * x)[1], x, use_reentrant=reentrant).sum().backward()
    assert len(calls) == 2
    assert x.grad.tolist() == [2, 2]


@pytest.mark.filterwarnings("ignore:gradients one image at a time, which is slow:UserWarning")
def test_a_recomputation_of_its_own_is_right_or_refused():
    net, images, labels = made(RecomputingItself)
    try:
        blocks = blocks_of(net, images, labels)
    except ValueError as error:
        assert "backward pass of its own" in str(error)  # noqa: PT017
    else:
        assert relative_error(blocks, alone(net, images, labels)) < 1e-9
