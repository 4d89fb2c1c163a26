"""The verdict in the run's folder, the comparison without a table, and one whose table is trained for it."""

import shlex

import pandas as pd
import pytest
import yaml
from searches import COMPARE
from trainings import NARROW, stripes_file

import nas
from nas.errors import UsageError
from nas.statistics import spread


def test_the_verdict_is_written_and_recommends_a_command(table, tmp_path):
    result = nas.compare("nasbench201", table, "accuracy", "gradsign", 20, **COMPARE, run_folder=tmp_path / "run")
    written = yaml.safe_load((tmp_path / "run" / "verdict.yaml").read_text())
    assert written["best"] == result.verdict.best
    assert written["architectures"] == 20
    assert written["words"] == list(result.words)
    command = shlex.split(written["recommendation"])
    assert result.words[-1] == f"next: {written['recommendation']}"
    assert command[:4] == ["nas", "search", "--space", "nasbench201"]
    assert command[command.index("--proxy") + 1] == written["best"]
    assert "Verdict" in (tmp_path / "run" / "report.html").read_text()


def test_the_verdict_on_more_architectures_than_are_resampled(table, tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "MAX_RESAMPLED", 10)
    run = tmp_path / "run"
    result = nas.compare("nasbench201", table, "accuracy", "gradsign,naswot", 20, **COMPARE, run_folder=run)
    written = yaml.safe_load((run / "verdict.yaml").read_text())
    numbers = {name: getattr(result.verdict, name) for name, value in written.items() if isinstance(value, float)}
    assert numbers.keys() >= {"kendall", "kendall_lo", "kendall_hi", "given_kendall", "given_lo", "given_hi"}
    assert {name: written[name] for name in numbers} == pytest.approx(numbers)


def test_without_a_table_proxies_are_compared_with_themselves(tmp_path):
    run = tmp_path / "run"
    result = nas.compare("nasbench201", proxies="gradsign,params", archs=12, seeds=2, **COMPARE, run_folder=run)
    assert result.verdict is None
    frame = pd.read_csv(run / "agreement.csv").set_index(["proxy_a", "proxy_b"])["spearman"]
    assert frame["params", "params"] == pytest.approx(1)
    assert ("gradsign", "depth") in frame.index
    before = (run / "scores.csv").read_bytes()
    again = nas.compare("nasbench201", proxies="gradsign,params", archs=12, seeds=2, **COMPARE, run_folder=run)
    pd.testing.assert_frame_equal(again.agreement, result.agreement)
    assert (run / "scores.csv").read_bytes() == before
    assert "chance" in yaml.safe_load((run / "verdict.yaml").read_text())
    assert "themselves" in (run / "report.html").read_text()


def test_a_table_is_trained_where_there_is_none(tmp_path):
    data = stripes_file(tmp_path)
    given = {"data": data, "batch_size": 12, "settings": NARROW, "evaluate": 3, "epochs": 1, "proxies": "params"}
    result = nas.compare("nasbench201", **given, run_folder=tmp_path / "run")
    trained = pd.read_csv(tmp_path / "run" / "networks" / "table.csv").set_index("arch")
    pd.testing.assert_series_equal(result.truth.sort_index(), trained["test_accuracy"].sort_index(), check_names=False)
    files = sorted((tmp_path / "run" / "networks").glob("*/best.pt"))
    times = [file.stat().st_mtime_ns for file in files]
    nas.compare("nasbench201", **given, run_folder=tmp_path / "run")
    assert [file.stat().st_mtime_ns for file in files] == times


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"table": "t.csv"}, "no column of it is named: --target names it"),
        ({"target": "accuracy"}, "is a column of a table, and none is named: --table names it"),
        ({"table": "t.csv", "evaluate": 3}, "leave out one of the two"),
        ({"evaluate": 1}, "evaluate is a whole number: give at least 2"),
        ({"evaluate": 3}, "no data were named to train on"),
        ({"archs": "some"}, "--archs takes a number where there is no table, not 'some'"),
    ],
)
def test_a_truth_that_cannot_be(given, reason):
    with pytest.raises(UsageError, match=reason):
        nas.compare("nasbench201", **given)
