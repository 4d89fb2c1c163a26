"""NAS-Bench-101 against its table and enumeration."""

import json
import math
from itertools import islice
from random import Random

import networkx as nx
import pandas as pd
import torch

from nas.space import SPACES
from spaces.nasbench101 import OPERATIONS, Module, Wired, read, widths


def test_nasbench101_is_counted_as_it_is_enumerated():
    """What belongs to the space, by the edges on simple paths; and the size, by the share of it among random leaves."""
    space, rng, belonging = SPACES["nasbench101"](), Random(0), 0
    for _ in range(1000):
        arch = tuple((rng.randrange(len(names)),) for names in space.slots)
        cell = nx.DiGraph(sorted(read(arch).edges))
        cell.add_nodes_from(range(7))
        paths = list(nx.all_simple_paths(cell, 0, 6))
        belongs = 0 < len({edge for path in paths for edge in nx.utils.pairwise(path)}) <= 9
        assert space.valid(arch) == belongs
        belonging += belongs
    share = space.size() / (2**21 * 3**5)
    assert abs(belonging / 1000 - share) < 4 * math.sqrt(share * (1 - share) / 1000)
    opened = [((0, 1),) * 21 + ((0,),) * 5, ((1,),) * 21 + ((0,),) * 5, ((0,),) * 21 + ((0,),) * 5]
    assert [space.valid(arch) for arch in opened] == [True, False, False]
    assert all(space.valid(arch) for arch in islice(space, 200))


def test_nasbench101_representatives_are_the_benchmarks(nas_data):
    """Canonical forms are the modules that the benchmark kept, and classes are those of its hash."""
    space, table = SPACES["nasbench101"](), pd.read_csv(nas_data / "nasbench101.csv.gz").head(500)
    for row in table.itertuples():
        arch = space.parse(row.arch)
        assert space.canonical(arch) == arch
        assert space.notations(arch)["hash"] == row.hash
    rng, classes = Random(0), {}
    for _ in range(300):
        arch = space.sample(rng)
        classes.setdefault(space.canonical(arch), set()).add(read(arch).pruned().hash())
    assert all(len(hashes) == 1 for hashes in classes.values())
    assert len(set.union(*classes.values())) == len(classes)


def test_nasbench101_renamed_vertices_change_nothing():
    space, rng = SPACES["nasbench101"](), Random(1)
    for _ in range(30):
        module = read(space.sample(rng)).pruned()
        renamed = list(module.in_order())
        assert len(renamed) <= math.factorial(len(module.operations))
        assert len({other.hash() for other in renamed}) == 1
        texts = [space_text(other) for other in renamed]
        assert len({space.canonical(space.parse(text)) for text in texts}) == 1


def space_text(module):
    size = module.last + 1
    matrix = [[int((i, j) in module.edges) for j in range(size)] for i in range(size)]
    return json.dumps({"matrix": matrix, "ops": ["input", *(OPERATIONS[o] for o in module.operations), "output"]})


def test_nasbench101_channels():
    """Concatenated vertices share the channels, the first get the rest; others are as wide as what they feed."""
    module = Module(frozenset({(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)}), (0, 1, 2))
    assert widths(module, 128, 128) == [128, 43, 43, 42, 128]
    inner = Module(frozenset({(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (0, 4)}), (0, 0, 1))
    assert widths(inner, 10, 25) == [10, 13, 13, 12, 25]
    net, images = Wired(inner, 10, 25).eval(), torch.randn(2, 10, 4, 4)
    with torch.no_grad():
        first = net.vertices["1"](net.projections["1"](images))
        second, third = net.vertices["2"](first), net.vertices["3"](first[:, :12])
        torch.testing.assert_close(net(images), torch.cat([second, third], 1) + net.projections["4"](images))
