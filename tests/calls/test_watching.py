"""Progress where there is a terminal, a notebook or neither; numbers for a tracker of experiments."""

import re
import runpy
import sys
from types import ModuleType

import pytest
import rich.console
from cases import ROOT

import nas
from nas.calls import watching

CALL = {
    "space": "nasbench201", "data": "synthetic:size=8,classes=3", "batch_size": 12,
    "settings": {"nasbench201": {"widths": (4, 8), "repeats": 1}},
}  # fmt: skip


def test_a_line_now_and_then_without_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(watching, "SECONDS", 0)
    with watching.progress("searching", quiet=False) as watch:
        watch(3, 9, "best 4")
        watch(4, 9, "")
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"searching: 3 of 9, [\d.]+/s, best 4", lines[0])
    assert re.fullmatch(r"searching: 4 of 9, [\d.]+/s", lines[1])


def test_not_before_ten_seconds_and_never_quietly(monkeypatch, capsys):
    with watching.progress("searching", quiet=False) as watch:
        watch(3, 9, "")
    monkeypatch.setattr(watching, "SECONDS", 0)
    with watching.progress("searching", quiet=True) as watch:
        watch(3, 9, "")
    assert capsys.readouterr() == ("", "")


def test_a_call_in_a_notebook_shows_a_bar(monkeypatch):
    seen = []
    monkeypatch.setattr(watching, "in_notebook", lambda: True)
    monkeypatch.setattr(rich.console.Console, "is_terminal", True)
    advance = rich.progress.Progress.update
    monkeypatch.setattr(
        "rich.progress.Progress.update",
        lambda self, task, **fields: (
            seen.append((fields["completed"], fields["total"])) or advance(self, task, **fields)
        ),
    )
    nas.search(proxy="params", searcher="random_search", budget=3, **CALL)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    seen.clear()
    own = []
    nas.search(proxy="params", searcher="random_search", budget=2, watch=lambda *told: own.append(told[:2]), **CALL)
    assert (own, seen) == ([(1, 2), (2, 2)], [])


def test_a_notebook_is_told_by_its_kernel(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not watching.in_notebook()
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setattr("builtins.get_ipython", lambda: shell, raising=False)
    monkeypatch.setattr(rich.console, "get_ipython", lambda: shell, raising=False)
    assert watching.in_notebook()


def test_every_evaluation_is_logged_those_before_too(tmp_path):
    steps = []
    call = CALL | {"proxy": "naswot", "searcher": "random_search", "run_folder": tmp_path / "r"}
    nas.search(budget=2, log=lambda step, numbers: steps.append((step, numbers)), **call)
    result = nas.search(budget=4, log=lambda step, numbers: steps.append((step, numbers)), **call)
    assert [step for step, _ in steps] == [0, 1, 0, 1, 2, 3]
    last = result.trials.iloc[-1]
    expected = {name: float(last[name]) for name in ("score", "params", "flops", "seconds", "naswot")}
    assert steps[-1][1] == pytest.approx(expected | {"best": result.best.score})


def test_every_epoch_of_every_network_is_logged(tmp_path):
    steps = []
    archs = ["nats:1,1,1,1,1,1", "nats:2,2,2,2,2,2"]
    result = nas.train(
        archs=archs, epochs=2, out=tmp_path / "t", log=lambda step, numbers: steps.append((step, numbers)),
        **CALL | {"batch_size": 64},
    )  # fmt: skip
    assert [(step, numbers["network"], numbers["epoch"]) for step, numbers in steps] == [
        (1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 2, 2),
    ]  # fmt: skip
    accuracies = [numbers["validation_accuracy"] for _, numbers in steps]
    assert result.table["valid_accuracy"].tolist() == pytest.approx(
        [max(accuracies[:2]), max(accuracies[2:])], abs=1e-3
    )


@pytest.mark.parametrize(("name", "package"), [("to_tensorboard.py", "tensorboard"), ("to_mlflow.py", "mlflow")])
def test_the_examples_of_the_docs(name, package, tmp_path, monkeypatch):
    pytest.importorskip(package, reason=f"no {package}")
    page = (ROOT / "docs" / "tracking.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"```python\n# {re.escape(name)}\n(.*?)```", page, re.DOTALL)
    (tmp_path / "example.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())  # else a database, which its small
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # distribution lacks
    runpy.run_path("example.py")
    written = [file for file in tmp_path.rglob("*") if file.is_file() and file.name != "example.py"]
    assert any(file.stat().st_size for file in written)
