"""Pictures of cells: nothing lies on anything else, arrows touch, colours tell apart, and the texts are well formed."""

import re
import shutil
import subprocess
from itertools import combinations, pairwise
from random import Random

import networkx as nx
import numpy as np
import pytest

from nas.graph import chain
from nas.report.cells import FORMATS, HIGHEST, draw, drawing, drawings
from nas.report.layout import Box, curve, is_straight, picture
from nas.report.palette import COLOURS, colour
from nas.report.svg import LEVELS
from nas.report.written import dot, tikz
from nas.space import make_space

SPACES = (
    "nasbench201", "nasbench101", "nds_darts", "nds_enas", "nats_sss", "nasbench_macro", "mnasnet", "nasbench_bert",
    "nasbench_nlp", "autoformer", "nds_resnet", "transnas_micro", "multi_resolution",
)  # fmt: skip


def cells(name, number=3):
    """Some cells of a space, among them one with every edge where that is a cell of NAS-Bench-201."""
    space = make_space(name, {})
    archs = [space.sample(Random(seed)) for seed in range(number)]
    return [space.graph(arch) for arch in (*archs, *([space.parse("1462")] if name == "nasbench201" else ()))]


def complete(nodes):
    """The cell with all edges between so many nodes, which cannot be drawn without crossings."""
    graph = nx.DiGraph()
    graph.add_edges_from((i, j, {"op": f"nor_conv_{i}x{j}"}) for i, j in combinations(range(nodes), 2))
    return graph


def spots(arrow, down):
    """Points along an arrow, close together."""
    for start, end in pairwise(arrow.points):
        t = np.linspace(0, 1, 41)[:, None]
        if is_straight(start, end):
            way = (1 - t) * np.array(start) + t * np.array(end)
        else:
            one, other = curve(start, end, down=down)
            controls = [np.array(point) for point in (start, one, other, end)]
            weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3]
            way = sum(weight * point for weight, point in zip(weights, controls, strict=True))
        yield from way


def crosses(arrow, box, down=False):
    inner = box._replace(width=box.width - 1e-6, height=box.height - 1e-6)
    return any(inner.overlaps(Box(x, y, 0.0, 0.0)) for x, y in spots(arrow, down))


def distance(point, box):
    """From a point to the border of a box."""
    across, along = abs(point[0] - box.x) - box.width / 2, abs(point[1] - box.y) - box.height / 2
    inside = max(across, along)
    return abs(inside) if inside <= 0 else np.hypot(max(across, 0), max(along, 0))


def check(graph, down):
    drawn = picture(graph, down=down)
    labels = [arrow.label for arrow in drawn.arrows if arrow.label]
    boxes = [node.box for node in drawn.nodes.values()] + labels
    assert not [(one, other) for one, other in combinations(boxes, 2) if one.overlaps(other)], "boxes overlap"
    for arrow in drawn.arrows:
        assert distance(arrow.points[0], drawn.nodes[arrow.source].box) < 1e-6, "an arrow does not begin at its node"
        assert distance(arrow.points[-1], drawn.nodes[arrow.target].box) < 1e-6, "an arrow does not touch its node"
        assert not [box for box in boxes if box is not arrow.label and crosses(arrow, box, down)], (
            "an arrow crosses a box"
        )
        assert (arrow.label is not None) == bool(arrow.op)
        if arrow.label is not None:
            assert crosses(arrow, arrow.label, down), "a label does not lie on its arrow"
    shown = [node for node in graph if "op" not in graph.nodes[node] or graph.degree(node)]
    assert set(drawn.nodes) == set(shown)
    assert {(arrow.source, arrow.target) for arrow in drawn.arrows} == set(graph.edges)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("name", SPACES)
def test_nothing_lies_on_anything_else(name, down):
    for graph in cells(name):
        check(graph, down)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("nodes", [3, 5, 7])
def test_a_cell_with_every_edge(nodes, down):
    check(complete(nodes), down)


@pytest.mark.parametrize("name", SPACES)
def test_cells_side_by_side_are_of_one_width(name):
    graphs = cells(name)
    widths = [figure.get_figwidth() for figure in drawings(graphs)]
    assert max(widths) - min(widths) < 1e-9
    assert widths[0] <= max(drawing(graph).get_figwidth() for graph in graphs) + 1e-9
    if name == "nasbench201":
        assert 4 * 96 * widths[0] + 3 * 16 <= 1216, "four find room beside each other on a page of 1280 pixels"


def test_the_check_can_fail():
    drawn = picture(complete(4))
    one, other = drawn.arrows[:2]
    assert crosses(other, one.label._replace(x=other.label.x, y=other.label.y))


def test_heights_of_a_chain_are_widths():
    space = make_space("nats_sss", {})
    drawn = picture(space.graph(space.parse("64:16:64:32:64")))
    heights = [drawn.nodes[node].box.height for node in range(1, 6)]
    assert heights[0] == heights[2] == heights[4] == 2 * heights[3]
    assert heights[1] < heights[3]


def test_widths_of_a_chain_that_goes_down_are_its_layers_own():
    space = make_space("nats_sss", {})
    drawn = picture(space.graph(space.parse("64:16:64:32:64")), down=True)
    boxes = [drawn.nodes[node].box for node in range(7)]
    assert boxes[1].width == boxes[3].width == boxes[5].width > boxes[4].width
    assert len({box.x for box in boxes}) == 1
    assert [box.y for box in boxes] == sorted((box.y for box in boxes), reverse=True)


def test_long_chains_are_not_drawn_down():
    (figure,) = drawings([chain([f"layer {number}" for number in range(60)])])
    assert figure.get_figheight() < HIGHEST


def test_an_operation_has_one_colour_in_all_pictures():
    found = {}
    for name in SPACES:
        for graph in cells(name, 2):
            text = dot(graph)
            for op, shade in re.findall(r'label="([^"]+)", color="(#[0-9a-f]{6})"', text):
                assert found.setdefault(op, shade) == shade
    for same in (("nor_conv_3x3", "conv3x3-bn-relu"), ("avg_pool_3x3", "average pool"), ("skip_connect", "identity")):
        assert len({colour(name) for name in same}) == 1
    assert colour("none of the known").light == colour("none of the known").light


DEFICIENCIES = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
"""Linear RGB as those see it who lack a kind of cones: Machado, Oliveira and Fernandes (2009), severity 1."""


def lab(shade, deficiency):
    """CIE L*a*b* of a colour as it is seen."""
    values = np.array([int(shade[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(DEFICIENCIES[deficiency]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("page", ["light", "dark"])
def test_colours_tell_apart(page, deficiency):
    """At least 14 units of CIE 1976 between any two."""
    shades = [getattr(one, page) for one in COLOURS.values()]
    nearest = min(
        (float(np.linalg.norm(lab(one, deficiency) - lab(other, deficiency))), one, other)
        for one, other in combinations(shades, 2)
    )
    assert nearest[0] >= 14, nearest


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("page", [0, 1])
def test_levels_tell_apart(page, deficiency):
    """From few to many on a light page and on a dark one: lighter and lighter, and no two alike."""
    seen = [lab(pair[page], deficiency) for pair in LEVELS]
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2)) >= 24
    if deficiency == "normal":
        assert all(one[0] < other[0] for one, other in pairwise(seen))


def test_graphviz_reads_what_is_written():
    """Every node and edge of the graph is a statement, with what is written on it."""
    (graph, *_) = cells("nds_darts")
    text = dot(graph, 'a "title" \\ with\nlines')
    nodes = re.findall(r'^ +n(\d+) \[label="((?:[^"\\]|\\.)*)"(?:, color="#\w{6}")?\];$', text, re.MULTILINE)
    edges = re.findall(r'^ +n(\d+) -> n(\d+) \[(?:label="([^"]*)", )?color="#\w{6}"\];$', text, re.MULTILINE)
    assert {int(number) for number, _ in nodes} == set(graph)
    assert {(int(i), int(j)): op for i, j, op in edges} == {(i, j): op for i, j, op in graph.edges(data="op")}
    assert text.count("{") == text.count("}")
    assert "cₖ₋₁" in [label for _, label in nodes]
    assert r'label="a \"title\" \\ with\nlines";' in text


@pytest.mark.skipif(shutil.which("dot") is None, reason="no Graphviz: apt-get install graphviz")
@pytest.mark.parametrize("name", ["nasbench201", "nasbench_nlp", "mnasnet"])
def test_graphviz_itself_draws_it(name):
    (graph, *_) = cells(name)
    done = subprocess.run(["dot", "-Tsvg"], input=dot(graph, "a title"), capture_output=True, text=True, check=True)
    assert done.stdout.count('class="edge"') == graph.number_of_edges()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX: apt-get install texlive-pictures")
@pytest.mark.parametrize("name", ["nasbench201", "nds_darts", "nats_sss"])
def test_latex_itself_draws_it(name, tmp_path):
    """On one page that is as large as the picture, which fits: LaTeX calls nothing too large, and misses no letter."""
    (graph, *_) = cells(name)
    draw(graph, tmp_path / "cell.tex", "a title")
    said = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "cell.tex"], cwd=tmp_path, capture_output=True,
        text=True, errors="replace", check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout[-2000:]
    assert "Output written on cell.pdf (1 page," in said.stdout
    assert not re.search(r"Overfull|Missing character", said.stdout)


def test_what_latex_writes_stands_on_white():
    """The colour of an operation is that of its border; a text on it could not be read."""
    (graph, *_) = cells("nds_darts")
    text = tikz(picture(graph))
    assert text.count("fill=") == text.count("fill=white") == 1
    for line in text.splitlines():
        if line.startswith("\\node["):
            colours = [part for part in line[6 : line.index("]")].split(", ") if "operation" in part or "black" in part]
            assert all(part.startswith("draw=") for part in colours), line


def test_latex_reads_what_is_written():
    (graph, *_) = cells("nds_darts")
    text = tikz(picture(graph), "100 % of\nit")
    assert text.startswith("% 100 % of it\n\\documentclass")
    body = text.split("\\begin{tikzpicture}")[1].split("\\end{tikzpicture}")[0]
    statements = [line for line in body.splitlines() if line.startswith(("\\node", "\\draw"))]
    assert all(line.endswith(";") for line in statements)
    for line in statements:
        assert line.count("{") - line.count("\\{") == line.count("}") - line.count("\\}"), line
        assert not re.search(r"(?<![\\c])_", line), "an underscore outside mathematics"
    assert sum("\\draw[" in line for line in statements) == graph.number_of_edges()
    assert sum("\\node[box" in line for line in statements) == len(graph)
    used = set(re.findall(r"operation\d+", body))
    assert used == set(re.findall(r"\\definecolor\{(operation\d+)\}\{HTML\}\{[0-9A-F]{6}\}", text))


BEGINNINGS = {".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF", ".tex": b"% a", ".dot": b"digraph"}


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format(tmp_path, suffix):
    draw(complete(3), tmp_path / f"cell{suffix}", "a $title with one dollar")
    assert (tmp_path / f"cell{suffix}").read_bytes().startswith(BEGINNINGS[suffix])
