"""`nas.compare` from table to frames."""

import numpy as np
import pandas as pd
import pytest
from searches import COMPARE

import nas
from nas.errors import UsageError
from nas.scoring.measurer import Measurer


def test_compare_writes_the_contract(table, tmp_path):
    found = nas.compare("nasbench201", table, "accuracy", "gradsign,ntk", 12, 2, **COMPARE, run_folder=tmp_path / "run")
    scores = pd.read_csv(tmp_path / "run" / "scores.csv")
    assert list(scores) == ["arch", "proxy", "seed", "value", "status", "reason", "seconds"]
    assert len(scores) == 12 * 2 * 5
    rows = pd.read_csv(tmp_path / "run" / "correlations.csv")
    assert list(rows) == [
        "proxy", "seed", "n", "failed", "kendall", "kendall_lo", "kendall_hi", "spearman", "spearman_lo", "spearman_hi",
        "kendall_given_params", "kendall_top_10pct", "precision_at_5pct", "ndcg", "best_at_1", "best_at_10", "regret",
        "ms_per_arch", "peak_mb",
    ]  # fmt: skip
    assert set(rows["proxy"]) == {"gradsign", "ntk", "params", "flops", "depth"}
    assert set(rows["seed"]) == {"0", "1", "all"}
    assert set(found.scores["seed"]) == {0, 1}


def test_compare_signs_by_the_declared_direction(table):
    found = nas.compare("nasbench201", table, "accuracy", "ntk", "all", **COMPARE)
    values = found.scores[found.scores["proxy"] == "ntk"].set_index("arch")["value"].astype(float)
    truth = pd.read_csv(table).set_index("arch")["accuracy"]
    ranked = (-values).fillna(-np.inf)
    expected = ranked.rank().corr(truth.loc[ranked.index], method="kendall")
    row = found.correlations.query("proxy == 'ntk' and seed == 'all'").iloc[0]
    assert row["kendall"] == pytest.approx(expected)
    assert row["failed"] == values.isna().sum()


def test_an_interrupted_comparison_continues(table, tmp_path, monkeypatch):
    whole = nas.compare("nasbench201", table, "accuracy", "gradsign", 10, **COMPARE, run_folder=tmp_path / "a")
    lines = (tmp_path / "a" / "scores.csv").read_text().splitlines(keepends=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.yaml").write_text((tmp_path / "a" / "config.yaml").read_text())
    (tmp_path / "b" / "scores.csv").write_text("".join(lines[:23]) + lines[23][:9])
    visits = []
    original = Measurer._visit
    monkeypatch.setattr(Measurer, "_visit", lambda self, *args: visits.append(args[0]) or original(self, *args))
    again = nas.compare("nasbench201", table, "accuracy", "gradsign", 10, **COMPARE, run_folder=tmp_path / "b")
    assert len(set(visits)) < 10
    pd.testing.assert_frame_equal(
        again.correlations.drop(columns=["ms_per_arch", "peak_mb"]),
        whole.correlations.drop(columns=["ms_per_arch", "peak_mb"]),
    )


def test_compare_within_the_groups_of_a_column(table, tmp_path):
    frame = pd.read_csv(table)
    frame["recipe"] = ["long", "short"] * (len(frame) // 2) + ["long"] * (len(frame) % 2)
    frame.rename(columns={"arch": "cell"}).to_csv(tmp_path / "named.csv", index=False)
    call = {**COMPARE, "within": "recipe", "run_folder": tmp_path / "run"}
    found = nas.compare("nasbench201", tmp_path / "named.csv", "-accuracy", "params", 12, **call)
    written = pd.read_csv(tmp_path / "run" / "groups.csv")
    pd.testing.assert_frame_equal(written, found.groups)
    scores = found.scores[found.scores["proxy"] == "params"].set_index("arch")["value"].astype(float)
    truth = -frame.set_index("arch")["accuracy"].loc[scores.index]
    recipes = frame.set_index("arch")["recipe"].loc[scores.index]
    for recipe in ("long", "short"):
        own = recipes.index[recipes == recipe]
        row = found.groups.query("proxy == 'params' and group == @recipe").iloc[0]
        assert row["n"] == len(own)
        assert row["kendall"] == pytest.approx(scores.loc[own].rank().corr(truth.loc[own], method="kendall"))
    with pytest.raises(UsageError, match=r"unknown column of .*named\.csv 'recipes': .*did you mean 'recipe'"):
        nas.compare("nasbench201", tmp_path / "named.csv", "accuracy", "params", 4, within="recipes", **COMPARE)
