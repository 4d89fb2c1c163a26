"""Recipes: those of runs/, and what a wrong one is told."""

import json
from pathlib import Path

import pandas as pd
import pytest
import typer
import yaml
from cases import ROOT

from nas import cli
from nas.cli.recipe import Step, steps
from nas.errors import UsageError

RUNS = sorted((ROOT / "runs").glob("*.yaml"))


@pytest.mark.parametrize("file", RUNS, ids=lambda file: file.stem)
@pytest.mark.parametrize("quick", [False, True])
def test_each_recipe_gives_its_commands_options_that_they_have(file, quick, tmp_path):
    found = steps(file, tmp_path, quick=quick)
    commands = typer.main.get_command(cli.app).commands
    for step in found:
        context = commands[step.command].make_context("nas", list(step.arguments))
        assert context.params["space"]
        assert step.output == tmp_path or step.output.parent == tmp_path
    assert f"nas run runs/{file.name}" in file.read_text(), "a recipe says how it is run"


RECIPE = {
    "command": "compare",
    "space": "nasbench201",
    "table": "table.csv",
    "target": "accuracy",
    "data": "synthetic:size=8,classes=3",
    "batch_size": 12,
    "set": {"nasbench201": {"widths": [4, 8], "repeats": 1}},
    "proxies": ["params", "depth"],
    "quick": {"archs": 2},
    "steps": [
        {"name": "first"},
        {"name": "second", "unique": True, "seed": 3},
        {"name": "third", "command": "score", "archs": ["nats:1,1,1,1,1,1"], "table": None, "target": None,
         "quick": {"archs": ["nats:1,1,1,1,1,1"]}},
    ],
}  # fmt: skip


def test_steps_take_what_stands_outside_and_their_own(tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    common = ["--space", "nasbench201", "--table", "table.csv", "--target", "accuracy"]
    common += ["--data", "synthetic:size=8,classes=3", "--batch-size", "12"]
    common += ["--set", "nasbench201.widths=[4, 8]", "--set", "nasbench201.repeats=1", "--proxies", "params,depth"]
    first, second, third = steps(tmp_path / "r.yaml", Path("out"))
    assert first == Step("compare", Path("out/first"), common)
    assert second.arguments[-3:] == ["--unique", "--seed", "3"]
    assert (third.command, third.output) == ("score", Path("out/third.csv"))
    assert "nats:1,1,1,1,1,1" in third.arguments
    assert "--table" not in third.arguments
    assert steps(tmp_path / "r.yaml", Path("out"), quick=True)[0].arguments[-2:] == ["--archs", "2"]


def test_a_recipe_is_run_and_run_again(nas, tmp_path):
    cells = ["nats:3,3,1,3,1,3", "nats:1,1,1,1,1,1", "nats:3,3,3,3,3,3"]
    pd.DataFrame({"arch": cells, "accuracy": [90, 70, 93]}).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    code, out, err = nas("run", "r.yaml", "--quick", "--device", "cpu", "--quiet")
    assert (code, err) == (0, "")
    assert out.count("nas compare ") == 2
    folder = tmp_path / "r-quick-device-cpu"
    assert {path.name for path in folder.iterdir()} == {"first", "second", "third.csv"}
    assert pd.read_csv(folder / "first" / "scores.csv")["arch"].nunique() == 2
    assert yaml.safe_load((folder / "second" / "config.yaml").read_text())["unique"] is True
    assert set(pd.read_csv(folder / "third.csv")["proxy"]) == {"params", "depth"}
    again = nas("run", "r.yaml", "--quick", "--device", "cpu", "--quiet")
    assert again == (code, out, err)


def test_one_command_writes_beside_the_recipe(nas, tmp_path):
    recipe = {"command": "bench", "proxies": "params", "data": "synthetic:size=8,classes=3", "batch_size": 12}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(recipe))
    assert nas("run", "small.yaml", "--set", "nasbench201.widths=4,8", "--out", "there")[0] == 0
    assert {row["proxy"] for row in json.loads((tmp_path / "there" / "bench.json").read_text())} == {
        "params", "all", "plain",
    }  # fmt: skip


WRONG = {
    "no command": ({"space": "nasbench201"}, "unknown command in .* 'None': known are bench, compare"),
    "another command": ({"command": "serach"}, "'serach'.*search"),
    "steps": ({"command": "search", "steps": {"a": 1}}, "'steps' is a list of commands"),
    "no steps": ({"command": "search", "steps": []}, "'steps' is a list of commands"),
    "no name": ({"command": "search", "steps": [{"seed": 1}]}, "a name of its own, without slashes, not ''"),
    "same name": ({"command": "search", "steps": [{"name": "a"}, {"name": "a"}]}, "a name of its own.*'a'"),
    "same name with a point": (
        {"command": "search", "steps": [{"name": "w0.5"}, {"name": "w0.5"}]},
        r"a name of its own.*'w0\.5'",
    ),
    "the folder above": ({"command": "search", "steps": [{"name": ".."}]}, r"a name of its own.*'\.\.'"),
    "a path": ({"command": "search", "steps": [{"name": "../a"}]}, r"a name of its own.*'\.\./a'"),
    "quick": ({"command": "search", "quick": 3}, "'quick' holds options"),
    "set": ({"command": "search", "set": {"evolution": 3}}, "options of evolution under 'set'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_recipe_is_told_why(case, tmp_path):
    recipe, message = WRONG[case]
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(UsageError, match=message):
        steps(tmp_path / "r.yaml", tmp_path)


def test_names_are_told_apart_to_their_end(tmp_path):
    (tmp_path / "r.yaml").write_text("command: search\nsteps: [{name: w0.5}, {name: w0.25}, {name: w0}]\n")
    assert [step.output.name for step in steps(tmp_path / "r.yaml", tmp_path)] == ["w0.5", "w0.25", "w0"]


@pytest.mark.parametrize("arguments", [["--run", "there"], ["--run=there"]])
def test_where_results_go_is_said_by_out(nas, tmp_path, arguments):
    (tmp_path / "r.yaml").write_text("command: search\nbudget: 1\n")
    code, _, err = nas("run", "r.yaml", *arguments)
    assert (code, err) == (
        2, "nas: the results of a recipe go where --out FOLDER says: give that in place of --run\n",
    )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]


def test_a_folder_is_no_recipe(nas):
    code, _, err = nas("run", ".")
    assert (code, err) == (2, "nas: . cannot be read: Is a directory\n")


def test_an_option_that_the_command_does_not_have(nas, tmp_path):
    (tmp_path / "r.yaml").write_text("command: search\nbugdet: 3\n")
    code, _, err = nas("run", "r.yaml")
    assert code == 2
    assert err.startswith("nas: No such option: --bugdet")


def test_config_names_the_command_for_a_recipe_of_several(nas, tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    code, _, err = nas("search", "--config", "r.yaml")
    assert (code, err) == (2, "nas: r.yaml is a recipe of several commands: nas run r.yaml\n")
