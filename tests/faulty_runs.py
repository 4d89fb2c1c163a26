"""Runs with the proxy of faulty.py, in this process and as a command."""

import json
import sys

from cases import ROOT

import nas

PLUGIN = str(ROOT / "tests" / "faulty.py")
NARROW = {"nasbench201": {"widths": [4, 8], "repeats": 1}}
SEARCH = {
    "proxy": "faulty", "searcher": "evolution", "budget": 16, "data": "synthetic:classes=3,size=8", "batch_size": 12,
    "batch": 4, "seed": 7, "plugin": PLUGIN,
}  # fmt: skip


def settings(**faulty):
    return NARROW | {"evolution": {"population": 8}, "faulty": faulty}


def search(folder, **given):
    given = {"settings": settings()} | given
    return nas.search(**SEARCH, run_folder=folder, **given).trials


def recorded(folder):
    """The trials, but for what they took."""
    file = folder / "trials.jsonl"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def command(folder, *more, fault="", pause=0.0):
    options = [
        f"--{name.replace('_', '-')}={value}" for name, value in SEARCH.items() if name not in ("data", "plugin")
    ]
    options += ["--data", SEARCH["data"], "--plugin", PLUGIN, "--set", "evolution.population=8", "--quiet"]
    options += ["--set", "nasbench201.widths=[4,8]", "--set", "nasbench201.repeats=1"]
    options += ["--set", f"faulty.pause={pause}", "--set", f"faulty.fault={fault!r}", "--run", str(folder)]
    return [sys.executable, "-m", "nas.cli", "search", *options, *more]


def score(fault, proxies="faulty", **where):
    """One network on which the proxy is faulty between two on which it is not."""
    return nas.score(
        "nasbench201", ["0", "90", "990"], proxies, data=SEARCH["data"], batch_size=12, plugin=PLUGIN,
        settings=settings(fault=fault), **where,
    )  # fmt: skip
