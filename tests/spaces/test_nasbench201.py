"""NAS-Bench-201 against the published table."""

import pandas as pd
import pytest
import torch
from torch import nn

from nas import graph
from nas.probe import Probe
from nas.report.cells import draw
from nas.scoring.measurer import build
from nas.space import SPACES, Task

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


@pytest.mark.long
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


def test_thin_copy_has_width_one():
    thin = NASBENCH201.thin()
    net = build(thin, thin.parse("nats:3,3,3,3,3,3"), Task(10, 1, 3))
    assert [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)] == [1] * 6 + [2] * 9 + [4] * 9
    assert net(torch.randn(5, 1, 3, 3)).shape == (5, 10)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_drawing(tmp_path, suffix):
    draw(NASBENCH201.graph(NASBENCH201.parse("17")), tmp_path / f"cell{suffix}", "a cell")
    content = (tmp_path / f"cell{suffix}").read_bytes()
    assert len(content) > 2000
    assert content.startswith({".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}[suffix])
