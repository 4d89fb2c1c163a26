"""Which architectures a comparison takes, and what it says of their memory."""

import numpy as np
import pandas as pd
import pytest

import nas
from nas.errors import UsageError

ISOMORPHIC = ["nats:1,3,0,1,3,1", "nats:3,1,0,1,1,3"]
CELLS = [*ISOMORPHIC, "nats:3,3,1,3,1,3", "nats:1,1,1,1,1,1", "nats:2,1,1,1,1,2", "nats:3,3,3,3,3,3"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    pd.DataFrame({"arch": CELLS, "accuracy": np.linspace(50, 90, len(CELLS))}).to_csv(path, index=False)
    return path


COMPARE = {"proxies": "params", "data": "synthetic:classes=3,size=8", "batch_size": 12, "device": "cpu"}


def test_isomorphic_architectures_are_counted_or_dropped(table):
    found = nas.compare("nasbench201", table, "accuracy", **COMPARE)
    space = found.scores["arch"].nunique()
    assert (space, found.duplicates) == (6, 1)
    dropped = nas.compare("nasbench201", table, "accuracy", unique=True, **COMPARE)
    assert (dropped.scores["arch"].nunique(), dropped.duplicates) == (5, 0)


def test_limits_hold_for_what_is_compared(table):
    everything = nas.compare("nasbench201", table, "accuracy", **COMPARE).scores
    sizes = everything[everything["proxy"] == "params"].set_index("arch")["value"].astype(float)
    bound = sorted(set(sizes))[2]
    found = nas.compare("nasbench201", table, "accuracy", constraints=f"params<={bound}", **COMPARE)
    assert set(found.scores["arch"]) == set(sizes[sizes <= bound].index)
    with pytest.raises(
        UsageError, match=r"5 architectures cannot be drawn: of the table's 6, \d are within the limits"
    ):
        nas.compare("nasbench201", table, "accuracy", archs=5, constraints=[f"params<={bound}"], **COMPARE)
    with pytest.raises(UsageError, match="6 architectures cannot be drawn"):
        nas.compare("nasbench201", table, "accuracy", constraints=["params<=1"], **COMPARE)


@pytest.mark.long
def test_memory_is_that_of_each_proxy_and_kept(table, tmp_path, monkeypatch):
    asked = COMPARE | {"proxies": "gradalign_i,params", "run_folder": tmp_path / "run"}
    first = nas.compare("nasbench201", table, "accuracy", **asked).correlations
    peaks = first.drop_duplicates("proxy").set_index("proxy")["peak_mb"]
    assert peaks["gradalign_i"] > peaks["params"] >= 0
    monkeypatch.setattr("nas.calls.compare.peak_memories", lambda *arguments: pytest.fail("measured again"))
    again = nas.compare("nasbench201", table, "accuracy", **asked).correlations
    pd.testing.assert_frame_equal(again, first)
