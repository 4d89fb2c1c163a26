"""Small searches and comparisons, and what they leave behind."""

import json

import pytest

from nas.data.minibatch import minibatch

DATA = minibatch("synthetic:classes=3,size=8", 12)
SEARCH = {
    "space": "nasbench201", "proxy": "gradsign", "searcher": "evolution", "budget": 40, "batch_size": 12,
    "data": "synthetic:classes=3,size=8",
    "settings": {"nasbench201": {"widths": [4, 8], "repeats": 1}, "evolution": {"population": 10}},
}  # fmt: skip
COMPARE = {"data": SEARCH["data"], "batch_size": 12, "settings": SEARCH["settings"]}


def recorded(folder):
    """The trials, but for what they took."""
    lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def needs(searcher):
    """Skips a test of a searcher whose package is not installed."""
    if searcher == "optuna":
        pytest.importorskip("optuna", reason="no Optuna: pip install 'gradalign-nas[optuna]'")
