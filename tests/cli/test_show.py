"""`nas show` and `nas convert`."""

import pandas as pd
import pytest

MODULE = (
    '{"matrix":[[0,1,1,1,0,0],[0,0,1,0,1,1],[0,0,0,0,1,0],[0,0,0,0,1,0],[0,0,0,0,0,1],[0,0,0,0,0,0]],'
    '"ops":["input","conv3x3-bn-relu","maxpool3x3","conv3x3-bn-relu","conv3x3-bn-relu","output"]}'
)


def test_show_counts_and_draws(nas, tmp_path):
    code, out, _ = nas("show", "1462", "--out", "cell.svg")
    assert code == 0
    assert "1,531,546" in out
    assert "220,119,680" in out
    assert out.count("nor_conv_3x3") == 12
    assert (tmp_path / "cell.svg").read_bytes().startswith(b"<?xml")
    code, out, _ = nas("show", "nats:3,0,0,0,1,0")
    assert "same as" in out


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["1462", "--to", "nats"], "3,3,3,3,3,3\n"),
        (["naslib:2,2,2,2,2,2", "--to", "index"], "1462\n"),
        (["--space", "nasbench101", MODULE, "--to", "hash"], "163d161c35186f582018e3b8e0271d9f\n"),
        (["--space", "nasbench101", MODULE, "--to", "text"], MODULE + "\n"),
    ],
)
def test_convert(nas, arguments, printed):
    assert nas("convert", *arguments) == (0, printed, "")


def test_convert_finds_a_hash_in_a_table(nas, tmp_path):
    pd.DataFrame({"arch": [MODULE], "hash": ["163d161c35186f582018e3b8e0271d9f"]}).to_csv("table.csv", index=False)
    table = ["convert", "--space", "nasbench101", "--table", "table.csv", "--to", "text"]
    assert nas(*table, "hash:163d161c35186f582018e3b8e0271d9f") == (0, MODULE + "\n", "")
    code, out, err = nas(*table, "hash:0")
    assert (code, out) == (2, "")
    assert "no row has '0' in the column 'hash'" in err
    assert "did you mean 'hash'" in nas(*table, "hahs:0")[2]


def test_a_network_without_cells_is_drawn_part_by_part(nas, tmp_path):
    (tmp_path / "own.py").write_text(
        "from torch import nn\n"
        "def small(classes):\n"
        "    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
        "    return nn.Sequential(body, nn.Linear(8, classes))\n"
    )
    arguments = ("show", "own.py:small", "--space", "networks", "--data", "synthetic:size=8,classes=3")
    code, out, err = nas(*arguments, "--out", "net.tex")
    assert (code, err) == (0, "")
    assert "  0.0, Conv2d, 8 × 6 × 6, 224 params\n" in out
    assert "  1, Linear, 3, 27 params\n" in out
    assert r"8 $\times$ 6 $\times$ 6" in (tmp_path / "net.tex").read_text()
    code, _, err = nas(*arguments, "--out", "net.gif")
    assert code == 2
    assert "name a .svg, .png, .pdf, .tex or .dot file" in err


def test_convert_writes_every_notation_and_names_the_known_ones(nas):
    code, out, _ = nas("convert", "0")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["text", "index", "nats", "naslib"]
    assert "known are index, naslib, nats, text; did you mean 'nats'" in nas("convert", "0", "--to", "nat")[2]


def test_show_writes_nodes_and_cells(nas):
    _, out, _ = nas("show", "--space", "nasbench101", MODULE, "--set", "nasbench101.stem=8")
    assert "2  maxpool3x3  of 0, 1" in out
    _, out, _ = nas("show", "--space", "nasbench_macro", "02012100", "--out", "chain.svg")
    assert "params                 890,666" in out
    assert "2  MB6-k5" in out
