"""Networks that draw random numbers: the value without the draw, or a sentence; never a number of the draw."""

import random

import numpy as np
import pytest
import torch
from odd_networks import ALWAYS_DRAWING, QUIET_IN_EVALUATION, alone, made
from references import relative_error

from nas.probe import Probe, measure
from nas.proxy import PROXIES

BATCHED = ("grad_norm", "naswot", "fisher", "synflow", "jacov")


def seeded(seed):
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def blocks(net, images, labels):
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    found = Probe(net, images, labels).map_blocks(lambda block: (names[id(block.weight)], block.gradients.clone()))
    return dict(found)


def said(value):
    return str(value) if isinstance(value, Exception) else float(value)


def scores(net, images, labels, names):
    values = measure(Probe(net, images, labels), {name: PROXIES[name] for name in names})
    return {name: said(value) for name, (value, _) in values.items()}


@pytest.mark.filterwarnings("ignore:gradients one image at a time, which is slow:UserWarning")
@pytest.mark.parametrize("name", QUIET_IN_EVALUATION)
def test_per_sample_gradients_are_those_without_the_draw(name):
    net, images, labels = made(QUIET_IN_EVALUATION[name])
    found, expected = blocks(net, images, labels), alone(net.eval(), images, labels)
    layers = {weight: rows for weight, rows in expected.items() if not weight.startswith("recurrent")}
    assert relative_error(found, layers) < 1e-9


@pytest.mark.parametrize("name", QUIET_IN_EVALUATION)
def test_scores_are_those_without_the_draw_whatever_the_seed(name):
    net, images, labels = made(QUIET_IN_EVALUATION[name])
    seen = []
    for seed in (1, 2):
        seeded(seed)
        seen.append(scores(net.train(), images, labels, BATCHED))
    assert seen[0] == seen[1]
    values = {proxy: value for proxy, value in seen[0].items() if isinstance(value, float)}
    assert set(values) >= {"grad_norm", "fisher", "jacov"}  # the others refuse some of these networks
    quiet = scores(net.eval(), images, labels, BATCHED)  # it has no batch norm, so that nothing else changes
    assert values == pytest.approx({proxy: quiet[proxy] for proxy in values}, rel=1e-12)


@pytest.mark.parametrize("name", ALWAYS_DRAWING)
def test_what_draws_in_evaluation_mode_too_is_refused(name):
    net, images, labels = made(ALWAYS_DRAWING[name])
    for proxy, value in scores(net, images, labels, ("gradsign", *BATCHED)).items():
        assert "draws random numbers" in str(value), proxy


def test_the_draws_of_a_visit_are_undone():
    """Another network draws after it what it would have drawn without it."""
    net, images, labels = made(QUIET_IN_EVALUATION["stochastic depth"])
    seeded(5)
    expected = torch.rand(3), np.random.rand(), random.random()
    seeded(5)
    scores(net, images, labels, BATCHED)
    assert torch.equal(torch.rand(3), expected[0])
    assert (np.random.rand(), random.random()) == expected[1:]
