"""The site: built strictly, read without a network, its reference what is registered."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys

import pytest
from cases import ROOT

import nas
from nas.proxy import PROXIES, proxy
from nas.registry import options
from nas.searcher import SEARCHERS
from nas.space import SPACES

pytest.importorskip("mkdocstrings", reason="no MkDocs: pip install -e '.[test]'")
BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
FROM_ELSEWHERE = re.compile(
    r"<(?:script|link|img|iframe|source|video|object)\b[^>]*?\b(?:src|href|data)=[\"']?((?:https?:)?//[^\s\"'>]+)"
    r"|(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\s\"')]+)"
)


CUT = """parts => parts.map(part => {
    const room = part.closest('.md-typeset__scrollwrap') ?? part;
    return room.scrollWidth > room.clientWidth + 1 ? part.textContent.trim().slice(0, 60) : "";
})"""
"""For each part of a page the beginning of its text, if that is wider than the room for it."""


@pytest.fixture(scope="module")
def pages():
    """docs/reference.py."""
    spec = importlib.util.spec_from_file_location("reference_pages", ROOT / "docs" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place


def test_nothing_is_fetched_from_elsewhere(site):
    read = [file for file in site.rglob("*") if file.suffix in (".html", ".css", ".svg")]
    assert len(read) > 60
    for file in read:
        found = FROM_ELSEWHERE.search(file.read_text(encoding="utf-8"))
        assert found is None, f"{file.name} takes {found and (found[1] or found[2])}"


@pytest.mark.parametrize(
    "text",
    ['<script src="https://unpkg.com/x"></script>', "<link rel=stylesheet href=//fonts.example/css>",
     "@import 'https://x/y.css'", "a{background:url(http://x/y.png)}", '<img alt="" src="http://x/y.png">'],
)  # fmt: skip
def test_what_would_be_fetched_is_seen(text):
    assert FROM_ELSEWHERE.search(text)


def test_every_plugin_is_in_the_site_and_its_navigation(site):
    for kind, names in (("proxies", PROXIES), ("spaces", SPACES), ("searchers", SEARCHERS)):
        index = (site / "reference" / kind / "index.html").read_text()
        for name in (name for name in names if registered_here(names, name)):
            page = (site / "reference" / kind / f"{name}.html").read_text()
            assert f">{name}</code>" in page
            assert f'href="{name}.html"' in index


def registered_here(names, name):
    """Tests of other files register plug-ins of their own; the site is built in another process."""
    function = getattr(names[name], "function", names[name])
    return function is None or function.__module__.split(".")[0] in ("proxies", "spaces", "searchers")


def test_the_calls_are_documented(site):
    page = (site / "calls.html").read_text()
    for name in nas.__all__:
        assert re.search(rf'id="nas\.[\w.]*\b{name}"', page), name


def test_options_are_those_of_the_signature(pages):
    page = pages.reference()["proxies/gradalign_ii.md"]
    for option, default in options(PROXIES["gradalign_ii"].function).items():
        assert f"| `gradalign_ii.{option}` | `{pages.written(default)}` | " in page
    assert "Σ_c log det(D_c D_cᵀ + ε I)" in page
    assert "- Better: larger" in page
    assert "https://arxiv.org/abs/2411.19819" in page


def test_figures_are_those_of_the_results(pages):
    page = pages.reference()["proxies/zico.md"]
    rows = [line for line in (ROOT / "docs" / "results.md").read_text().splitlines() if line.startswith("| `zico` |")]
    assert len(rows) >= 3
    for row in rows:
        figures = [cell.strip() for cell in row.strip("|").split("|")][1:]
        assert f"| {' | '.join(figures)} |" in page
    spaces = pages.reference()["proxies/naswot.md"].partition("#spaces")[2]
    assert "| `nasbench_macro` | .74 [.69, .78] |" in spaces, "a column, where proxies are the columns"


def test_what_no_page_would_show_is_an_error(pages):
    with PROXIES.put_back():

        @proxy("of_the_test")
        def of_the_test(probe):
            """A number.

            Returns:
                the number.
            """

        with pytest.raises(ValueError, match="of_the_test has a section of returns, which no page shows"):
            pages.reference()


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="no browser: apt-get install chromium-headless-shell")
def test_a_page_opened_as_a_file_asks_for_files_alone(site):
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install -e '.[test]'")
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=arguments)
        page = browser.new_page(viewport={"width": 390, "height": 900})
        complaints, asked = [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index", "calls", "reference/proxies/gradalign_i"):
            page.goto((site / f"{name}.html").as_uri(), wait_until="networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing is cut on a phone"
        for width, name, parts in (
            (390, "train", ".language-sh code"), (1400, "train", "pre code"), (1400, "index", ".language-sh code"),
            (390, "reference/proxies/index", ".md-typeset__table"), (1400, "results", ".md-typeset__table"),
        ):  # fmt: skip
            page.set_viewport_size({"width": width, "height": 900})
            page.goto((site / f"{name}.html").as_uri(), wait_until="networkidle")
            cut = page.locator(parts).evaluate_all(CUT)
            assert [text for text in cut if text] == [], f"{name} at {width} pixels has to be moved sideways"
            assert len(cut) > 0
        browser.close()
    assert not complaints
    assert len(asked) > 6
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
