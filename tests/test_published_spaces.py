"""The published spaces against their tables, their papers' numbers and brute force."""

import json
import math
from itertools import islice, permutations
from random import Random

import networkx as nx
import pandas as pd
import pytest
import torch
from cases import SMALL

import nas
from nas.errors import UsageError
from nas.graph import described
from nas.probe import Probe
from nas.report.cells import draw
from nas.searcher import SEARCHERS
from nas.space import SPACES, Task, is_leaf
from nas.testing.spaces import same_graph
from spaces.nasbench101 import OPERATIONS, Module, Wired, read, widths

TABLES = ("nasbench101", "nats_sss", "nasbench_macro")


def counted(space, text, task=Task(10)):  # noqa: B008
    """Parameters and multiply-accumulates of a network without weights."""
    with torch.device("meta"):
        net = space.build(space.parse(text), task)
        image = torch.zeros(1, task.channels, task.size, task.size)
    probe = Probe(net, image, torch.zeros(1))
    return probe.params, probe.trace.flops


@pytest.mark.parametrize("name", TABLES)
def test_parameters_and_flops_are_the_tables(name, nas_data):
    """Of 40 random networks here; of all of them in benchmarks/counts.py."""
    space = SPACES[name]()
    for row in pd.read_csv(nas_data / f"{name}.csv.gz", dtype={"arch": str}).sample(40, random_state=0).itertuples():
        params, flops = counted(space, row.arch)
        assert params == row.params, row.arch
        assert flops == getattr(row, "flops", flops), row.arch


@pytest.mark.parametrize("name", [*TABLES, "darts", "autoformer"])
def test_every_row_of_a_table_is_read_and_written_back(name, nas_data):
    space = SPACES[name]()
    texts = pd.read_csv(nas_data / f"{name}.csv.gz", dtype={"arch": str})["arch"]
    assert [space.text(space.parse(text)) for text in texts] == list(texts)


def test_sizes_are_counted_as_in_their_benchmark(nas_data):
    space = SPACES["nats_sss"]()
    texts = pd.read_csv(nas_data / "nats_sss.csv.gz")["arch"]
    assert [space.text(space.parse(str(index))) for index in range(len(texts))] == list(texts)
    assert space.notations(space.parse(texts[4711]))["index"] == "4711"


DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


ENAS = (
    "Genotype(normal=[('avg_pool_3x3', 0), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_5x5', 0), "
    "('skip_connect', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 1), ('sep_conv_5x5', 0), ('avg_pool_3x3', 0), "
    "('sep_conv_5x5', 1)], normal_concat=[2, 3, 4, 5, 6], reduce=[('sep_conv_3x3', 1), ('sep_conv_3x3', 1), "
    "('max_pool_3x3', 0), ('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 3), ('sep_conv_3x3', 1), "
    "('skip_connect', 0), ('max_pool_3x3', 0), ('sep_conv_5x5', 1)], reduce_concat=[2, 4, 5, 6])"
)


def test_sizes_of_published_networks():
    assert counted(SPACES["darts"](), DARTS_V2)[0] == 3_349_342  # "3.3 M"
    enas = SPACES["nds_enas"](widths=(36,), depths=(20,))
    params, channels = counted(enas, ENAS)[0], [36] * 6 + [72] * 7 + [144] * 7
    extra = sum(
        c * c + 2 * c for c in channels
    )  # a 1 x 1 convolution of the newer input, which NDS's cells do not have
    assert params == 4_394_710
    assert round((params + extra) / 1e6, 1) == 4.6  # "4.6 M"
    blocks = {"mlp_ratio": [3.5, 3.5, 3, 3.5, 3, 3, 4, 4, 3.5, 4, 3.5, 4, 3.5], "num_heads": [3] * 10 + [4, 3, 3]}
    tiny = json.dumps({"depth": 13, "hidden_dim": 192} | blocks)  # AutoFormer-Tiny was retrained with ratios of 3 too
    params, _ = counted(SPACES["autoformer"](mlp_ratios=(3.0, 3.5, 4.0)), tiny, Task(1000, 3, 224))
    relative, absolute = 13 * 2 * 2 * 30 * 64, 192 * 198
    assert round((params - relative - absolute) / 1e6, 1) == 5.7  # "5.7 M" leaves the embeddings of positions away
    resnet20 = '{"ds":[3,3,3],"ws":[16,32,64]}'
    assert counted(SPACES["nds_resnet"](), resnet20)[0] == 272_474  # He et al.'s 0.27 M, with projections


def test_numbers_of_leaves_are_the_published_ones():
    size = {name: SPACES[name]().size() for name in SPACES}
    assert size["nasbench201"] == 15_625
    assert size["nats_sss"] == 32_768
    assert size["nasbench_macro"] == 6_561
    assert size["nds_resnet"] == 1_259_712
    assert size["nds_resnext"] == 11_390_625
    assert SPACES["nds_resnext"](variant="b").size() == 52_734_375
    billions = {"nasnet": 71_465_842, "amoeba": 556_628, "pnas": 556_628, "enas": 5_063, "darts": 242}  # of one cell
    for name, published in billions.items():
        cells = math.isqrt(size[f"nds_{name}"] // 15)
        assert cells**2 * 15 == size[f"nds_{name}"]
        assert int(cells / 1e9 + 0.5) == published
    unordered = size["darts"] // 2**8  # either order of a node's two inputs
    assert unordered == (1 * 3 * 6 * 10 * 7**8) ** 2
    assert 1e18 < unordered < 2e18
    assert size["autoformer"] == 3 * (4**12 + 4**13 + 4**14)


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


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("darts", DARTS_V2.replace("dil_conv_3x3", "dil_conv_7x7"), "unknown operation 'dil_conv_7x7'"),
        ("darts", DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"), "unknown predecessor of node 5 '5'"),
        ("darts", DARTS_V2.replace(", ('dil_conv_3x3', 2)", ""), "the normal cell has 7 inputs"),
        ("darts", "__import__('os').getcwd()", "is not of the form Genotype"),
        ("darts", "Genotype(normal=exit())", "is not of the form Genotype"),
        ("nasbench101", '{"matrix":[[0,0],[0,0]],"ops":["input","output"]}', "no path leads"),
        ("nasbench101", '{"matrix":[[0,1],[1,0]],"ops":["input","output"]}', "only above the diagonal"),
        ("nasbench101", '{"matrix":[[0,1],[0,0]],"ops":["input","conv"]}', "end with output"),
        ("nasbench101", "hash:abc", "a hash cannot be turned back"),
        ("nats_sss", "8:16:24:32", "names 4 widths"),
        ("nats_sss", "32768", "those are 0 to 32767"),
        ("nats_sss", "8:16:24:32:65", "did you mean '64'"),
        ("nasbench_macro", "02012103", "eight digits"),
        ("nds_resnet", '{"ds":[1,2,3],"ws":[16,17,18]}', "unknown ws '17'"),
        ("nds_resnext", '{"ds":[1,2,4],"ws":[16,32,64]}', "has no 'bot_muls': it takes JSON like"),
        ("nasbench101", '{"matrix":[[0,1.0],[0,0]],"ops":["input","output"]}', "the matrix holds 0 and 1"),
        ("nasbench101", '{"matrix":[[0,1],[0,0]],"matrix":[[0,1],[0,0]],"ops":[]}', "names 'matrix' twice"),
        ("nasbench101", '{"matrix":[[0,Infinity],[0,0]],"ops":["input","output"]}', "the matrix holds 0 and 1"),
        ("nasbench101", "[" * 10_000, "is not JSON like"),
        ("nds_resnet", '{"ds":[1,2,true],"ws":[16,16,16]}', "ds is a list of numbers"),
        ("autoformer", '{"depth":12.5,"hidden_dim":192,"mlp_ratio":[],"num_heads":[]}', "unknown depth '12.5'"),
        ("darts", DARTS_V2.replace("[2, 3, 4, 5]", "[2, '3', 4, 5]"), "in this space the cell gives"),
        ("darts", DARTS_V2.replace("[2, 3, 4, 5]", "range(10**20)"), "is not of the form Genotype"),
        ("autoformer", '{"depth":12,"hidden_dim":192,"mlp_ratio":[4],"num_heads":[3]}', "1 MLP ratios and 1 heads"),
    ],
)
def test_what_is_no_architecture(name, text, reason):
    with pytest.raises(ValueError, match=reason):
        SPACES[name]().parse(text)


def test_nds_records_carry_the_stem():
    space = SPACES["nds_resnext"]()
    record = '{"ds":[1,2,4,1],"ws":[16,32,64,64],"bot_muls":[0.0,0.5,0.25,1.0],"num_gs":[1,2,4,1],"ss":[1,1,2,2]}'
    assert space.text(space.parse(record)) == (
        '{"ds":[2,4,1],"ws":[32,64,64],"bot_muls":[0.5,0.25,1.0],"num_gs":[2,4,1]}'
    )


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


@pytest.mark.parametrize("name", [name for name in SPACES if name != "networks"])
def test_every_space_is_drawn_and_described(name, tmp_path):
    space = SPACES[name](**SMALL[name])
    arch = space.sample(Random(0))
    draw(space.graph(arch), tmp_path / "cell.svg", space.text(arch))
    picture = (tmp_path / "cell.svg").read_text()
    assert picture.startswith("<?xml")
    assert len(list(described(space.graph(arch)))) >= 1
    attributes = [*space.graph(arch).nodes(data="op"), *(edge[1:] for edge in space.graph(arch).edges(data="op"))]
    assert any(op for _, op in attributes)


SLOW = ("nds_amoeba", "nds_darts", "nds_nasnet", "nds_pnas", "nds_resnext")
"""Built as `darts`, `nds_enas` and `nds_resnet` are, which are searched with gradients."""


@pytest.mark.parametrize("searcher", ["random_search", "evolution", "local_search", "pruning"])
@pytest.mark.parametrize("name", list(SPACES))
def test_every_searcher_on_every_space(name, searcher):
    """Fifty-five evaluations (what pruning takes on NAS-Bench-201); where a space has no supernet, or
    a round of pruning takes more, it says so."""
    space = SPACES[name](**SMALL[name])
    call = {
        "data": "synthetic:classes=3,size=16", "batch_size": 12, "budget": 55, "settings": {name: SMALL[name]},
    }  # fmt: skip
    if searcher == "pruning" and not space.supernet:
        with pytest.raises(UsageError, match=f"which the space {name} cannot build"):
            nas.search(name, "params", searcher, **call)
        return
    if searcher == "pruning" and len(SEARCHERS["pruning"].start(space, Random(0), {})[1]) > 55:
        with pytest.raises(UsageError, match=r"more than the budget of 55: give a larger --budget"):
            nas.search(name, "params", searcher, **call)
        return
    proxy = "gradalign_i" if searcher == "evolution" and name not in SLOW else "params"
    trials = nas.search(name, proxy, searcher, **call)
    assert len(trials) <= 55
    assert (trials["status"] == "ok").all(), trials["reason"].unique()
    assert trials["leaf"].any()
