"""Numbers and texts of any size and kind: the run ends, is continued, and its files and pages can be read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pages import ARCHS

import nas
from nas.proxy import PROXIES

PLUGIN = """
import sys
from nas.proxy import ProxyFailure, proxy

class Evil(float):
    def __float__(self):
        raise SystemExit(3)

ANSWERS = {
    "huge": lambda: 1.7e308,
    "long": lambda: 10**400,
    "evil": lambda: Evil(3.0),
    "leaving": lambda: sys.exit(0),
    "tiny": lambda: 5e-324,
}
TEXT = "\\ud800 \\x00 \\x1b[31m </script><b> \\u202e line\\nline " + "x" * 2_000_000

def strange(probe):
    return (probe.params // 9) % 2

for name, answer in ANSWERS.items():
    @proxy(name)
    def numbers(probe, answer=answer):
        return answer() if strange(probe) else -1.7e308

@proxy("mixed", initialisations=3)
def mixed(probe):
    return 1.7e308 if strange(probe) else probe.params

@proxy("wordy")
def wordy(probe):
    if strange(probe):
        raise ProxyFailure(TEXT)
    return 1.0

@proxy("odd_status")
def odd_status(probe):
    if strange(probe):
        raise type("Odd", (ProxyFailure,), {"status": "ok"})("not ok")
    return 1.0

@proxy("mute")
def mute(probe):
    if strange(probe):
        raise type("Mute", (Exception,), {"__str__": lambda self: 1 / 0})()
    return 1.0
"""
REASONS = {
    "huge": "", "tiny": "", "mixed": "", "huge+tiny": "",
    "long": "the proxy returned a whole number of 1329 bits",
    "evil": "SystemExit: 3",
    "leaving": "SystemExit: 0",
    "wordy": (r"\ud800 \x00 \x1b[31m </script><b> \u202e line line " + "x" * 500)[:500] + " …",
    "odd_status": "not ok",
    "mute": "Mute: no message, for it raises ZeroDivisionError",
}  # fmt: skip
SETTINGS = {"nasbench201": {"widths": (4, 8), "repeats": 1}, "evolution": {"population": 4}}


@pytest.fixture
def given(tmp_path):
    (tmp_path / "strange.py").write_text(PLUGIN)
    with PROXIES.put_back():
        yield {
            "data": "synthetic:classes=3,size=8", "batch_size": 12, "settings": SETTINGS,
            "plugin": [tmp_path / "strange.py"], "run_folder": tmp_path / "run",
        }  # fmt: skip


@pytest.mark.parametrize("proxy", [name for name in REASONS if name != "tiny"])
def test_a_search_ends_and_is_continued(proxy, given):
    first = nas.search("nasbench201", proxy, "evolution", 10, **given).trials
    whole = nas.search("nasbench201", proxy, "evolution", 14, **given).trials
    assert len(whole) == 14
    pd.testing.assert_frame_equal(whole.iloc[:10], first)
    assert {reason for reason in whole["reason"] if reason} == ({REASONS[proxy]} if REASONS[proxy] else set())
    assert set(whole["status"]) == ({"ok", "failed"} if REASONS[proxy] else {"ok"})
    assert np.isfinite(whole["score"].dropna()).all()
    page = (Path(given["run_folder"]) / "report.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert len(page) < 500_000


@pytest.mark.long
def test_a_comparison_ends_and_is_read_again(given, tmp_path):
    table = tmp_path / "table.csv"
    pd.DataFrame({"arch": ARCHS, "accuracy": np.linspace(50, 90, len(ARCHS))}).to_csv(table, index=False)
    proxies = [name for name in REASONS if "+" not in name]
    first = nas.compare("nasbench201", table, "accuracy", proxies, seeds=2, **given)
    again = nas.compare("nasbench201", table, "accuracy", proxies, seeds=2, **given)
    pd.testing.assert_frame_equal(again.correlations, first.correlations)
    written = pd.read_csv(tmp_path / "run" / "scores.csv")
    assert np.isfinite(written["value"].dropna()).all()
    assert written["reason"].str.len().max() <= 502
    overall = first.correlations[first.correlations["seed"] == "all"].set_index("proxy")
    assert np.isfinite(overall.loc[["huge", "mixed", "tiny"], ["kendall", "spearman", "ndcg"]]).all(axis=None)
    assert (tmp_path / "run" / "report.html").stat().st_size < 3_000_000
