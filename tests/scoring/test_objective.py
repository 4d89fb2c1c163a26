"""From the scores of several proxies to one number."""

import math
from itertools import pairwise, product
from random import Random

import numpy as np
import pytest
from hostile import quick
from hypothesis import given
from hypothesis import strategies as st
from searches import DATA

from nas.proxy import PROXIES, Proxy, combination
from nas.scoring.objective import Objective, quantile, reference_sample
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


FINITE = st.floats(allow_nan=False, allow_infinity=False)
SAMPLES = st.lists(FINITE | st.integers(-3, 3).map(float), min_size=1, max_size=12).map(sorted)


@quick(300)
@given(FINITE, FINITE, SAMPLES, st.integers(0, 3))
def test_quantiles_of_any_numbers_keep_their_order_between_0_and_1(first, second, reference, failed):
    low, high = (quantile(value, reference, failed) for value in sorted([first, second]))
    assert 0 < low <= high < 1
    assert math.isfinite(math.log(low))


@quick(300)
@given(SAMPLES, st.integers(0, 3))
def test_the_quantile_of_a_member_is_its_middle_place(reference, failed):
    for member in reference:
        places = [failed + place for place, other in enumerate(reference) if other == member]
        expected = (sum(places) / len(places) + 0.5) / (failed + len(reference))
        assert quantile(member, reference, failed) == pytest.approx(expected, rel=1e-12)


@quick(300)
@given(st.floats(-1e6, 1e6), st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9, unique=True).map(sorted))
def test_quantiles_within_the_sample_are_linear_between_members(value, reference):
    places = [(place + 0.5) / len(reference) for place in range(len(reference))]
    value = min(max(value, reference[0]), reference[-1])
    assert quantile(value, reference) == pytest.approx(float(np.interp(value, reference, places)), abs=1e-9)


@quick(200)
@given(st.floats(-1e100, 1e100), st.lists(st.floats(-1e100, 1e100), min_size=2, max_size=9, unique=True).map(sorted))
def test_quantiles_do_not_depend_on_the_unit(value, reference):
    """Powers of two, by which a number is multiplied exactly."""
    if reference[-1] - reference[0] > 1e-100 and min(abs(number) for number in (value, *reference)) > 1e-100:
        expected = quantile(value, reference)
        for unit in (2.0**-60, 2.0**60):
            assert quantile(unit * value, [unit * member for member in reference]) == expected


@pytest.mark.parametrize("values", [[-1e308, 0.0, 1e308], [0.0, 5e-324], [1.5e308] * 3, [-1.7e308, 1.7e308]])
def test_quantiles_of_numbers_at_the_ends_of_the_scale(values):
    for value in (*values, 1.7e308, -1.7e308, 0.0):
        assert 0 < quantile(value, values) < 1
    found = [quantile(value, values) for value in dict.fromkeys(values)]
    assert all(low < high for low, high in pairwise(found))


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


def test_the_reference_sample_is_no_searchers_and_its_members_are_no_known_trials():
    scorer = Scorer(narrow_space(), DATA, device="cpu")
    sample = reference_sample(scorer)
    assert sample == reference_sample(Scorer(narrow_space(), DATA, device="cpu", seed=3))
    for seed in range(5):
        rng = Random(seed)
        drawn = [scorer.space.sample(rng) for _ in sample]
        assert sum(one == other for one, other in zip(sample, drawn, strict=True)) < 3
    both = Objective(scorer, "params+depth")
    assert [outcome.cached for outcome in both([sample[0], sample[1], sample[0]])] == [False, False, True]
    assert next(both([sample[2]])).seconds > 0


@pytest.mark.parametrize("ranks", ["reference", "batch"])
def test_a_partial_combination_does_without_what_measures_nothing_here(ranks):
    """Dss measures transformers alone, so it is left out among cells, where all else is as without it."""
    space, archs = narrow_space(), [narrow_space().sample(Random(seed)) for seed in range(4)]

    def outcomes(expression):
        return list(Objective(Scorer(space, DATA, device="cpu"), expression, ranks=ranks)(archs))

    with PROXIES.put_back():
        combination("some", ("params", "dss", "flops"), partial=True)
        combination("all_of_them", ("params", "dss", "flops"))
        with pytest.warns(UserWarning, match=r"ranked without dss, which measures none of \d+ networks: .*attention"):
            some = outcomes("some")
        assert [outcome.score for outcome in some] == [outcome.score for outcome in outcomes("params+flops")]
        assert all(outcome.values["dss"] is None and outcome.status == "ok" for outcome in some)
        assert {outcome.status for outcome in outcomes("all_of_them")} != {"ok"}
        assert {outcome.status for outcome in outcomes("params+dss+flops")} != {"ok"}
        combination("none", ("dss", "w_pca"), partial=True)
        assert "dss: " in outcomes("none")[0].reason
