"""Where marks stand, how many there are, and in which colours."""

import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from pages import Reader, comparison, comparison_page

from nas.report import charts
from nas.report.page import Section, page
from nas.report.svg import Chart


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


def test_more_architectures_than_fit_are_thinned_out(monkeypatch):
    monkeypatch.setattr("nas.report.comparison.POINTS", 40)
    seen = Reader(comparison_page(comparison()))
    assert "Of 40 architectures 10 are drawn" in " ".join(seen.texts)
    assert len(next(iter(seen.points["points"].values()))[0]) == 10


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
            least = 3 if name.startswith("level") else 1 if name in ("line", "raised") else 4.5
            assert (bright + 0.05) / (dark + 0.05) >= least, (name, colour, background)
