"""Where marks stand, how many there are, and in which colours."""

import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from pages import Reader, comparison, comparison_page

from nas.report import charts
from nas.report.page import Section, page
from nas.report.svg import Chart
from nas.report.ticks import Short


def test_marks_stand_where_matplotlib_puts_them():
    figure = Figure(figsize=(4, 3))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 4), ylim=(0, 3))
    axes.scatter([1, 2, np.nan], [1, 2.5, 1], c="k", s=9)
    html = page("Marks", [Section("One", figures=[Chart(figure, "marks", [(0, "a"), (0, "b"), (0, "c")])])], ["arch"])
    (marks,) = [attributes for tag, attributes in Reader(html).tags if attributes.get("class") == "marks"]
    assert marks["d"] == "M72.0 144.0h0M144.0 36.0h0"
    assert marks["data-point"] == "0,1"
    assert axes.collections[0].get_visible()
    assert figure.dpi == 100


def test_a_point_for_every_mark():
    figure = charts.scatter(np.arange(3.0), np.arange(3.0), np.zeros(3, dtype=int))
    with pytest.raises(ValueError, match="three has 3 marks, but 1 points"):
        page("Marks", [Section("One", figures=[Chart(figure, "three", [(0, "a")])])], ["arch"])


def test_many_architectures_share_marks(monkeypatch):
    """Every architecture belongs to one mark of each figure, which tells how many others do."""
    monkeypatch.setattr("nas.report.comparison.POINTS", 40)
    monkeypatch.setattr(charts, "GRID", (4, 3))
    found = comparison()
    seen = Reader(comparison_page(found))
    said = " ".join(seen.texts)
    figures = list(seen.points["points"].values())[:4]
    marks = sum(len(places) for places, _ in figures)
    assert "Of the 40 architectures those that lie close together share a mark" in said
    assert f"{marks} marks in 4 figures" in said
    assert marks < 4 * 40
    for places, notes in figures:
        assert len(set(places)) == len(places)
        more = [re.search(r"\nand (\d+) more$", note) for note in notes]
        assert len(notes) + sum(int(found[1]) for found in more if found) == 40


def test_groups_are_cells_of_a_grid(monkeypatch):
    monkeypatch.setattr(charts, "GRID", (2, 2))
    scores, targets = np.array([0.0, 0.1, 10.0, np.nan, 0.2, np.nan]), np.array([0.0, 0.1, 10.0, 0.0, 10.0, 0.2])
    groups = charts.grouped(scores, targets)
    assert [members.tolist() for members in groups] == [[0, 1], [4], [2], [3, 5]]
    figure = charts.scatter(scores, targets, np.arange(6) % 3, groups)
    dots, crosses = figure.axes[0].collections
    assert dots.get_offsets().tolist() == [[0.0, 0.0], [0.2, 10.0], [10.0, 10.0]]
    assert dots.get_sizes().tolist() == [36, 25, 25]
    assert len(crosses.get_offsets()) == 1


@pytest.mark.parametrize("scores", [
    [-1.7e308, 1.7e308, 0.0, 1.0], [1.7e308] * 4, [5e-324, 0.0, 1e-310, 1.0], [1.7e308, 1.0, 2.0, 3.0],
    [-1.7e308, np.nan, np.nan, 1.7e308],
])  # fmt: skip
def test_numbers_of_any_size_are_drawn(scores):
    scores, targets = np.array(scores), np.array([1.0, 2.0, 3.0, 4.0])
    level, numbers = np.zeros(4, dtype=int), np.arange(4)
    finite = scores[np.isfinite(scores)]
    figures = [
        charts.scatter(scores, targets, level), charts.scatter(scores, targets, level, charts.grouped(scores, targets)),
        charts.selection(finite, targets[: len(finite)], finite == finite.max(), up="accuracy"),
        charts.progress(numbers, scores, np.ones(4, dtype=bool)), charts.distribution(finite, across="score"),
        charts.front(finite, finite[::-1], finite == finite.max(), None, across="a", up="b"),
    ]  # fmt: skip
    html = page("Huge", [Section("One", figures=figures)])
    assert html.count("<svg") == len(figures)
    assert "nan" not in re.sub("<[a-z]+>", "", html.split("<main>")[1]).lower()


def luminance(colour):
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_stand_out_on_both_pages():
    html = page("Colours", [])
    colours = {name: pair for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", html)}
    paper = colours.pop("paper")
    assert {"ink", "quiet", "link", "level-0", "series-1", "cycle-9"} <= colours.keys()
    for name, pair in colours.items():
        for colour, background in zip(pair, paper, strict=True):
            dark, bright = sorted([luminance(colour), luminance(background)])
            kinds = {"level": 3, "operation": 2, "line": 1, "raised": 1}  # operations are written in the text's colour
            least = kinds.get(name.partition("-")[0], 4.5)
            assert (bright + 0.05) / (dark + 0.05) >= least, (name, colour, background)


@pytest.mark.parametrize(("values", "texts"), [
    ([0, 200_000, 400_000], ["0", "200 k", "400 k"]),
    ([0, 5e8, 1.5e9], ["0", "0.5 G", "1.5 G"]),
    ([1_000_000, 1_000_500, 1_001_000], ["1 M", "1.0005 M", "1.001 M"]),
    ([-0.5, 0, 0.5], ["\N{MINUS SIGN}0.5", "0", "0.5"]),
    ([2000, 2001], ["2000", "2001"]),
    ([1e-7, 2e-7], ["1e\N{MINUS SIGN}07", "2e\N{MINUS SIGN}07"]),
    ([], []),
])  # fmt: skip
def test_a_tick_is_read_where_it_stands(values, texts):
    """No factor such as 1e6 stands at the end of the axis, and no two ticks are alike."""
    assert Short().format_ticks(values) == texts
    figure = charts.front(np.array([1e7, 2e7]), np.array([1.0, 2.0]), np.array([True, True]), None, across="a", up="b")
    figure.draw_without_rendering()
    assert not [axis for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis) if axis.get_offset_text().get_text()]


def test_what_is_counted_has_whole_ticks():
    figure = charts.progress(np.arange(4), np.arange(4.0), np.ones(4, dtype=bool))
    figure.draw_without_rendering()
    assert all(float(place).is_integer() for place in figure.axes[0].get_xticks())
