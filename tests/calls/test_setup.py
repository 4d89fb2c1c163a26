"""What stands fixed in a run, said once: names normalised, one source for the record and the folder's name."""

import inspect
import subprocess
import sys
from dataclasses import fields
from typing import get_args

import pytest
import typer
import yaml

import nas
from nas.calls.options import DEFAULTS, ELSEWHERE, OPTIONS
from nas.calls.setup import Setup, normalised
from nas.errors import UsageError
from nas.runs.folder import read_yaml

SMALL = ("--budget", "3", "--data", "synthetic:size=8", "--batch-size", "8", "--quiet")


def test_options_are_stated_once():
    assert set(OPTIONS) == set(DEFAULTS)
    assert {field.name for field in fields(Setup)} == {"space", "space_name", *OPTIONS}
    assert set(ELSEWHERE) < set(OPTIONS)
    for call in (nas.search, nas.compare, nas.score, nas.bench, nas.study):
        assert not set(inspect.signature(call).parameters) & set(OPTIONS), f"{call.__name__} states one again"


def test_each_option_has_its_words_on_the_command_line():
    for annotation in OPTIONS.values():
        option = get_args(annotation)[-1]
        assert isinstance(option, type(typer.Option()))
        assert option.help


def test_reading_the_options_takes_no_torch():
    code = "import sys, nas.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_are_normalised():
    setup = Setup.of("NASBench201", {"settings": {"GradAlign-I": {"Per-Class": False}}, "precision": "Float64"})
    assert (setup.space_name, setup.precision) == ("nasbench201", "float64")
    assert setup.settings == {"gradalign_i": {"per_class": False}}
    recorded = {
        "space": "NASBench201",
        "proxy": "Params+NASWOT",
        "searcher": "Evolution",
        "set": {"NTK": {"Loss": True}},
    }
    assert normalised(recorded) == {
        "space": "nasbench201", "proxy": "params+naswot", "searcher": "evolution", "set": {"ntk": {"loss": True}},
    }  # fmt: skip


def test_what_a_later_version_does_not_know_is_left_as_it_is():
    assert normalised({"space": "of_a_stranger", "colour": 1}) == {"space": "of_a_stranger", "colour": 1}


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (("--proxy", "params"), ("--proxy", "Params")),
        (("--space", "nasbench201", "--proxy", "params"), ("--space", "NASBench201", "--proxy", "params")),
        (("--proxy", "params", "--searcher", "random_search"), ("--proxy", "params", "--searcher", "Random-Search")),
        (("--proxy", "depth+params"), ("--proxy", "Depth+Params")),
        (
            ("--proxy", "params", "--set", "evolution.population=2"),
            ("--proxy", "params", "--set", "Evolution.Population=2"),
        ),
    ],
)
def test_a_run_is_continued_under_another_spelling(nas, tmp_path, first, again):
    assert nas("search", *first, *SMALL)[0] == 0
    (folder,) = (tmp_path / "runs").iterdir()
    before = (folder / "trials.jsonl").read_bytes()
    assert nas("search", *again, *SMALL)[0] == 0
    assert list((tmp_path / "runs").iterdir()) == [folder]
    assert (folder / "trials.jsonl").read_bytes() == before


def test_a_folder_with_names_as_they_were_written_is_continued(nas, tmp_path):
    """Earlier versions recorded what the user wrote."""
    assert nas("search", "--proxy", "params", *SMALL, "--run", tmp_path / "a")[0] == 0
    config = read_yaml(tmp_path / "a" / "config.yaml")
    (tmp_path / "a" / "config.yaml").write_text(yaml.safe_dump(config | {"proxy": "Params", "space": "NASBench201"}))
    code, _, err = nas("search", "--proxy", "params", *SMALL, "--run", tmp_path / "a")
    assert code == 0, err


def test_the_default_folder_is_where_it_was(nas, tmp_path):
    """The digest in the name of a default folder, as the first versions computed it."""
    assert nas("search", "--proxy", "params", *SMALL)[0] == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == "search-nasbench201-params-evolution-fce2773c"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"seed": -1}, "seed is a whole number"),
        ({"batch_size": 2.5}, "batch_size is a whole number"),
        ({"workers": 0}, "workers is a whole number"),
        ({"timeout": -1}, "timeout is a number of seconds"),
        ({"precision": "float33"}, "unknown precision 'float33'.*did you mean 'float32'"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
        ({"constraints": 5}, "constraints takes a text or a list of texts, not 5"),
        ({"settings": {"evolutoin": {}}}, "unknown plug-in 'evolutoin'.*did you mean 'evolution'"),
        ({"worker": 2}, "unknown option of this call 'worker'.*did you mean 'workers'"),
        ({"settings": 5}, "settings are options by plug-in"),
        ({"plugin": 5}, "plugin takes a text or a list of texts"),
    ],
)
def test_what_does_not_fit_is_one_sentence(given, sentence):
    with pytest.raises(UsageError, match=sentence):
        Setup.of("nasbench201", given)


@pytest.mark.parametrize("option", ELSEWHERE)
def test_a_call_refuses_what_means_nothing_to_it(option):
    with pytest.raises(UsageError, match=f"unknown option of this call '{option}'"):
        nas.bench(proxies="params", **{option: 2})
