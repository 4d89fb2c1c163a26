"""Costs in searches: of this machine, recorded with the run; and of a table's column."""

import json
import re
import shlex

import pandas as pd
import pytest
from searches import recorded

import nas
from nas.calls import setup as fixed
from nas.errors import UsageError
from nas.proxy import PROXIES, proxy
from nas.runs.command import command
from nas.runs.folder import read_yaml
from nas.scoring.measurer import costs
from nas.space import SPACES

SETTINGS = {"cells": {"widths": (4, 8), "repeats": 1}}  # 27 cells
GIVEN = {"data": "synthetic:classes=3,size=8", "batch_size": 12, "settings": SETTINGS}
SPACE = SPACES["cells"](**SETTINGS["cells"])


@pytest.fixture
def toy():
    """A latency that drifts: each measurement of the same network is another one, by up to a tenth."""
    state = {"asked": 0}
    with PROXIES.put_back():

        @proxy("toy_latency", machine=True, larger_is_better=False)
        def toy_latency(probe):
            state["asked"] += 1
            return probe.params / 1000 * (1 + 0.1 * (state["asked"] * 0.618 % 1))

        yield state


def search(budget=12, **given):
    return nas.search("cells", "depth", given.pop("searcher", "evolution"), budget, **GIVEN | given)


@pytest.mark.parametrize(
    ("given", "cut"),
    [
        ({"constraints": "toy_latency<=1.6"}, 0),
        ({"searcher": "nsga2", "minimise": "toy_latency"}, 5),
        ({"searcher": "nsga2", "minimise": "toy_latency", "constraints": "toy_latency<=1.6"}, 11),
    ],
)
def test_a_run_that_goes_on_takes_what_it_measured(tmp_path, toy, given, cut):
    run = tmp_path / "run"
    search(**given, run_folder=run)
    whole = recorded(run)
    lines = {name: (run / name).read_bytes().splitlines(keepends=True) for name in ("trials.jsonl", "machine.jsonl")}
    asked = toy["asked"]
    assert len(lines["machine.jsonl"]) == asked
    (run / "trials.jsonl").write_bytes(b"".join(lines["trials.jsonl"][:cut]) + b'{"number"')  # killed in writing
    search(**given, run_folder=run)
    assert toy["asked"] == asked  # all of it was known
    assert recorded(run) == whole
    assert (run / "machine.jsonl").read_bytes() == b"".join(lines["machine.jsonl"])
    assert read_yaml(run / "config.yaml")["machine"]
    assert nas.load(run).best.arch == read_yaml(run / "best.yaml")["arch"]


def test_another_machine_does_not_go_on(tmp_path, toy, monkeypatch):
    search(constraints="toy_latency<=1.6", run_folder=tmp_path / "run")
    search(run_folder=tmp_path / "counts")
    assert "machine" not in read_yaml(tmp_path / "counts" / "config.yaml")
    monkeypatch.setattr(fixed, "machine", lambda device: "another one")
    search(run_folder=tmp_path / "counts")  # counts are the same everywhere
    with pytest.raises(UsageError, match=r"holds a run with machine '.*', not 'another one': give another folder"):
        search(constraints="toy_latency<=1.6", run_folder=tmp_path / "run")


def test_what_was_measured_and_is_damaged_is_named(tmp_path, toy):
    search(constraints="toy_latency<=1.6", run_folder=tmp_path / "run")
    file = tmp_path / "run" / "machine.jsonl"
    first, *others = file.read_text().splitlines(keepends=True)
    for wrong in ({"value": "fast"}, {"value": None}, {"arch": "nonsense"}, {"proxy": 3}, {"value": float("inf")}):
        file.write_text(json.dumps(json.loads(first) | wrong) + "\n" + "".join(others))
        with pytest.raises(UsageError, match=r"machine\.jsonl: line 1"):
            search(constraints="toy_latency<=1.6", run_folder=tmp_path / "run")


def table(folder, archs, **columns):
    frame = pd.DataFrame({"arch": [SPACE.text(arch) for arch in archs]} | columns)
    frame.to_csv(folder / "hardware.csv", index=False)
    return f"raspi={folder}/hardware.csv:ms"


def test_a_column_is_a_cost(tmp_path):
    archs = list(SPACE)
    taken = {SPACE.text(arch): float(archs.index(SPACE.canonical(arch)) % 7) for arch in archs}
    cost = table(tmp_path, archs, ms=list(taken.values()))
    result = search(27, costs=cost, constraints="raspi<=2", searcher="random_search", run_folder=tmp_path / "run")
    assert {taken[arch] for arch in result.trials["arch"]} <= {0.0, 1.0, 2.0}
    assert result.best.costs == {"raspi": taken[result.best.arch]}
    several = search(27, costs=cost, searcher="nsga2", minimise="raspi", run_folder=tmp_path / "front")
    assert list(several.trials["raspi"]) == [taken[arch] for arch in several.trials["arch"]]
    assert list(several.front["raspi"]) == [taken[arch] for arch in several.front["arch"]]
    assert nas.load(tmp_path / "front").front.equals(several.front)
    assert nas.search("cells", "raspi", "evolution", 12, costs=cost, **GIVEN).best.score <= 0  # the smallest is best
    rows = nas.score("cells", [SPACE.text(archs[5])], "raspi,params", costs=cost, **GIVEN)
    assert rows["value"].iloc[0] == 5
    # the same command goes on; with other numbers in the file it does not
    search(27, costs=cost, searcher="nsga2", minimise="raspi", run_folder=tmp_path / "front")
    table(tmp_path, archs, ms=[value + 1 for value in taken.values()])
    with pytest.raises(UsageError, match="another version of the cost raspi"):
        search(27, costs=cost, searcher="nsga2", minimise="raspi", run_folder=tmp_path / "front")


def test_what_is_not_in_the_table(tmp_path):
    archs = list(SPACE)
    cost = table(tmp_path, archs[:5], ms=[1.0, 2.0, 3.0, None, 5.0])
    with pytest.raises(UsageError, match=r"nobody knows whether .* keeps raspi<=9: .*hardware\.csv has no ms of "):
        search(27, costs=cost, constraints="raspi<=9", searcher="random_search")
    trials = search(27, costs=cost, searcher="nsga2", minimise="raspi").trials
    failed = trials[trials["status"] == "failed"]
    assert len(failed)
    assert failed["reason"].str.contains("has no ms of").all()


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ("raspi", r"cost 'raspi' is not of the form NAME=FILE:COLUMN, like raspi4="),
        ("params=hardware.csv:ms", "there is a proxy 'params' already"),
        ("raspi=hardware.csv:nm", r"unknown column of hardware\.csv 'nm'.*ms"),
        ("raspi=nowhere.csv:ms", r"nowhere\.csv"),
        (["raspi=hardware.csv:ms", "Raspi=hardware.csv:ms"], "two costs are called 'raspi'"),
        (3, "costs takes a text or a list of texts"),
    ],
)
def test_wrong_costs_are_one_sentence(tmp_path, monkeypatch, cost, message):
    monkeypatch.chdir(tmp_path)
    table(tmp_path, list(SPACE), ms=1.0)
    with pytest.raises(UsageError, match=message):
        search(costs=cost, constraints="raspi<=3")


def test_every_trial_has_its_counts(tmp_path):
    result = search(20, run_folder=tmp_path / "run", baseline=True)
    data = nas.calls.setup.Setup.of("cells", GIVEN).minibatch()
    for frame in (result.trials, result.random):
        for row in frame.itertuples():
            expected = costs(SPACE, SPACE.parse(row.arch), data)
            assert (row.params, row.flops) == (expected["params"], expected["flops"])
    assert {"params", "flops"} <= set(recorded(tmp_path / "run")[0])
    pruned = nas.search("cells", "depth", "pruning", 40, **GIVEN).trials
    assert pruned.loc[~pruned["leaf"], "params"].isna().all()
    assert pruned.loc[pruned["leaf"], "params"].notna().all()


def test_random_search_beside_it(tmp_path):
    result = search(20, run_folder=tmp_path / "run", baseline=True)
    alone = search(20, searcher="random_search")
    columns = ["number", "arch", "score", "params"]
    assert result.random[columns].equals(alone.trials[columns])
    file = tmp_path / "run" / "random.jsonl"
    whole = file.read_bytes()
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:6]))
    search(20, run_folder=tmp_path / "run", baseline=True)
    assert len(file.read_bytes().splitlines()) == 20
    assert nas.load(tmp_path / "run").random[columns].equals(alone.trials[columns])
    assert search(20).random.empty
    page = (tmp_path / "run" / "report.html").read_text()
    for heading in ("Against random search", "Score against cost", "What made this"):
        assert heading in page
    assert "Score against parameters" in page
    shown = re.sub("<[^>]*>", "", page)
    assert "nas search --space cells --proxy depth --searcher evolution --budget 20" in shown
    assert "--baseline" in shown
    fronts = search(20, searcher="nsga2", minimise="params", baseline=True)
    assert list(fronts.random_front.columns) == ["arch", "depth", "params"]
    assert len(fronts.random) == 20
    every = [values for frame in (fronts.trials, fronts.random) for values in frame["objectives"]]
    worst = [min(column) for column in zip(*every, strict=True)]
    for name, frame in (("search", fronts.trials), ("random", fronts.random)):
        assert fronts.hypervolumes[name] == pytest.approx(area(frame["objectives"], worst))
    assert result.hypervolumes == {}


def area(values, worst):
    """What two objectives dominate above ``worst``: strips from the best first objective on."""
    total, highest = 0.0, worst[1]
    for first, second in sorted(values, reverse=True):
        total += (first - worst[0]) * max(0.0, second - highest)
        highest = max(highest, second)
    return total


def test_the_command_of_a_run():
    config = {"space": "cells", "proxy": "a+b", "minimise": ["latency", "raspi"], "cost": ["raspi=it's.csv:ms"],
              "unique": True, "quick": False, "set": {"cells": {"widths": [4, 8], "repeats": 1}}, "plugin": [],
              "machine": "m", "versions": {"torch": "2"}, "lr": None, "batch_size": 12}  # fmt: skip
    words = shlex.split(command("search", config))
    assert words == [
        "nas", "search", "--space", "cells", "--proxy", "a+b", "--minimise", "latency", "--minimise", "raspi", "--cost",
        "raspi=it's.csv:ms", "--unique", "--set", "cells.widths=[4, 8]", "--set", "cells.repeats=1", "--batch-size",
        "12",
    ]  # fmt: skip
