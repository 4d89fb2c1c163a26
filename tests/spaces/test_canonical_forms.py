"""Canonical forms of any architecture: their own, one for all that are isomorphic, and for no others."""

from collections import Counter
from random import Random

import networkx as nx
import pytest
from cases import SMALL
from hostile import quick
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from nas import graph
from nas.space import SPACES, is_leaf
from nas.testing.spaces import same_graph
from spaces.cells import CellSpace, staged
from spaces.nasbench101 import read

OPERATIONS = {
    "none": None,
    "skip": lambda channels: nn.Identity(),
    "pool": lambda channels: nn.AvgPool2d(1),
    "conv": lambda channels: nn.Conv2d(channels, channels, 1),
}
FIVE_NODES = CellSpace(5, OPERATIONS, staged((4,), 1)[0])
CELLS = st.tuples(*[st.sampled_from([(0,), (0,), (1,), (2,), (3,)])] * len(FIVE_NODES.edges))
"""Every other edge carries nothing, so that much is dead."""


def renamed(arch, order):
    """The cell whose interior nodes are called by their places in ``order``, or None where an edge would lead back."""
    place = {0: 0, 4: 4} | dict(zip((1, 2, 3), order, strict=True))
    option = {(place[i], place[j]): slot for (i, j), slot in zip(FIVE_NODES.edges, arch, strict=True) if slot != (0,)}
    if not all(i < j for i, j in option):
        return None
    return tuple(option.get(edge, (0,)) for edge in FIVE_NODES.edges)


def dead_weights(arch):
    """How many dead convolutions are fed and how many are starved."""
    cell = FIVE_NODES.graph(arch)
    alive, fed = graph.alive(cell.edges, 5), {0, *nx.descendants(cell, 0)}
    return Counter(i in fed for i, j, op in cell.edges(data="op") if not {i, j} <= alive and op == "conv")


@quick(150)
@given(CELLS, st.permutations([1, 2, 3]))
def test_a_cells_form_does_not_change_with_the_names_of_its_nodes(arch, order):
    other = renamed(arch, order)
    assume(other is not None)
    assert FIVE_NODES.canonical(other) == FIVE_NODES.canonical(arch)


@quick(250)
@given(CELLS, st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=3))
def test_two_cells_have_one_form_exactly_when_they_are_isomorphic(arch, changes):
    """The second is the first with up to three edges changed."""
    other = list(arch)
    for edge, option in changes:
        other[edge] = (option,)
    other = tuple(other)
    living = [graph.pruned(FIVE_NODES.graph(cell)) for cell in (arch, other)]
    isomorphic = dead_weights(arch) == dead_weights(other) and same_graph(*living)
    assert (FIVE_NODES.canonical(arch) == FIVE_NODES.canonical(other)) == isomorphic


@quick(100)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 10**6), max_size=3))
def test_two_modules_have_one_form_exactly_when_they_are_isomorphic(seed, changes):
    space = SPACES["nasbench101"](**SMALL["nasbench101"])
    arch = other = space.sample(Random(seed))
    for change in changes:
        other = space.mutate(other, Random(change))
    isomorphic = same_graph(*(graph.pruned(space.graph(module)) for module in (arch, other)))
    assert (space.canonical(arch) == space.canonical(other)) == isomorphic
    assert (read(arch).pruned().hash() == read(other).pruned().hash()) == isomorphic


@pytest.mark.parametrize("name", [name for name in SPACES if name != "networks"])
def test_a_canonical_form_is_an_architecture_and_its_own(name):
    space = SPACES[name](**SMALL.get(name, {}))

    @quick(40)
    @given(st.integers(0, 10**6), st.integers(0, 3))
    def check(seed, mutations):
        rng = Random(seed)
        arch = space.sample(rng)
        for _ in range(mutations):
            arch = space.mutate(arch, rng)
        canonical = space.canonical(arch)
        assert is_leaf(canonical)
        assert space.valid(canonical)
        assert space.canonical(canonical) == canonical
        assert space.canonical(space.parse(space.text(arch))) == canonical

    check()
