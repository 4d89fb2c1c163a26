"""NSGA-II's sorting against the definition, and what it finds against random search."""

from math import inf
from random import Random

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.searcher import SEARCHERS
from nas.space import SPACES, Space
from searchers.nsga2 import crowding, fitness_of

VECTORS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda t: tuple(map(float, t))), min_size=1, max_size=20
)


def dominates(a, b):
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


def fronts_by_definition(scores):
    left, fronts, number = dict(enumerate(scores)), {}, 0
    while left:
        front = [i for i, s in left.items() if not any(dominates(other, s) for other in left.values())]
        fronts |= dict.fromkeys(front, number)
        left = {i: s for i, s in left.items() if i not in front}
        number += 1
    return [fronts[i] for i in range(len(scores))]


@settings(max_examples=60, deadline=None)
@given(VECTORS)
def test_fronts_are_those_of_the_definition(scores):
    assert [front for front, _ in fitness_of(scores)] == fronts_by_definition(scores)


def test_failures_come_last():
    scores = [(0.0, 0.0), (-inf, -inf), (1.0, -1.0)]
    assert [front for front, _ in fitness_of(scores)] == [0, inf, 0]
    assert [front for front, _ in fitness_of([(-inf,), (-inf,)])] == [inf, inf]


def test_crowding_by_hand():
    values = np.array([[0.0, 4.0], [1.0, 3.0], [3.0, 1.0], [4.0, 0.0]])
    assert crowding(values).tolist() == [inf, 3 / 4 + 3 / 4, 3 / 4 + 3 / 4, inf]
    assert crowding(np.array([[1.0, 1.0]])).tolist() == [inf]
    assert crowding(np.ones((3, 2))).tolist()[1] == 0


def run(name, space, objectives, budget, seed):
    """The hypervolume of all that a searcher proposes, reference (0, 0)."""
    search, proposals = SEARCHERS[name].start(space, Random(seed), {})
    many, values = SEARCHERS[name].objectives == "many", []
    while len(values) < budget:
        scores = [objectives(arch) for arch in proposals[: budget - len(values)]]
        values += scores
        if len(values) < budget:
            proposals = search.send(scores if many else [sum(score) for score in scores])
    return moocore.hypervolume(np.array(values), ref=np.zeros(2), maximise=True)


def test_it_finds_a_better_front_than_random_search():
    """Two costs that pull apart on NAS-Bench-201: convolutions on the first edges, poolings on the last ones."""
    space = SPACES["nasbench201"]()
    weights = np.random.default_rng(0).random((2, 6, 5))

    def objectives(arch):
        return tuple(sum(w[slot, options[0]] for slot, options in enumerate(arch)) for w in weights)

    ours, random = (
        np.mean([run(name, space, objectives, 200, seed) for seed in range(5)]) for name in ("nsga2", "random_search")
    )
    assert ours > 1.02 * random


def test_nothing_is_proposed_twice_while_there_is_something_new():
    space = SPACES["nasbench201"]()
    search, proposals = SEARCHERS["nsga2"].start(space, Random(0), {"population": 20})
    forms = [space.canonical(arch) for arch in proposals]
    for _ in range(4):
        proposals = search.send([(float(sum(o[0] for o in arch)), -float(arch[0][0])) for arch in proposals])
        forms += [space.canonical(arch) for arch in proposals]
    assert len(set(forms)) == len(forms) == 100


def test_a_tiny_space_is_proposed_again():
    class Tiny(Space):
        slots = (("a", "b"),)

        def build(self, arch, task):
            raise AssertionError("a searcher never builds a network")

    search, proposals = SEARCHERS["nsga2"].start(Tiny(), Random(0), {"population": 4})
    assert len(search.send([(0.0, 0.0)] * len(proposals))) == 4


@pytest.mark.parametrize("option", [{"population": 1}, {"crossover": 1.5}])
def test_bounds(option):
    with pytest.raises(ValueError, match=r"nsga2\.(population|crossover) is at least"):
        SEARCHERS["nsga2"].start(SPACES["nasbench201"](), Random(0), option)
