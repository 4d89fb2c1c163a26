"""Cells on a fixed graph: canonical forms against brute force, supernets, single channels."""

import math
import pickle
from collections import Counter, defaultdict
from itertools import permutations
from random import Random

import networkx as nx
import pytest
import torch
from torch import nn

from nas import graph
from nas.calls.settings import parse
from nas.errors import UsageError
from nas.scoring.measurer import build
from nas.space import SPACES, Task
from nas.testing.spaces import same_graph
from spaces.cells import CellSpace, staged


def small_space(nodes=4, edges=None):
    skeleton, thin = staged((4, 8), 1)
    conv = lambda channels: nn.Conv2d(channels, channels, 1)  # noqa: E731
    return CellSpace(nodes, {"none": None, "skip": lambda c: nn.Identity(), "conv": conv}, skeleton, edges, thin)


@pytest.mark.parametrize("edges", [None, [(0, 1), (0, 2), (1, 3), (2, 3), (1, 2)], [(0, 1), (1, 3), (0, 2), (2, 3)]])
def test_canonical_form_against_isomorphism(edges):
    """Two cells have one canonical form exactly when what is alive in them is isomorphic and what is dead holds the
    same operations with weights, fed and starved ones apart."""
    space = small_space(edges=edges)
    archs = list(space)
    alike = defaultdict(list)  # by what isomorphic cells have in common: classes of cells, found the slow way
    for arch in archs:
        cell, dead = graph.pruned(space.graph(arch)), dead_weights(space, arch)
        common = (*sorted(dead.items()), *sorted(op for *_, op in cell.edges(data="op")))
        for other, members in alike[common]:
            if same_graph(cell, other):
                members.append(arch)
                break
        else:
            alike[common].append((cell, [arch]))
    classes = [members for found in alike.values() for _, members in found]
    for members in classes:
        assert len({space.canonical(arch) for arch in members}) == 1
        assert space.canonical(members[0]) in members
    assert len({space.canonical(arch) for arch in archs}) == len(classes)


def dead_weights(space, arch):
    cell = space.graph(arch)
    alive, fed = graph.alive(cell.edges, space.nodes), {0, *nx.descendants(cell, 0)}
    return Counter(i in fed for i, j, op in cell.edges(data="op") if not {i, j} <= alive and op == "conv")


def test_canonical_form_does_not_change_with_the_names_of_nodes():
    space = small_space(nodes=5)
    rng = Random(0)
    for _ in range(100):
        arch = space.sample(rng)
        cell = space.graph(arch)
        for order in permutations(range(1, 4)):
            names = dict(zip(range(1, 4), order, strict=True)) | {0: 0, 4: 4}
            renamed = nx.relabel_nodes(cell, names)
            if all(i < j for i, j in renamed.edges):
                option = {"skip": 1, "conv": 2}
                other = tuple((option.get((renamed.get_edge_data(*e) or {"op": ""})["op"], 0),) for e in space.edges)
                assert space.canonical(other) == space.canonical(arch)


def test_a_cell_without_none_keeps_every_operation():
    skeleton, _ = staged((4,), 1)
    operations = {"skip": lambda c: nn.Identity(), "pool": lambda c: nn.AvgPool2d(1)}
    space = CellSpace(4, operations, skeleton, [(0, 1), (1, 3), (0, 2), (0, 3)])  # node 2 leads nowhere
    for arch in space:
        assert space.canonical(arch) in set(space)
        assert math.prod(len(options) for options in space.canonical(arch)) == 1


def test_an_open_slot_is_the_mean_of_its_options():
    space = small_space(nodes=2)
    task = Task(3, 4, 8)
    images = torch.randn(2, 4, 8, 8)
    conv = build(space, ((2,),), task).get_submodule("cell0-0").edges["0-1"]["conv"]
    outputs = [torch.zeros_like(images), images, conv(images)]
    for options in [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)]:
        cell = build(space, (options,), task).get_submodule("cell0-0")
        torch.testing.assert_close(cell(images), sum(outputs[option] for option in options) / len(options))


def test_a_cut_leaves_the_other_weights_of_the_supernet_as_they_were():
    space = small_space()
    full = build(space, space.full(), Task(3, 1, 8), seed=3).state_dict()
    for arch in [space.cuts(space.full())[4][2], *[space.sample(Random(s)) for s in range(5)]]:
        for name, value in build(space, arch, Task(3, 1, 8), seed=3).state_dict().items():
            assert torch.equal(value, full[name]), name


@pytest.mark.parametrize("edges", [[(0, 0)], [(1, 0)], [(0, 3)], [(0, 1), (0, 1)], []])
def test_edges_that_are_none(edges):
    with pytest.raises(ValueError, match="distinct pairs"):
        small_space(nodes=3, edges=edges)


def test_operations_that_one_channel_does_not_admit():
    """A user's operations see the skeleton's numbers of channels only, and keep their own initialisation."""

    def grouped(channels):
        return nn.Conv2d(channels, channels, 3, padding=1, groups=4)

    def silent(channels):
        convolution = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(convolution.weight)
        return convolution

    def scaled(channels):
        module = nn.Sequential(nn.Conv2d(channels, channels, 1))
        module.register_parameter("scale", nn.Parameter(torch.randn(channels)))
        return module

    skeleton, _ = staged((8, 16), 1)
    space = CellSpace(3, {"none": None, "grouped": grouped, "silent": silent, "scaled": scaled}, skeleton)
    assert {space.canonical(arch) for arch in space} <= set(space)
    full = build(space, space.full(), Task(3, 1, 8), seed=3)
    assert full.get_submodule("cell0-0.edges.0-1.silent").weight.abs().sum() == 0
    for arch in [space.sample(Random(s)) for s in range(5)]:
        for name, value in build(space, arch, Task(3, 1, 8), seed=3).state_dict().items():
            assert torch.equal(value, full.state_dict()[name]), name
    other = build(space, space.full(), Task(3, 1, 8), seed=4).state_dict()
    key = "cell0-0.edges.0-1.scaled.scale"
    assert not torch.equal(other[key], full.state_dict()[key])
    assert not torch.equal(full.state_dict()[key.replace("0-1", "0-2")], full.state_dict()[key])


@pytest.mark.parametrize("name", [name for name in SPACES if name != "networks"])
def test_published_spaces_go_to_other_processes(name):
    space = SPACES[name]()
    copy = pickle.loads(pickle.dumps(space))
    arch = space.sample(Random(0))
    assert copy.text(arch) == space.text(arch)
    assert copy.canonical(arch) == space.canonical(arch)


def test_an_open_architecture_without_a_supernet_is_refused():
    with pytest.raises(UsageError, match="leaves options open, and this space has no supernet"):
        parse(SPACES["nats_sss"](), "8/16:8:8:8:8")
