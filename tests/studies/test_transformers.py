"""The parts of a transformer's score."""

import numpy as np
import pytest
import torch
from cases import make

from nas.probe import Probe
from nas.proxy import PROXIES
from nas.space import Task
from nas.studies import (
    transformers,
)
from nas.testing import Transformers


def test_parts_of_a_transformer_add_up():
    torch.manual_seed(0)
    net = Transformers().build(((1,),), Task(3, 3, 8)).double()
    probe = Probe(net, torch.randn(9, 3, 8, 8, dtype=torch.float64), torch.arange(9) % 3)
    roles = {id(weight): flow.role for weight, flow in zip(probe.weights, probe.flow(), strict=True)}
    assert set(roles.values()) == {"attention", "mlp", "other"}
    proxy = PROXIES["gradalign_i"]
    parts = [
        float(transformers.on_part(proxy, {weight for weight, its in roles.items() if its == role}, probe))
        for role in ("attention", "mlp", "other")
    ]
    assert min(parts) > 0
    assert sum(parts) == pytest.approx(float(proxy(probe)))
    found = transformers.forms(probe, {name: PROXIES[name] for name in ("gradalign_i", "gradalign_ii")})
    assert found["gradalign_i, attention"] == parts[0]
    assert found["gradalign_i, mlp"] == parts[1]
    weights = sum(block for block in probe.map_blocks(lambda block: block.gradients.shape[1]))
    assert found["gradalign_i, per weight"] == pytest.approx(sum(parts) / weights)


def test_networks_without_attention_have_no_parts():
    net, images, labels = make("plain")
    found = transformers.forms(Probe(net, images, labels), {n: PROXIES[n] for n in ("gradalign_i", "gradalign_ii")})
    assert np.isnan([found["gradalign_i, attention"], found["gradalign_ii, mlp"]]).all()
    assert found["gradalign_i, one group"] > 0
