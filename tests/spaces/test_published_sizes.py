"""The published spaces against their tables and their papers' numbers."""

import json
import math
from random import Random

import pandas as pd
import pytest
from cases import DARTS_V2, SMALL, counted

from nas.graph import described
from nas.report.cells import draw
from nas.space import SPACES, Task

TABLES = ("nasbench101", "nats_sss", "nasbench_macro")


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
