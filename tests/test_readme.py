"""The code of README and docs runs as it stands, and its plug-ins keep what their kinds promise."""

import re
import shlex
import subprocess
import sys

import pytest
from cases import ROOT

import nas
from nas import cli, plugins
from nas.testing import PROXY_CHECKS, SEARCHER_CHECKS
from nas.testing.spaces import SPACE_CHECKS

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))]
WRITTEN = {"my_proxy.py", "my_searcher.py", "my_space.py", "my_networks.py", "first_comparison.py", "digits.py"}
BLOCKS = {
    name: code
    for page in PAGES
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page, flags=re.DOTALL)
    if name in WRITTEN | {"test_my_proxy.py"}
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The README's files, written out; its plug-ins registered."""
    place = tmp_path_factory.mktemp("readme")
    for name, code in BLOCKS.items():
        (place / name).write_text(code)
    plugins.load([place / name for name in ("my_proxy.py", "my_searcher.py", "my_space.py")])
    return place


def test_every_example_is_short_and_the_same_wherever_it_stands():
    assert set(BLOCKS) == WRITTEN | {"test_my_proxy.py"}
    for name, code in BLOCKS.items():
        assert len(code.splitlines()) < 30, name
        assert all(code in page for page in PAGES if f"```python\n# {name}\n" in page), name


def test_the_readme_is_a_page_and_its_links_lead_somewhere():
    assert len(README.splitlines()) <= 150
    for place in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", place.read_text(encoding="utf-8")):
            assert (place.parent / link).exists(), f"{place.name}: {link}"


@pytest.mark.parametrize("check", PROXY_CHECKS, ids=lambda check: check.__name__)
def test_proxy(folder, check):
    check("gradient_cosine")


@pytest.mark.parametrize("check", SEARCHER_CHECKS, ids=lambda check: check.__name__)
def test_searcher(folder, check):
    check("one_plus_one")


@pytest.mark.parametrize("check", SPACE_CHECKS, ids=lambda check: check.__name__)
def test_space(folder, check):
    check("mobile_cells", widths=(4, 8), repeats=1)


def test_own_network(folder, monkeypatch):
    monkeypatch.chdir(folder)
    found = nas.score("networks", "my_networks.py:Shallow", "gradalign_i,naswot", data="synthetic:size=16")
    assert found["status"].tolist() == ["ok", "ok"]


def test_python_example(folder):
    done = subprocess.run(
        [sys.executable, "first_comparison.py"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert "|nor_conv_3x3~0|" in done.stdout


@pytest.mark.long
def test_checks_as_a_third_party_runs_them(folder):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_proxy.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("searcher", "proxy"),
    [("random_search", "naswot"), ("local_search", "gradalign_i"), ("pruning", "gradient_cosine"),
     ("one_plus_one", "gradient_cosine")],
)  # fmt: skip
def test_the_three_plugins_together(folder, searcher, proxy, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    files = [
        part for name in ("my_proxy.py", "my_searcher.py", "my_space.py") for part in ("--plugin", str(folder / name))
    ]
    small = (
        "--set mobile_cells.widths=4,8 --set mobile_cells.repeats=1 --batch-size 12 --data synthetic:classes=3,size=8"
    )
    command = f"search --space mobile_cells --proxy {proxy} --searcher {searcher} --budget 26 {small}"
    monkeypatch.setattr(sys, "argv", ["nas", *shlex.split(command), *files])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert "depthwise" in capsys.readouterr().out


def test_every_command_is_one(monkeypatch, capsys):
    """Each `nas` line is parsed: its options exist. What it does is tested where the command is."""
    monkeypatch.chdir(ROOT)  # for the recipes that it names
    shell = "".join(re.findall(r"```sh\n(.*?)```", "".join(PAGES), flags=re.DOTALL)).replace("\\\n", " ")
    commands = [
        part.strip() for line in shell.splitlines() for part in line.split("#")[0].split("&&") if "nas " in part
    ]
    commands = [command for command in commands if command.startswith("nas ")]
    assert len(commands) >= 5
    for command in commands:
        monkeypatch.setattr(sys, "argv", [*shlex.split(command), "--help"])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 0, command
        assert "Usage" in capsys.readouterr().out


def test_the_set_up_commands_are_the_two():
    lines = [line for line in README.splitlines() if line.startswith("pip install -c constraints.txt")]
    assert lines == [
        "pip install -c constraints.txt . && nas search",
        "pip install -c constraints.txt -e '.[test]' && pytest",
    ]
