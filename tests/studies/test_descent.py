"""The descent lemma where it can be solved, and its steps."""

import numpy as np
import pytest
import torch
from cases import make, one_image_at_a_time
from studied import DATA, SETTINGS, TINY
from torch.nn import functional as F

import nas
import nas.calls.study
from nas.data.minibatch import minibatch
from nas.errors import UsageError
from nas.probe import Probe
from nas.scoring.scorer import Scorer
from nas.space import SPACES
from nas.studies import (
    descent,
)


def quadratic(eigenvalues):
    """½ wᵀ A w, its gradient, and a place to start."""
    rotation = torch.linalg.qr(torch.randn(len(eigenvalues), len(eigenvalues), dtype=torch.float64)).Q
    matrix = rotation @ torch.tensor(eigenvalues, dtype=torch.float64).diag() @ rotation.T
    start = rotation.sum(1)  # as much along each eigenvector
    return lambda w: ((w[0] @ matrix @ w[0]).item() / 2, [matrix @ w[0]]), [start]


def test_the_bound_holds_on_a_quadratic_and_breaks_beyond_its_premise():
    torch.manual_seed(0)
    function, start = quadratic([0.1, 0.5, 4.0])
    tenth, whole, beyond = descent.one_step(function, start, [0.1, 1.0, 2.5])
    assert whole.curvature == pytest.approx(4.0, rel=1e-6)
    assert whole.rate == pytest.approx(0.25, rel=1e-6)
    for step in (tenth, whole):
        assert step.holds
        after, _ = function([start[0] - step.rate * function(start)[1][0]])
        assert step.decrease == pytest.approx(step.loss - after)
        assert step.guaranteed == pytest.approx(step.rate / 2 * function(start)[1][0].square().sum().item())
    assert tenth.premise
    assert not beyond.premise
    assert not beyond.holds


def test_smoothness_met_on_the_way_is_that_of_the_steepest_part():
    """Flat at first, then with curvature 8: the power method at the start does not see it, the way does."""

    def function(w):
        (x,) = w[0].tolist()
        beyond = min(x - 0.5, 0.0)
        return x**2 / 2 + 4 * beyond**2, [torch.tensor([x + 8 * beyond], dtype=torch.float64)]

    (step,) = descent.one_step(function, [torch.ones(1, dtype=torch.float64)], [1.0])
    assert step.curvature == pytest.approx(1, rel=1e-6)
    assert step.secant == pytest.approx((1 + 8 * 0.5) / 1)  # at x = 0 the gradient has changed by 1 + 4
    assert not step.premise


def test_a_loss_that_feels_no_weight_takes_no_step():
    weights = [torch.ones(3, dtype=torch.float64)]
    assert descent.one_step(lambda w: (1.0, [torch.zeros_like(w[0])]), weights, [0.1, 1.0]) == []
    cut_off, whole = ["nats:0,0,0,0,0,0", "nats:3,3,3,0,0,0"], "nats:3,3,3,3,3,3"
    given = {"data": DATA, "batch_size": 12, "proxies": "params", "settings": SETTINGS}
    found = nas.study("descent", archs=[*cut_off, whole], **given).frames
    assert set(found["bound"]["arch"]) == {found["training"]["arch"][2]}
    assert (found["training"]["guaranteed"] > 0).tolist() == [False, False, True]
    with pytest.raises(UsageError, match="the loss of none of these networks changes with its weights"):
        nas.study("descent", archs=cut_off, **given)


@pytest.mark.parametrize("name", ["plain", "residual", "tokens"])
def test_the_loss_is_the_one_of_the_per_sample_gradients(name):
    net, images, labels = make(name)
    probe = Probe(net, images, labels)
    before = [weight.detach().clone() for weight in probe.weights]
    loss, gradients = descent.sample_loss(net, probe.weights, images, labels)(before)
    net.train()
    alone = [F.cross_entropy(net(x[None]), y[None]).item() for x, y in zip(images, labels, strict=True)]
    assert loss == pytest.approx(np.mean(alone))
    assert all(torch.equal(a, b) for a, b in zip(probe.weights, before, strict=True))
    rows = torch.cat(list(one_image_at_a_time(net, images, labels).values()), 1)
    found = descent.conflict(probe)
    mean = rows.mean(0)
    assert found["squared"] == pytest.approx((mean @ mean).item())
    assert found["squared"] == pytest.approx(sum(g.square().sum().item() for g in gradients))
    assert found["own"] == pytest.approx(rows.square().sum().item() / len(rows) ** 2)
    assert found["own"] + found["cross"] == pytest.approx(found["squared"])
    assert found["alignment"] == pytest.approx((mean @ mean / rows.square().sum(1).mean()).item())


def test_first_steps_are_those_of_plain_gradient_descent():
    data = minibatch(DATA, 12)
    scorer = Scorer(SPACES["nasbench201"](**TINY), data, device="cpu")
    arch = ((3,),) * 6
    net = descent.network(scorer, arch)
    decrease = descent.first_steps(net, scorer, 3, 0.1)
    slow = descent.network(scorer, arch).train()
    before = F.cross_entropy(slow(data.images), data.labels).item()
    for _ in range(3):
        slow.zero_grad()
        F.cross_entropy(slow(data.images), data.labels).backward()
        with torch.no_grad():
            for parameter in slow.parameters():
                parameter -= 0.1 * parameter.grad
    assert decrease == pytest.approx(before - F.cross_entropy(slow(data.images), data.labels).item(), abs=1e-4)
    assert decrease > 0.01
