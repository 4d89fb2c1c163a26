"""Architectures side by side: the same results, and workers that die."""

import csv
from pathlib import Path

import pytest
import torch
from trainings import CELL, NARROW, OTHER, conditions, stripes_file

from nas.space import SPACES
from nas.training.checkpoint import TrainingFolder
from nas.training.network import train_network
from nas.training.several import Job, Plan, train_here, train_in_processes

DYING = '''
"""A network whose process is killed: always, or once, in the second epoch."""

import os
import signal
from pathlib import Path

import torch
from torch import nn


class Dying(nn.Module):
    def __init__(self, classes, channels, again):
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3, stride=2)
        self.head = nn.Linear(4, classes)
        self.again = again

    def forward(self, x):
        kept = list(Path("trainings").glob("*/history.csv"))
        if kept and (self.again or not Path("killed").exists()):
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.head(torch.relu(self.stem(x)).mean((2, 3)))


def once(classes, channels):
    return Dying(classes, channels, False)


def always(classes, channels):
    return Dying(classes, channels, True)
'''


def plan(data, cond, space="nasbench201", options=None, **given):
    settings = NARROW["nasbench201"] if options is None else options
    return Plan(
        space=space, options=settings, plugins=(), data=str(data), recipe=cond.recipe, device="cpu", events=False,
        folder=str(Path.cwd()), threads=torch.get_num_threads(),
    )  # fmt: skip


def rows(folder):
    return [row[:-1] for row in csv.reader((folder / "history.csv").read_text().splitlines())]


@pytest.mark.long
def test_workers_train_what_is_trained_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cond = conditions(epochs=2)
    texts = [cond.space.text(cond.space.parse(text)) for text in (CELL, OTHER)]
    here = [Job(text, TrainingFolder(tmp_path / f"here{n}")) for n, text in enumerate(texts)]
    there = [Job(text, TrainingFolder(tmp_path / f"there{n}")) for n, text in enumerate(texts)]
    told = []
    expected = dict(train_here(cond, here, lambda done, total, note: told.append((done, total))))
    steps = 2 * cond.recipe.steps(len(cond.splits.train))
    assert told == [(step, steps) for step in range(1, steps + 1)]
    told.clear()
    done = dict(train_in_processes(plan(stripes_file(tmp_path), cond), there, 2, lambda *what: told.append(what)))
    assert told[-1] == (4, 4, "2 of 2 networks")
    for number in (0, 1):
        assert done[number].result | {"seconds": 0} == expected[number].result | {"seconds": 0}
        assert rows(there[number].folder.path) == rows(here[number].folder.path)
        weights = done[number].weights("best")
        assert all(torch.equal(weights[name], value) for name, value in expected[number].weights("best").items())


@pytest.mark.parametrize("how", ["once", "always"])
@pytest.mark.long
def test_a_worker_that_dies(tmp_path, monkeypatch, how):
    """Another one goes on where it stopped; a network that kills two of them is lost, and tried again another time."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dying.py").write_text(DYING)
    cond, data = conditions(), stripes_file(tmp_path)
    folder = TrainingFolder(tmp_path / "trainings" / "one")
    told = plan(data, cond, "networks", {})
    ((_, done),) = train_in_processes(told, [Job(f"dying.py:{how}", folder)], 1)
    assert (tmp_path / "killed").exists()
    if how == "once":
        assert done.trained
        assert [row[0] for row in rows(folder.path)[1:]] == ["1", "2", "3"]
        undisturbed = TrainingFolder(tmp_path / "undisturbed")
        ((_, whole),) = train_here(told.conditions("cpu"), [Job("dying.py:once", undisturbed)])
        assert rows(folder.path) == rows(undisturbed.path)
        assert whole.result | {"seconds": 0} == done.result | {"seconds": 0}
    else:
        assert done.result["status"] == "lost"
        assert done.result["reason"] == "2 workers died while training it: signal 9, perhaps out of memory"
        assert (folder.path / "checkpoint.pt").exists()
        assert folder.result() is None
        (tmp_path / "dying.py").write_text(DYING.replace("self.again or", ""))
        ((_, done),) = train_here(told.conditions("cpu"), [Job("dying.py:always", folder)])
        assert done.trained


def test_a_network_that_fails_is_its_own_failure(tmp_path):
    (tmp_path / "own.py").write_text("def net(classes): raise KeyError('gone')\n")
    cond = conditions()
    space = SPACES["networks"]()
    folder = TrainingFolder(tmp_path / "one")
    failed = train_network(
        type(cond)(space, cond.splits, cond.recipe, cond.device), space.parse(f"{tmp_path}/own.py:net"), folder
    )
    assert failed.result["status"] == "failed"
    assert "KeyError: 'gone'" in failed.result["reason"]
    assert folder.result() == failed.result
