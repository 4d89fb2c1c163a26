"""What a search leaves, and `nas.load`, which reads the same from its folder."""

import json

import pandas as pd
import pytest
import torch

import nas
from nas.errors import UsageError
from nas.runs.folder import read_yaml
from nas.space import Task

SMALL = {"data": "synthetic:size=8,classes=3", "batch_size": 12, "seed": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("search") / "run"
    nas.search("nasbench201", "params", "evolution", 12, constraints="params<=0.5e6", run_folder=path, **SMALL)
    return path


def test_the_folder_gives_the_same_result(folder):
    there = nas.load(folder)
    here = nas.search("nasbench201", "params", "evolution", 12, constraints="params<=0.5e6", **SMALL)
    assert there.best == here.best
    assert there.folder == folder
    assert here.folder is None
    pd.testing.assert_frame_equal(there.trials.drop(columns="seconds"), here.trials.drop(columns="seconds"))


def test_best_yaml_holds_the_task(folder):
    best = read_yaml(folder / "best.yaml")
    assert best["task"] == {"classes": 3, "channels": 3, "size": 8}
    assert list(best)[:6] == ["arch", "score", "values", "params", "flops", "task"]


def test_a_network_for_the_run_and_for_another_task(folder):
    result = nas.load(folder)
    net = result.network()
    assert sum(p.numel() for p in net.parameters()) == result.best.params
    assert net(torch.randn(2, 3, 8, 8)).shape == (2, 3)
    other = result.network(classes=7, channels=1, size=16)
    assert other(torch.randn(2, 1, 16, 16)).shape == (2, 7)
    again = result.network()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    named = result.network("nats:1,1,1,1,1,1")
    assert sum(p.numel() for p in named.parameters()) < result.best.params


def test_plot_draws_the_course(folder, tmp_path):
    nas.load(folder).plot().savefig(tmp_path / "course.svg")
    assert (tmp_path / "course.svg").stat().st_size > 1000


def test_build_is_one_line():
    net = nas.build("nasbench201", "1462", classes=7, seed=3)
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 7)
    same = nas.build("NASBench201", "1462", classes=7, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), same.parameters(), strict=True))
    thin = nas.build("nasbench101", _module(), settings={"nasbench101": {"stem": 16}})
    assert sum(p.numel() for p in thin.parameters()) < 1e6


def _module():
    matrix = [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    return json.dumps({"matrix": matrix, "ops": ["input", "conv3x3-bn-relu", "output"]})


def test_an_interrupted_run_can_be_loaded(folder, tmp_path):
    (tmp_path / "config.yaml").write_bytes((folder / "config.yaml").read_bytes())
    lines = (folder / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "trials.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:20])
    before = (tmp_path / "trials.jsonl").read_bytes()
    result = nas.load(tmp_path)
    assert len(result.trials) == 5
    assert result.best.task == Task(3, 3, 8)
    assert (tmp_path / "trials.jsonl").read_bytes() == before, "looking at it changes it"


def test_what_is_no_search_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"config.yaml cannot be read"):
        nas.load(tmp_path)
    (tmp_path / "config.yaml").write_text("space: nasbench201\ntarget: x\n")
    with pytest.raises(UsageError, match="holds no search"):
        nas.load(tmp_path)


def test_a_folder_never_runs_code_by_itself(tmp_path):
    plugin = tmp_path / "own.py"
    plugin.write_text(
        "from nas.proxy import proxy\n\n@proxy('of_load_test')\ndef f(probe):\n    return float(probe.params)\n"
    )
    nas.search("nasbench201", "of_load_test", "random_search", 2, plugin=plugin, run_folder=tmp_path / "run", **SMALL)
    plugin.write_text(plugin.read_text() + f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(UsageError, match=r"1 more plug-ins: name the files with plugin=…: .*own\.py"):
        nas.load(tmp_path / "run")
    assert not (tmp_path / "ran").exists()
    assert len(nas.load(tmp_path / "run", plugin=plugin).trials) == 2
