"""Nothing that a page was given acts; tables say what heads them."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import FOUND, HOSTILE, SPACE, Reader, comparison, comparison_page, search_trials

from nas.report.page import Section, Sheet, page
from nas.report.search import search_report
from nas.report.svg import Chart


def everything_hostile():
    figure = Figure()
    figure.add_subplot().set_title(HOSTILE)
    table = pd.DataFrame({HOSTILE: [HOSTILE, HOSTILE], "number": [1.0, np.inf]})
    study = page(
        HOSTILE,
        [
            Section(
                HOSTILE,
                HOSTILE,
                [Chart(figure, HOSTILE)],
                [table, Sheet(table, HOSTILE, True, about={HOSTILE: HOSTILE})],
            )
        ],
        [HOSTILE],
    )
    return {
        "study": study,
        "comparison": comparison_page(comparison(hostile=HOSTILE), HOSTILE),
        "search": search_report(HOSTILE, search_trials(), SPACE, FOUND | {HOSTILE: HOSTILE}),
    }


@pytest.mark.parametrize("kind", ["study", "comparison", "search"])
def test_nothing_that_was_given_acts(kind):
    html = everything_hostile()[kind]
    seen = Reader(html)
    assert not [tag for tag, _ in seen.tags if tag in ("img", "iframe", "object", "link")]
    assert sum(tag == "script" for tag, _ in seen.tags) == 2
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    assert any(HOSTILE in text for text in seen.texts), "it is shown as it was given"
    assert "49" not in "".join(text for text in seen.texts if "7 * 7" in text)
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", html), "nothing is fetched"


def test_tables_say_what_heads_them():
    table = pd.DataFrame({"proxy": ["a", "b"], "count": [3, 40_000], "tiny": [1e-9, 2e-9], "none": [None, "x"]})
    seen = Reader(page("Tables", [Section("One", tables=[table])]))
    assert seen.rows == [
        ["proxy", "count", "tiny", "none"],
        ["a", "3", "1e-09", "–"],
        ["b", "40000", "2e-09", "x"],
    ]
    scopes = [attributes.get("scope") for tag, attributes in seen.tags if tag == "th"]
    assert scopes == ["col"] * 4 + ["row"] * 2
    assert [a["aria-sort"] for tag, a in seen.tags if tag == "th" and "aria-sort" in a] == ["none"] * 4


def test_scores_that_differ_look_different():
    """Three digits, more where large numbers would look alike, and nothing that is not zero is shown as zero."""
    table = pd.DataFrame(
        {"score": [207.939, 204.667, 204.65, 204.386], "cv": [0.0002, 0.05, 0.0, 0.7], "ms": [541.2, 0.021, 3.0, 184.0]}
    )
    seen = Reader(page("Tables", [Section("One", tables=[table])]))
    assert list(zip(*seen.rows[1:], strict=True)) == [
        ("207.94", "204.67", "204.65", "204.39"), ("0.0002", "0.050", "0.000", "0.700"), ("541", "0.021", "3", "184"),
    ]  # fmt: skip


def test_a_command_breaks_between_its_options():
    html = page("Made", [Section("One", command="nas search --budget 3 --constraint 'params<=1'")])
    assert "<span>nas search</span> <span>--budget 3</span> <span>--constraint &#39;params&lt;=1&#39;</span>" in html
