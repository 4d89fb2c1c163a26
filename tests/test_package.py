"""What the package says about itself: one truth in several files."""

import re
from configparser import ConfigParser

import pytest
import yaml
from cases import ROOT

from nas.calls.doctor import EXTRAS

SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")


def lines(section, option):
    return SETUP[section][option].strip().splitlines()


def names(requirements):
    return {re.split(r"[<>=\[;]", line)[0].lower() for line in requirements}


def test_the_citation_is_of_this_version_and_these_authors():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    metadata = SETUP["metadata"]
    assert citation["version"] == metadata["version"]
    assert [author["name"] for author in citation["authors"]] == [metadata["author"]]
    assert citation["license"] == metadata["license"]


def test_the_workflow_runs_the_pythons_that_are_promised():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    pythons = workflow["jobs"]["ci"]["strategy"]["matrix"]["python"]
    assert pythons == re.findall(r":: (3\.\d+)$", SETUP["metadata"]["classifiers"], flags=re.MULTILINE)
    assert SETUP["options"]["python_requires"] == f">={pythons[0]}"


def test_extras_are_those_of_the_doctor_and_of_the_page():
    extras = set(SETUP["options.extras_require"])
    assert extras == {*EXTRAS, "docs", "test"}
    page = (ROOT / "docs" / "installing.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) == extras
    tests = names(lines("options.extras_require", "test"))
    for extra in extras - {"test"}:
        assert names(lines("options.extras_require", extra)) <= tests, extra


@pytest.mark.parametrize("part", ["install_requires", *EXTRAS, "docs"])
def test_what_it_takes_is_pinned(part):
    pinned = names(line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#"))
    section = "options" if part == "install_requires" else "options.extras_require"
    assert names(lines(section, part)) <= pinned


@pytest.mark.parametrize("form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda f: f.stem)
def test_forms_for_issues_are_forms(form):
    content = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= set(content)
    assert all(part["type"] in ("textarea", "input") and part["attributes"]["label"] for part in content["body"])
    assert len({part["id"] for part in content["body"]}) == len(content["body"])
