"""From the scores of several proxies to one number."""

import math
from itertools import pairwise, product
from random import Random

import numpy as np
import pytest
from searches import DATA

from nas.proxy import Proxy
from nas.scoring.objective import Objective, quantile
from nas.scoring.scorer import Scorer
from nas.testing import narrow_space


def test_quantile_is_strictly_increasing_and_right_at_the_members():
    reference = sorted([3.0, 1.0, 2.0, 2.0, 10.0])
    grid = sorted([*np.linspace(-5, 30, 200).tolist(), *reference])
    found = [quantile(value, reference) for value in dict.fromkeys(grid)]
    assert all(0 < q < 1 for q in found)
    assert all(low < high for low, high in pairwise(found))
    assert quantile(1.0, reference) == pytest.approx(0.1)
    assert quantile(2.0, reference) == pytest.approx(0.4)
    assert quantile(10.0, reference) == pytest.approx(0.9)
    assert quantile(-math.inf, reference) < quantile(1.0, reference, failed=2)
    assert 0 < quantile(-1e12, reference) < quantile(-1e11, reference)
    assert quantile(1e11, reference) < quantile(1e12, reference) < 1


def test_a_combination_is_monotone_in_each_part_and_does_not_depend_on_the_batch():
    toy = narrow_space()
    archs = [toy.sample(Random(s)) for s in range(6)]
    objective = Objective(Scorer(toy, DATA, device="cpu"), "params+depth")
    together = [outcome.score for outcome in objective(archs)]
    alone = [next(iter(Objective(Scorer(toy, DATA, device="cpu"), "params+depth")([a]))).score for a in archs[:2]]
    assert together[:2] == alone
    values = [outcome.values for outcome in objective(archs)]
    for i, j in product(range(6), repeat=2):
        if values[i]["params"] > values[j]["params"] and values[i]["depth"] >= values[j]["depth"]:
            assert together[i] > together[j]


def test_ranks_within_the_batch_are_those_of_te_nas():
    toy = narrow_space()
    archs = [toy.sample(Random(s)) for s in range(5)]
    objective = Objective(Scorer(toy, DATA, device="cpu"), "te_nas", ranks="batch")
    outcomes = list(objective(archs))
    ntk, regions = ([o.values[name] for o in outcomes] for name in ("ntk", "linear_regions"))
    if all(o.status == "ok" for o in outcomes):
        expected = [sum(a >= b for b in regions) + sum(c <= d for d in ntk) for a, c in zip(regions, ntk, strict=True)]
        assert np.argsort([o.score for o in outcomes]).tolist() == np.argsort(expected).tolist()


def test_smaller_is_better_is_turned_round():
    Small = Proxy("small", lambda probe: 2.0, larger_is_better=False)  # noqa: N806
    toy = narrow_space()
    objective = Objective(Scorer(toy, DATA, device="cpu"), "params")
    objective.proxies = [Small]
    (outcome,) = objective([toy.sample(Random(0))])
    assert (outcome.score, outcome.values) == (-2.0, {"small": 2.0})
