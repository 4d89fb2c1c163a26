"""NAS-Bench-201 against the published table, and canonical forms against brute force."""

import math
import pickle
from collections import Counter
from itertools import permutations, product
from random import Random

import networkx as nx
import pandas as pd
import pytest
import torch
from torch import nn

from nas import graph
from nas.calls.settings import parse
from nas.errors import UsageError
from nas.probe import Probe
from nas.report.cells import draw
from nas.scoring.measurer import build
from nas.space import SPACES, Task
from nas.testing.spaces import same_graph
from spaces.cells import CellSpace, staged

NASBENCH201 = SPACES["nasbench201"]()


def test_sizes():
    assert len(NASBENCH201) == 5**6
    assert len({NASBENCH201.canonical(arch) for arch in NASBENCH201}) == 9705
    disconnected = [arch for arch in NASBENCH201 if not graph.alive(NASBENCH201.graph(arch).edges, 4)]
    assert len(disconnected) == 341


def test_notations_agree():
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    arch = NASBENCH201.parse(text)
    for other in ("0", "index:0", "nats:4,2,1,2,1,1", "nats:(4, 2, 1, 2, 1, 1)", "naslib:[4,3,3,0,0,0]"):
        assert NASBENCH201.parse(other) == arch, other
    ordered = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    assert NASBENCH201.parse("nats:0,1,2,3,4,0") == NASBENCH201.parse(ordered)
    assert NASBENCH201.parse("naslib:1,0,2,3,4,1") == NASBENCH201.parse(ordered)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(4, 2, 1, 2, 1, 1)", "nats:"),  # two dialects would read it differently
        ("15625", "0 to 15624"),
        ("nats:5,0,0,0,0,0", "six numbers"),
        ("nats:0,0,0,0,0", "six numbers"),
        ("|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|", "did you mean 'nor_conv_"),
        ("|none~1|+|none~0|none~1|+|none~0|none~1|none~2|", "incoming edges of node 1"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|", "names 5 edges"),
        ("|none~0|+|none~0|none~1|", "2 groups"),
    ],
)
def test_what_is_no_architecture(text, reason):
    with pytest.raises(ValueError, match=reason):
        NASBENCH201.parse(text)


def test_parameters_and_flops_are_the_tables(nas_data):
    """Of 200 random cells here; of all of them in benchmarks/counts.py."""
    table = pd.read_csv(nas_data / "nasbench201.csv.gz").sample(200, random_state=0)
    for row in table.itertuples():
        arch = NASBENCH201.parse(row.arch)
        probe = Probe(build(NASBENCH201, arch, Task(10)), torch.zeros(1, 3, 32, 32), torch.zeros(1))
        assert probe.params == row.params
        assert probe.trace.flops + elementwise(row.arch) == row.flops


def elementwise(text):
    """What the table's tool counts beside multiply-accumulates: three for each output of a convolution (ReLU 1, batch
    norm 2), nine for each output of a 3 x 3 pooling, and a constant for the rest of the skeleton."""
    outputs = 5 * (16 * 32**2 + 32 * 16**2 + 64 * 8**2)
    return 3 * outputs * text.count("nor_conv") + 9 * outputs * text.count("avg_pool") + 160_832


def test_index_is_the_benchmarks(nas_data):
    table = pd.read_csv(nas_data / "nasbench201.csv.gz")
    assert [NASBENCH201.text(NASBENCH201.parse(str(index))) for index in table["index"]] == list(table["arch"])


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
    classes = []  # representatives, found the slow way
    for arch in archs:
        cell, dead = graph.pruned(space.graph(arch)), dead_weights(space, arch)
        for other, members in classes:
            if dead == dead_weights(space, other) and same_graph(cell, graph.pruned(space.graph(other))):
                members.append(arch)
                break
        else:
            classes.append((arch, [arch]))
    for _, members in classes:
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


def test_thin_copy_has_width_one():
    thin = NASBENCH201.thin()
    net = build(thin, thin.parse("nats:3,3,3,3,3,3"), Task(10, 1, 3))
    assert [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)] == [1] * 6 + [2] * 9 + [4] * 9
    assert net(torch.randn(5, 1, 3, 3)).shape == (5, 10)


@pytest.mark.parametrize("edges", [[(0, 0)], [(1, 0)], [(0, 3)], [(0, 1), (0, 1)], []])
def test_edges_that_are_none(edges):
    with pytest.raises(ValueError, match="distinct pairs"):
        small_space(nodes=3, edges=edges)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_drawing(tmp_path, suffix):
    draw(NASBENCH201.graph(NASBENCH201.parse("17")), tmp_path / f"cell{suffix}", "a cell")
    content = (tmp_path / f"cell{suffix}").read_bytes()
    assert len(content) > 2000
    assert content.startswith({".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}[suffix])


def test_alive_by_brute_force():
    edges = [(i, j) for j in range(5) for i in range(j)]
    for chosen in product([0, 1], repeat=len(edges)):
        present = [edge for edge, keep in zip(edges, chosen, strict=True) if keep]
        network = nx.DiGraph(present)
        network.add_nodes_from(range(5))
        paths = nx.all_simple_paths(network, 0, 4)
        assert graph.alive(present, 5) == {node for path in paths for node in path}


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
