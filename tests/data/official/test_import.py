"""Wrong files, and where a table is written."""

import bz2
import copy
import os
import pickle
import re
import sys

import pandas as pd
import pytest
import torch
from official_files import CELLS, nasbench201

from nas import cli
from nas.data.official import table as official
from nas.data.official.table import import_table
from nas.errors import UsageError


def test_every_cut_of_a_pickle_is_refused(nats, tmp_path):
    folder = tmp_path / "cut"
    folder.mkdir()
    whole = bz2.decompress((nats / "meta.pickle.pbz2").read_bytes())
    for length in range(len(whole)):
        (folder / "meta.pickle.pbz2").write_bytes(bz2.compress(whole[:length]))
        with pytest.raises(UsageError, match="damaged, cut off"):
            import_table(folder, tmp_path / "t.csv")


def write_wrong(folder, nats):
    (folder / "accuracies.xlsx").write_bytes(b"no table")
    (folder / "empty").mkdir()
    (folder / "list.json").write_text("[1, 2]")
    (folder / "cut.json").write_text('{"top": [')
    (folder / "zc_transbench101_micro.json").write_text("{}")
    (folder / "zc_nasbench201.json").write_text('{"cifar10": {"__import__(1)": {"val_accuracy": 1}}}')
    (folder / "zc_nasbench101.json").write_text('{"cifar10": {"(0, 1": {"val_accuracy": 1}}}')
    (folder / "text.pth").write_text("no torch")
    torch.save({"weight": torch.ones(2)}, folder / "network.pth")
    (folder / "pickle.pth").write_bytes(pickle.dumps(3))
    whole = copy.deepcopy(nasbench201(CELLS[:2]))
    torch.save(whole, folder / "whole.pth", _use_new_zipfile_serialization=False)
    (folder / "cut.pth").write_bytes((folder / "whole.pth").read_bytes()[:-30_000])
    for name in ("missing", "cut", "swapped"):
        (folder / name).mkdir()
        for file in nats.iterdir():
            (folder / name / file.name).write_bytes(file.read_bytes())
    (folder / "missing" / "000001.pickle.pbz2").unlink()
    (folder / "cut" / "000001.pickle.pbz2").write_bytes((nats / "000001.pickle.pbz2").read_bytes()[:500])
    (folder / "swapped" / "000001.pickle.pbz2").write_bytes(b"no bzip2")


WRONG = {
    "nowhere.pth": "does not exist",
    "accuracies.xlsx": r"none of the official files .*: NATS-Bench.*096897\.pth; NAS-Bench-101.*zc_nasbench201.*NDS",
    "empty": "none of the official files",
    "list.json": "holds no networks of NDS",
    "cut.json": "damaged, cut off",
    "zc_transbench101_micro.json": r"zc_nasbench101\.json, zc_nasbench201\.json, zc_nasbench301\.json are understood",
    "zc_nasbench201.json": "damaged, cut off or of another form: ValueError",
    "zc_nasbench101.json": "damaged, cut off or of another form: SyntaxError",
    "text.pth": "is not a file that torch writes",
    "network.pth": "holds no architectures of NAS-Bench-201",
    "pickle.pth": "not one that torch writes",
    "cut.pth": "it ends in the middle|damaged, cut off",
    "missing": r"architecture 1 has no file 000001\.pickle\.pbz2",
    "cut": r"000001\.pickle\.pbz2 is damaged, cut off",
    "swapped": r"000001\.pickle\.pbz2 is damaged, cut off",
}


@pytest.fixture(scope="module")
def wrong_files(tmp_path_factory, nats):
    folder = tmp_path_factory.mktemp("wrong")
    write_wrong(folder, nats)
    return folder


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files(wrong_files, name, tmp_path):
    (tmp_path / "t.csv").write_text("what was there before")
    with pytest.raises(UsageError, match=WRONG[name]) as refusal:
        import_table(wrong_files / name, tmp_path / "t.csv")
    assert "\n" not in str(refusal.value)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("t.csv", "what was there before")]


def test_refused_before_anything_is_read(tmp_path, monkeypatch, nats):
    monkeypatch.setattr(official, "READERS", [])  # reading would now say something else
    for out, said in (
        ("t.xlsx", r"a \.parquet, \.csv or \.csv\.gz file"),
        ("t.gz", r"a \.parquet, \.csv or \.csv\.gz file"),
        ("nowhere/t.csv", "no folder"),
    ):
        with pytest.raises(UsageError, match=said):
            import_table(nats, tmp_path / out)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="it is a folder"):
        import_table(nats, tmp_path / "folder.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"takes pyarrow: pip install 'gradalign-nas\[parquet\]'"):
        import_table(nats, tmp_path / "t.parquet")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="nothing may be written in"):
        import_table(nats, tmp_path / "t.csv")


def test_an_interrupted_import_leaves_nothing(tmp_path, nats):
    def interrupt(done, total, note):
        raise KeyboardInterrupt("stop")

    with pytest.raises(KeyboardInterrupt, match="stop"):
        import_table(nats, tmp_path / "t.csv", interrupt)
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path, monkeypatch, capsys, nats):
    monkeypatch.chdir(tmp_path)

    def stop(*arguments):
        raise KeyboardInterrupt

    stopped = official.Reader("stopped", lambda path: path.name == "stopped", stop)
    monkeypatch.setattr(official, "READERS", [stopped, *official.READERS])
    (tmp_path / "stopped").mkdir()
    for arguments, code, said in (
        (["import", str(nats), "t.csv.gz", "--quiet"], 0, "3 architectures .*cifar10_test_200ep_mean"),
        (["import", str(tmp_path), "t.csv.gz"], 2, "nas: .* is none of the official files"),
        (["import", "stopped", "s.csv"], 130, "nas: interrupted; s.csv was not written\n$"),
        (["import"], 2, "Missing argument"),
        ([], 2, "Missing command"),
    ):
        monkeypatch.setattr(sys, "argv", ["nas", "table", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert end.value.code == code
        assert re.search(said, out + err), (out, err)
    assert len(pd.read_csv("t.csv.gz")) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped", "t.csv.gz"]
