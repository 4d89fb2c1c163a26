"""What files may not decide: which code runs, whose answers are believed, where is written."""

import os
import re

import pytest
import yaml

from nas.cli.consent import network_names, questions
from nas.data.table import Table
from nas.errors import UsageError
from nas.files import trusting
from nas.proxy import PROXIES
from nas.runs.folder import RunFolder
from nas.space import make_space
from nas.training.table import enlisted

CODE = "from pathlib import Path\nPath('ran').touch()\n"
PLUGIN = CODE + "from nas.proxy import proxy\n@proxy('consented')\ndef consented(probe):\n    return 1.0\n"
NETWORK = CODE + (
    "from torch import nn\ndef A(classes=3):\n"
    "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))\n"
)
SMALL = {"data": "synthetic:size=8,classes=3", "batch_size": 12, "device": "cpu"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with code that leaves a mark when it is run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.py").write_text(PLUGIN)
    (tmp_path / "n.py").write_text(NETWORK)
    with PROXIES.put_back():
        yield tmp_path


RECIPES = {
    "its plug-in": (
        {"command": "search", "plugin": "p.py"},
        "names the plug-in p.py, whose code would run: .*--plugin",
    ),
    "several": ({"command": "search", "plugin": ["p.py"]}, "names the plug-in p.py"),
    "one of a quick run": ({"command": "search", "budget": 1, "quick": {"plugin": "p.py"}}, "names the plug-in p.py"),
    "one of a step": (
        {"command": "search", "steps": [{"name": "a", "budget": 1}, {"name": "b", "plugin": "p.py"}]},
        "names the plug-in p.py",
    ),
    "a network": (
        {"command": "search", "space": "networks", "set": {"networks": {"names": "n.py:A"}}},
        "names the network n.py:A",
    ),
    "among several": (
        {"command": "search", "set": {"Networks": {"names": ["timm:resnet18", "n.py:A"]}}},
        "names the network n.py:A",
    ),
    "by escapes": ({"command": "search", "set": ['networks.names="n.py\\x3aA"']}, "names the network n.py:A"),
    "as an architecture": ({"command": "score", "space": "networks", "archs": ["n.py:A"]}, "names the network n.py:A"),
    "a cluster": (
        {"command": "search", "ray": "1.2.3.4:5"},
        "names the Ray cluster 1.2.3.4:5, whose answers could run",
    ),
    "a store": ({"command": "search", "store": "s.sqlite"}, "names a store, s.sqlite, to write to"),
    "a name above": ({"command": "search", "name": "../../escaped"}, "without slashes, not '../../escaped'"),
    "an absolute name": ({"command": "search", "name": "/escaped"}, "without slashes, not '/escaped'"),
    "a name of Windows": ({"command": "search", "name": "..\\escaped"}, "without slashes"),
    "a name of a line": ({"command": "search", "name": "a\nb"}, "without slashes"),
    "its own output": ({"command": "search", "run": "elsewhere"}, "'run' is no option that a recipe gives"),
    "a file of options": ({"command": "search", "config": "c.yaml"}, "'config' is no option that a recipe gives"),
    "its own trust": ({"command": "search", "trust": True, "plugin": "p.py"}, "'trust' is no option that a recipe"),
    "an option as a flag": (
        {"command": "compare", "unique": "--plugin=p.py"},
        "unique is true or false, not '--plugin",
    ),
    "an option as a value": ({"command": "search", "proxy": "--plugin=p.py"}, "proxy '--plugin=p.py'"),
    "an option as a name": ({"command": "search", "plugin=p.py": True}, "is no option that a recipe gives"),
    "an option as an architecture": ({"command": "score", "archs": ["--plugin=p.py"]}, "would be taken for an option"),
    "an option as a study": ({"command": "study", "study": "--plugin=p.py"}, "would be taken for an option"),
    "a flag with a value": ({"command": "search", "space": True}, "space takes a value, not 'True'"),
}


@pytest.mark.parametrize("kind", RECIPES)
def test_a_recipe_decides_neither_code_nor_place(nas, place, kind):
    recipe, sentence = RECIPES[kind]
    (place / "r.yaml").write_text(yaml.safe_dump(SMALL | recipe))
    quick = ["--quick"] if "quick" in recipe else []
    code, _, err = nas("run", "r.yaml", "--out", "inner/out", "--quiet", *quick)
    assert code == 2
    assert err.count("\n") == 1
    assert re.search(sentence, err), err
    assert sorted(os.listdir(place)) == ["n.py", "p.py", "r.yaml"]
    assert not (place.parent / "escaped").exists()


@pytest.mark.parametrize("say", [["--plugin", "p.py"], ["--trust"], ["--plugin={place}/p.py"]])
def test_the_users_word_lets_a_recipe_run_code(nas, place, say):
    recipe = SMALL | {"command": "score", "proxies": "consented", "archs": ["0"], "plugin": "p.py"}
    (place / "r.yaml").write_text(yaml.safe_dump(recipe))
    code, _, err = nas("run", "r.yaml", "--out", "out", *(text.format(place=place) for text in say))
    assert (code, err) == (0, "")
    assert (place / "ran").exists()


def test_another_file_of_the_name_is_not_the_one_that_was_named(nas, place):
    (place / "inner").mkdir()
    (place / "inner" / "p.py").write_text(PLUGIN)
    (place / "r.yaml").write_text(yaml.safe_dump(SMALL | {"command": "score", "archs": ["0"], "plugin": "inner/p.py"}))
    code, _, err = nas("run", "r.yaml", "--out", "out", "--plugin", "p.py")
    assert code == 2
    assert "names the plug-in inner/p.py" in err
    assert not (place / "ran").exists()


CONFIGS = {
    "a plug-in": ({"plugin": "p.py"}, "names the plug-in p.py"),
    "a network": ({"set": {"networks": {"names": "n.py:A"}}}, "names the network n.py:A"),
    "a cluster": ({"ray": "1.2.3.4:5"}, "names the Ray cluster"),
    "a folder outside": ({"run": "../escaped"}, "names a folder outside of this one, ../escaped"),
    "an absolute folder": ({"run": "/tmp/escaped-by-config"}, "names a folder outside of this one"),
    "a store": ({"store": "s.sqlite"}, "names a store"),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_file_of_options_decides_no_more(nas, place, kind):
    config, sentence = CONFIGS[kind]
    (place / "c.yaml").write_text(yaml.safe_dump(SMALL | config))
    code, _, err = nas("search", "--config", "c.yaml", "--budget", "1", "--quiet")
    assert code == 2
    assert sentence in err
    assert "--trust" in err
    assert err.count("\n") == 1
    assert sorted(os.listdir(place)) == ["c.yaml", "n.py", "p.py"]


def test_names_of_networks_in_records_run_nothing(place):
    """In a table, among trials, in a list of trainings and in a run that is loaded."""
    space = make_space("networks", {})
    (place / "t.csv").write_text("arch,acc\nn.py:A,90\n")
    with pytest.raises(UsageError, match=r"t\.csv.*row 2.*names n\.py, whose code would run: name n\.py yourself"):
        Table(place / "t.csv", space).target("acc")
    (place / "out").mkdir()
    with RunFolder(place / "out", {}) as folder:
        (place / "out" / "archs.jsonl").write_text('{"arch": "n.py:A", "folder": "1-n"}\n')
        with pytest.raises(UsageError, match=r"archs\.jsonl names n\.py, whose code would run"):
            enlisted(folder, space, [])
        assert not (place / "ran").exists()
        with trusting():
            assert len(enlisted(folder, space, [])) == 1
    assert (place / "ran").exists()


def test_what_the_user_has_named_is_no_question():
    assert questions(SMALL | {"ray": "local", "store": "none", "run": "runs/a", "archs": "all"}) == []
    assert network_names({"networks": {"names": "timm:resnet18"}, "evolution": {"population": "a:b"}}) == []
    assert network_names(["networks.names=[a.py:B, timm:x]", "no option", "networks.names={"]) == ["a.py:B"]
    assert [question.option for question in questions({"plugin": ["a.py", "b.py"], "csv": "x"})] == [
        "plugin", "plugin", "csv",
    ]  # fmt: skip
