"""Genotypes of DARTS and NDS."""

import json
from itertools import permutations
from random import Random

import pytest
import torch
from cases import DARTS_V2, SMALL, counted

from nas.searcher import SEARCHERS
from nas.space import SPACES, Task, is_leaf
from nas.testing.spaces import same_graph


@pytest.mark.parametrize("name", ["darts", "nds_nasnet", "nds_pnas"])
def test_genotypes_with_renamed_nodes_are_the_same(name):
    space, rng = SPACES[name](**SMALL[name]), Random(0)
    nodes = space.nodes
    for _ in range(10):
        arch = space.sample(rng)
        for order in permutations(range(nodes)):
            other = renamed_cells(space, arch, order)
            if other is not None:
                assert space.canonical(other) == space.canonical(arch)
                assert same_graph(space.graph(other), space.graph(arch))


def renamed_cells(space, arch, order):
    """Both cells with their nodes in another order and each node's inputs swapped, or None where that is no cell."""
    place = {0: 0, 1: 1} | {2 + old: 2 + new for new, old in enumerate(order)}
    slots = []
    for cell in range(2):
        values = [option for (option,) in arch[cell * space.cell_slots : (cell + 1) * space.cell_slots]]
        nodes = [values[4 * old : 4 * old + 4] for old in order]
        for new, (p, o, q, r) in enumerate(nodes):
            if max(place[p], place[q]) >= 2 + new:
                return None
            slots += [place[q], r, place[p], o]
    return tuple((value,) for value in slots)


def test_genotypes_are_read_as_they_are_published():
    space = SPACES["darts"]()
    arch = space.parse(DARTS_V2)
    assert space.parse(DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)")) == arch
    assert space.valid(arch)
    twice = DARTS_V2.replace("('sep_conv_3x3', 1)", "('sep_conv_3x3', 0)", 1)  # tables hold such; DARTS derives none
    assert not space.valid(space.parse(twice))
    assert counted(space, twice)[0] == 3_349_342
    enas = SPACES["nds_enas"]()
    other = enas.sample(Random(3))
    record = json.loads(enas.notations(other)["nds"])
    assert enas.parse(json.dumps(record)) == other
    record["genotype"]["normal_concat"] = [2, 3]
    with pytest.raises(ValueError, match=r"normal_concat is \[2, 3\], in this space the cell gives"):
        enas.parse(json.dumps(record))


@pytest.mark.parametrize("name", ["darts", "nds_darts", "nds_enas", "nds_nasnet", "nds_amoeba", "nds_pnas"])
def test_pruning_ends_with_two_inputs_a_node(name):
    options = {"width": 4, "depth": 3} if name == "darts" else {"widths": (4,), "depths": (3,)}
    space, rng = SPACES[name](**options), Random(0)
    search, proposals = SEARCHERS["pruning"].start(space, rng, {})
    while not is_leaf(proposals[-1]):
        proposals = search.send([rng.random() for _ in proposals])
    (found,) = proposals
    assert space.valid(found)
    fields = space.text(found)
    assert "none" not in fields
    assert space.build(found, Task(3, 1, 8))(torch.randn(2, 1, 8, 8)).shape == (2, 3)


def test_a_mixed_input_is_the_mean_of_its_operations():
    space = SPACES["darts"](width=4, depth=1)
    arch = space.full()
    cell = space.build(arch, Task(3, 3, 8)).cells[0]
    inside = cell.nodes[2][1].eval()  # of the third node, which has four predecessors, of which two are to be halved
    values = [torch.randn(2, 8, 8, 8)] * 2 + [torch.randn(2, 8, 4, 4)] * 2
    outputs = [operation(values[int(p)]) for p, operations in inside.items() for operation in operations.values()]
    assert len(outputs) == 4 * 8
    torch.testing.assert_close(inside(values), sum(outputs) / 32)
