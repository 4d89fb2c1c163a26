"""The pages in a real browser: they open quickly, without an error, and do what they offer."""

import os
import shutil
import time

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import ARCHS, HOSTILE, SPACE, comparison, comparison_page, trial

from nas.report.page import Section, Sheet
from nas.report.page import page as html_page
from nas.report.search import search_report
from nas.report.settings import settings_section
from nas.report.svg import Chart

BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no browser: apt-get install chromium-headless-shell"),
]
SCATTERS = "figure:has(.marks) svg"


def search_page(folder):
    """The address of a search's page with everything that one may have."""
    cells = [SPACE.text(((a,), (3,), (b,), (1,), (3,), (c,))) for a in (1, 2, 3) for b in (2, 4) for c in (1, 3)]
    trials = [
        trial(n, arch, 1e4 + n, [n - 1] if n else [], params=10**5 * (n + 1), flops=10**7 * (n + 1))
        for n, arch in enumerate(cells)
    ]
    trials.append(trial(len(cells), ARCHS[0], None, status="failed", reason="the kernel is singular " * 3))
    truth = pd.DataFrame({f"cifar{n}_valid_epoch_200": np.linspace(60, 90, len(cells)) for n in range(6)}, index=cells)
    described = {
        "arch": cells[-1], "score": 1e4 + 11, "values": {"a": 1.0, "b": 2.5}, "params": 10**6, "flops": 10**8,
        "task": {"classes": 10, "channels": 3, "size": 32},
    }  # fmt: skip
    config = {
        "space": "nasbench201", "data": "a/long/path/to/my/own/images.npz", "seed": 0, "budget": 13,
        "constraint": ["params<=1e6"], "set": {"nasbench201": {"widths": [8, 16, 32]}},
    }  # fmt: skip
    made = settings_section(
        config, "nas search --space nasbench201 --budget 13 --constraint 'params<=1e6'",
        [{"machine": "A processor with a long name, 128 cores, 64 threads, Linux"}],
    )  # fmt: skip
    html = search_report("A search", trials, SPACE, described, truth, random=trials, made=made)
    (folder / "search.html").write_text(html, encoding="utf-8")
    return (folder / "search.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install -e '.[test]'")
    with sync_api.sync_playwright() as playwright:
        # as root, as in most containers, Chromium's own sandbox cannot start
        arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=BROWSER, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(comparison_page(comparison(hostile=HOSTILE)), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, path):
    """Opens the page at a size; whatever it complains of fails the test."""
    complaints, contexts = [], []

    def open_(width=1400, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not complaints


def test_a_heading_sorts_and_turns_round(opened):
    page = opened()
    column = page.locator("section table").first
    names = column.locator("tbody th")
    page.locator("details summary").first.click()
    column = page.locator("section details table").first
    names = column.locator("tbody th")
    button = column.get_by_role("button", name="kendall_top10")
    head = button.locator("..")
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    down = names.all_text_contents()
    assert down == [f"last{HOSTILE}", "proxy_1", "proxy_0", "params"], "what has no number stands last"
    button.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert names.all_text_contents() == [*down[2::-1], "params"]
    column.get_by_role("button", name="proxy").click()
    assert head.get_attribute("aria-sort") == "none"
    assert names.all_text_contents() == sorted(down)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_follows_the_system_until_it_is_switched(opened, scheme):
    page = opened(color_scheme=scheme)
    colours = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}
    background = "getComputedStyle(document.body).backgroundColor"
    other = "dark" if scheme == "light" else "light"
    assert page.evaluate(background) == colours[scheme]
    page.get_by_role("button", name=other, exact=False).first.click()
    assert page.evaluate(background) == colours[other]
    page.reload()
    assert page.evaluate(background) == colours[other], "the choice is kept"
    page.emulate_media(media="print")
    assert page.evaluate(background) == colours["light"], "paper is white"


def test_a_point_says_what_it_is_to_mouse_finger_and_keys(opened):
    page = opened(has_touch=True)
    tip = page.locator("#tip")
    svg = page.locator(SCATTERS).first
    svg.scroll_into_view_if_needed()
    place = svg.evaluate("""svg => {
        const [x, y] = svg.querySelector('.marks').getAttribute('d').match(/[\\d.]+/g).map(Number);
        const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
        return [at.x, at.y];
    }""")
    page.mouse.move(*place)
    assert tip.is_visible()
    told = tip.text_content()
    assert told.startswith("|nor_conv_3x3~0|+|skip_connect~0|none~1|+|")
    assert HOSTILE in told
    page.mouse.move(1, 1)
    assert tip.is_hidden()
    page.touchscreen.tap(*place)
    assert tip.text_content() == told
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    svg.press("ArrowRight")
    first = tip.text_content()
    svg.press("ArrowRight")
    assert tip.is_visible()
    assert tip.text_content() != first
    box = tip.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1400


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_tables_not_the_page(opened, scheme):
    page = opened(390, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate(
        "[...document.querySelectorAll('.box')].filter(box => box.scrollWidth > box.clientWidth).length"
    )
    assert wide > 0
    page.locator("summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_ranking_fits_a_small_screen(opened):
    page = opened(1280)
    box = page.locator("section:has(h2:text('Ranking')) .box:has(table)").first
    assert box.evaluate("box => box.scrollWidth <= box.clientWidth")
    assert "kendall" not in box.locator("thead").text_content()


def test_best_cells_stand_in_one_row_at_one_scale(opened, tmp_path):
    page = opened(1280)
    page.goto(search_page(tmp_path))
    cells = page.locator("section:has(h2:text('Best architectures')) figure svg")
    boxes = [cells.nth(number).bounding_box() for number in range(cells.count())]
    assert len(boxes) == 4
    assert len({box["y"] for box in boxes}) == 1
    scales = cells.evaluate_all("svgs => svgs.map(svg => svg.getScreenCTM().a)")
    assert max(scales) - min(scales) < 0.01
    assert min(scales) > 0.9 * 96 / 72, "nearly as large as on paper"


@pytest.mark.parametrize(("inches", "rows"), [(1.5, 1), (6.0, 2)])
def test_cells_too_wide_for_one_row_are_not_cut(opened, tmp_path, inches, rows):
    charts = [Chart(Figure(figsize=(inches, 1)), f"cell {number}", scale=1.0) for number in range(4)]
    (tmp_path / "cells.html").write_text(html_page("Cells", [Section("One", figures=charts, row=True)]))
    page = opened(1280)
    page.goto((tmp_path / "cells.html").as_uri())
    boxes = page.locator(".box").evaluate_all(
        "boxes => boxes.map(box => [box.scrollWidth <= box.clientWidth, box.getBoundingClientRect().y])"
    )
    assert all(whole for whole, _ in boxes)
    assert len({y for _, y in boxes}) == rows


@pytest.mark.parametrize(("width", "least"), [(1280, 6), (390, 4.5)])
def test_a_dot_can_be_hit(opened, width, least):
    """It is this many pixels wide, and a pointer or finger reaches it from 20 pixels further."""
    sizes = opened(width).evaluate("""[...document.querySelectorAll('.marks:not(.cross)')].map(
        path => parseFloat(getComputedStyle(path).strokeWidth) * path.getScreenCTM().a)""")
    assert sizes
    assert min(sizes) >= least


@pytest.mark.parametrize("width", [1400, 1280, 390])
def test_nothing_of_a_search_is_cut(opened, tmp_path, width):
    """No part of the page is wider than the screen, and none has to be moved sideways to be read."""
    page = opened(width)
    page.goto(search_page(tmp_path))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = page.evaluate("""[...document.querySelectorAll('.box')].filter(box => box.scrollWidth > box.clientWidth)
        .map(box => box.textContent.trim().slice(0, 80))""")
    assert cut == []


def test_a_phone_names_the_cells_of_a_row(opened, tmp_path):
    page = opened(390)
    page.goto(search_page(tmp_path))
    cell = page.locator("section:has(h2:text('Best architectures')) table td").last
    assert cell.evaluate("cell => getComputedStyle(cell, '::before').content") == '"architecture"'


def test_paper_has_no_long_tables(opened, tmp_path):
    rows = pd.DataFrame({"arch": range(200), "score": range(200)})
    sheets = [Sheet(rows, "all", folded=True), Sheet(rows[:9], "some", folded=True)]
    (tmp_path / "long.html").write_text(html_page("Long", [Section("One", tables=sheets)]), encoding="utf-8")
    page = opened(690)
    page.goto((tmp_path / "long.html").as_uri())
    page.emulate_media(media="print")
    assert [page.locator("details table").nth(number).is_visible() for number in (0, 1)] == [False, True]


def test_a_sheet_of_paper_holds_the_page(opened):
    page = opened(690)
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 690
    assert page.locator("nav").is_hidden()
    assert page.locator("details table").first.is_visible(), "nothing can be unfolded on paper"


def test_nothing_that_was_given_acts(opened):
    page = opened()
    assert page.title() == "A comparison"
    assert page.locator("img").count() == 0


def test_an_injected_script_would_not_run(browser, path):
    page = browser.new_page()
    page.set_content(path.read_text().replace("<main>", "<main><script>document.title = 'taken'</script>"))
    assert page.title() == "A comparison"
    page.close()


@pytest.mark.long
def test_a_large_page_opens_in_two_seconds(opened, path, tmp_path):
    large = tmp_path / "large.html"
    large.write_text(comparison_page(comparison(15, 1000)), encoding="utf-8")
    page = opened()
    start = time.perf_counter()
    page.goto(large.as_uri())
    page.locator(SCATTERS).last.scroll_into_view_if_needed()
    page.locator(SCATTERS).nth(3).hover()
    assert time.perf_counter() - start < 2
