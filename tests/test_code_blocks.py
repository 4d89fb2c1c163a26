"""Every block of code in README and docs/: run, here or where it is said, or not, for a reason that is said."""

import gzip
import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from cases import ROOT
from PIL import Image

from nas import cli
from nas.proxy import PROXIES
from nas.searcher import SEARCHERS
from nas.space import SPACES
from nas.store.store import FIELDS

PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}
BLOCKS = [
    (page, language, code)
    for page, text in sorted(PAGES.items())
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
]
RUN_ELSEWHERE = {
    "my_space.py": "test_readme.py", "my_networks.py": "test_readme.py", "first_comparison.py": "test_readme.py",
    "my_proxy.py": "test_readme.py", "my_searcher.py": "test_readme.py", "test_my_proxy.py": "test_readme.py",
    "digits.py": "test_code_blocks.py", "my_mobile.py": "test_choices.py", "my_vit.py": "test_choices.py",
    "my_macro.py": "test_choices.py",
    "my_data.py": "data/test_sources.py", "from_optuna.py": "test_code_blocks.py",
    "my_study.py": "searchers/test_optuna.py", "to_tensorboard.py": "calls/test_watching.py",
    "to_mlflow.py": "calls/test_watching.py",
}  # fmt: skip
"""A block of Python, by the file's name in its first line -> the test that runs it."""
NOT_RUN = {
    r"pip install|python3 -m venv|\. \.venv|cd |git |twine ": "sets an environment up: .ci/run does it",
    r"pytest|mkdocs build|\.ci/": "is the tests themselves",
    r"nas run runs/|nas compare --config runs/": "takes hours; tests/cli/test_recipe.py checks its options",
    r"nas search --space nds_enas": "scores 481 supernets in ten minutes",
    r"nas convert --space nasbench101|nas study transformers|nas search --searcher nsga2 --minimise raspi4"
    r"|nas compare --space nasbench_": "takes a benchmark's table, which is not part of the project",
    r"nas table import|nas compare --space nasbench201 --table nasbench201.parquet": "takes an official file; "
    "tests/data/official makes such files",
    r"nas show --space networks|nas score --space networks|nas search --space networks": "builds large models of timm; "
    "tests/spaces/test_networks.py builds small ones",
}
"""The beginning of a command -> why no test runs it."""
LESS = {
    "search": "--budget 4 --batch-size 8 --epochs 1", "train": "--epochs 1 --batch-size 32", "score": "--batch-size 4",
    "compare": "--batch-size 8", "study": "--archs 3 --batch-size 8", "store": "", "export": "", "show": "",
    "convert": "", "list": "", "doctor": "",
}  # fmt: skip
"""Options that are added to a command, the last of two being the one that counts."""
STAGES = {"nasbench201": "widths=4,8 repeats=1", "darts": "width=4 depth=3"}


def commands(page):
    shell = "".join(code for name, language, code in BLOCKS if name == page and language == "sh").replace("\\\n", " ")
    parts = (part.strip() for line in shell.splitlines() for part in line.split("#")[0].split("&&"))
    return [part for part in parts if part]


def reason(command):
    """Why a command is not run; None where it is."""
    return next((why for beginning, why in NOT_RUN.items() if re.match(beginning, command)), None)


def test_every_block_says_what_it_is():
    assert {language for _, language, _ in BLOCKS} == {"python", "sh", "text"}
    for page, language, code in BLOCKS:
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", code)
            assert name, f"a block of {page} has no name: {code[:60]}"
            assert name[1] in (ROOT / "tests" / RUN_ELSEWHERE[name[1]]).read_text(encoding="utf-8"), name[1]


def test_the_stores_key_is_explained():
    listed = PAGES["explanation"].partition("## The store's key")[2]
    assert set(FIELDS) <= set(re.findall(r"`(\w+)`", listed))


def test_every_command_is_run_or_not_for_a_reason():
    every = [command for page in PAGES for command in commands(page)]
    for command in every:
        assert reason(command) or command == "python digits.py" or command.split()[1] in LESS, command
    for beginning in NOT_RUN:
        for one in beginning.split("|"):
            if one.startswith("nas "):
                assert any(re.match(one, command) for command in every), f"{one} stands on no page any more"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with all that the pages name: images, a table, the pages' own files."""
    rng = np.random.default_rng(0)
    for number in range(60):
        place = tmp_path / "photos" / f"class {number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(place / f"{number}.png")
    (tmp_path / "story.txt").write_text("the house and the sea and a cat .\n" * 200)
    table = (ROOT / "nas" / "data" / "tables" / "nasbench201.csv").read_bytes()
    (tmp_path / "nasbench201.csv.gz").write_bytes(gzip.compress(table))
    np.savez(tmp_path / "cifar10_probe.npz", images=rng.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8),
             labels=np.arange(60) % 3)  # fmt: skip
    for _, language, code in BLOCKS:
        if language == "python":
            (tmp_path / re.match(r"# (\w+\.py)\n", code)[1]).write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_DATA", str(tmp_path))
    monkeypatch.setenv("NAS_STORE", str(tmp_path / "store.sqlite"))
    monkeypatch.setattr("nas.report.page.inline_svg", lambda chart, prefix: f"<svg id='{prefix}'/>")
    with SPACES.put_back(), PROXIES.put_back(), SEARCHERS.put_back():
        yield tmp_path


def smaller(command):
    """The arguments of a command that does the same with less."""
    kind, *words = shlex.split(command)[1:]
    words = [Path(word).name if word.startswith("$NAS_DATA") else word for word in words]
    for place, (option, value) in enumerate(pairwise(words), start=1):
        if value == "cifar-10-batches-py":
            words[place] = "cifar10_probe.npz"
        elif option in ("--evaluate", "--workers") or (option, kind) == ("--archs", "train"):
            words[place] = "3"
    words += LESS[kind].split()
    if kind == "compare" and "mine/table.csv" not in words:
        words += ["--epochs", "1"] if "--evaluate" in words else ["--archs", "12"]
    if kind in ("search", "compare", "study"):
        space = words[words.index("--space") + 1] if "--space" in words else "nasbench201"
        words += [word for part in STAGES.get(space, "").split() for word in ("--set", f"{space}.{part}")]
        words += [] if "--data" in words else ["--data", "synthetic:size=16"]
    if "pruning" in words:
        words += ["--budget", "80"]  # all the way down to a single network
    return [kind, *words]


@pytest.mark.long
@pytest.mark.parametrize("page", [page for page in sorted(PAGES) if any(not reason(c) for c in commands(page))])
def test_the_commands_of_a_page(page, folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["nas", "score", "--space", "nasbench201", "--proxies", "gradalign_i", "--data",
                                      "synthetic:size=8", "--batch-size", "8", "1462"])  # fmt: skip
    with pytest.raises(SystemExit, match="0"):
        cli.main()  # so that the store has something to show
    for command in commands(page):
        if command == "python digits.py":
            exec(compile((folder / "digits.py").read_text(), "digits.py", "exec"), {"__name__": "__main__"})
        elif not reason(command):
            monkeypatch.setattr(sys, "argv", ["nas", *smaller(command)])
            capsys.readouterr()
            with pytest.raises(SystemExit) as end:
                cli.main()
            assert end.value.code == 0, f"{command}: {capsys.readouterr().err}"
