"""What is perturbed, put back and summed up."""

import numpy as np
import pandas as pd
import pytest
import torch
from studied import material

from nas.probe import Probe
from nas.proxy import PROXIES
from nas.statistics import ranks as stats
from nas.studies import (
    _toy,
    perturbation,
)
from nas.studies._regions import regions


def test_perturbed_networks_are_put_back_and_scored_as_ever():
    given = material(("gradalign_i", "naswot", "linear_regions"))
    frame = perturbation.measured_moves(given, (1e-2,), 2)
    scorer = given.scorer()
    for arch, text in zip(given.archs, given.texts, strict=True):
        scores = scorer([arch], given.proxies[:2])[0]
        for name in ("gradalign_i", "naswot"):
            rows = frame[(frame["arch"] == text) & (frame["proxy"] == name)]
            assert len(rows) == 4
            assert set(rows["before"]) == {scores[name].value}
    assert set(frame["perturbation"]) == {perturbation.ONE, "0.01"}
    assert (frame["after"] != frame["before"]).mean() > 0.5
    assert frame.notna().all(axis=None)


def test_what_is_perturbed():
    weights = [torch.arange(1.0, 7).view(2, 3), torch.tensor([[2.0]])]
    before = [weight.clone() for weight in weights]
    for seed in range(10):
        perturbation.move_one(weights, torch.Generator().manual_seed(seed))
        moved = [(a - b) for a, b in zip(weights, before, strict=True)]
        (layer,) = [number for number, change in enumerate(moved) if change.any()]
        assert moved[layer].count_nonzero() == 1
        assert moved[layer].sum().item() == pytest.approx(before[layer].square().mean().sqrt().item(), rel=1e-5)
        perturbation.restore(weights, before)
    large = [torch.full((200, 200), 3.0)]
    perturbation.add_noise(0.1, large, torch.Generator().manual_seed(0))
    assert (large[0] / 3 - 1).std().item() == pytest.approx(0.1, rel=0.02)


def test_summary_of_moves():
    rows = [("a", 10.0, 11.0), ("b", 20.0, 20.0), ("c", -30.0, 30.0), ("d", np.nan, 1.0)]
    moves = pd.DataFrame(
        [(arch, "naswot", "one weight", 0, before, after) for arch, before, after in rows],
        columns=["arch", "proxy", "perturbation", "repeat", "before", "after"],
    )
    (row,) = perturbation.summary_of(moves).itertuples()
    assert row.relative == pytest.approx(0.1)  # of 0.1, 0 and 2
    assert row.spreads == pytest.approx(1 / 25)  # quartiles at -10 and 15
    assert row.moved == pytest.approx(2 / 3)
    assert row.failed == 1
    assert row.kendall == pytest.approx(stats.kendall(np.array([10, 20, -30, -np.inf]), np.array([11, 20, 30, 1.0])))


def test_the_toy_counts_its_regions_and_is_put_back():
    net, data = _toy.toy(6, 0)
    before = net[1].weight.clone()
    proxies = [PROXIES["gradalign_i"], PROXIES["linear_regions"]]
    path = _toy.path_of_one(net, data, proxies, 5)
    assert list(path) == ["moved", "regions", "gradalign_i"]
    assert path["moved"].tolist() == [-4, -2, 0, 2, 4]
    assert path["regions"][2] == len(regions(net, _toy.RADIUS))
    turns = _toy.each_in_turn(net, data, proxies)
    assert torch.equal(net[1].weight, before)
    assert turns["weight"].tolist() == list(range(12))
    with torch.no_grad():
        net[1].weight[1, 0] += before.square().mean().sqrt()
    after = float(PROXIES["gradalign_i"](Probe(net, *data)))
    assert turns["gradalign_i"][2] == pytest.approx(abs(after / path["gradalign_i"][2] - 1))
    assert turns["regions"][2] == pytest.approx(abs(len(regions(net, _toy.RADIUS)) / path["regions"][2] - 1))
    assert set(np.bincount(data[1].numpy()) > 15) == {True}
