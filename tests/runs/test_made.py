"""What made a run stands in its folder and on its page, whichever command it was."""

import json

import pandas as pd
import pytest
from pages import ARCHS, SEARCH, Reader
from trainings import CELL, NARROW, stripes_file

import nas
from nas.runs import made

COMMON = {"space": "nasbench201", "data": SEARCH["data"], "batch_size": 12, "settings": NARROW}


def search(folder, **given):
    return nas.search(**SEARCH | given, run_folder=folder)


def compare(folder):
    table = folder.with_suffix(".csv")
    pd.DataFrame({"arch": ARCHS[:12], "accuracy": range(12)}).to_csv(table, index=False)
    nas.compare(table=table, target="accuracy", proxies="gradsign", **COMMON, run_folder=folder)


def agree(folder):
    nas.compare(proxies="gradsign", archs=4, **COMMON, run_folder=folder)


def study(folder):
    nas.study("seeds", archs=4, proxies="gradsign", **COMMON, run_folder=folder)


def train(folder):
    nas.train(
        "nasbench201", [CELL], data=stripes_file(folder.parent), epochs=1, batch_size=16, settings=NARROW, out=folder
    )


KINDS = {"search": search, "compare": compare, "agree": agree, "study": study, "train": train}


@pytest.mark.parametrize("kind", KINDS)
def test_every_page_says_what_made_it(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(made, "machine", lambda device: f"a machine <{device.type}>")
    KINDS[kind](tmp_path / "run")
    seen = Reader((tmp_path / "run" / "report.html").read_text())
    rows = {row[0]: row[1] for row in seen.rows if len(row) == 2}
    assert rows["machine"] == "a machine <cpu>"
    assert {"gradalign-nas", "Python", "torch", "space", "data", "seed"} <= rows.keys()
    assert "What made this" in seen.texts
    command = " ".join("".join(seen.texts[seen.texts.index("This command:") :]).split())
    assert f"nas {'compare' if kind == 'agree' else kind}" in command
    if kind != "train":
        assert rows["limits"] == "none"


def test_machines_that_measured_are_told_and_those_that_showed_are_not(tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def machines():
        return [json.loads(line)["machine"] for line in (folder / "made.jsonl").read_text().splitlines()]

    for name, budget, told in (
        ("a laptop", 6, ["a laptop"]), ("a phone", 6, ["a laptop"]), ("a server", 12, ["a laptop", "a server"]),
        ("a laptop", 14, ["a laptop", "a server"]),
    ):  # fmt: skip
        monkeypatch.setattr(made, "machine", lambda device, name=name: name)
        search(folder, budget=budget)
        assert machines() == told
    assert "a laptop; then a server" in (folder / "report.html").read_text()


def test_a_folder_that_does_not_say_it_is_shown(tmp_path):
    search(tmp_path)
    (tmp_path / "made.jsonl").unlink()
    search(tmp_path)
    assert "not recorded" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "made.jsonl").exists()
