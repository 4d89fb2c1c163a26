"""Files of a run that are made of its records: whole or not there, made again where they do not read."""

import errno
import os
import re
import shutil

import pandas as pd
import pytest
import yaml
from searches import COMPARE

import nas
from nas import files
from nas.errors import UsageError
from nas.files import write_file
from nas.runs.folder import RunFolder
from nas.runs.resume import resume_memory

CONFIG = {"space": "toy", "budget": 3, "versions": {"torch": "2.1"}}


class PowerCut(Exception):
    """The process ends here."""


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("before", [None, b"what was there, and is longer than what comes"])
def test_a_file_that_is_written_is_the_old_one_or_the_new_one(tmp_path, monkeypatch, call, before):
    """Wherever the writing is cut off, and the next writer gets over what it left."""
    path = tmp_path / "correlations.csv"
    if before is not None:
        path.write_bytes(before)
    with monkeypatch.context() as cut:
        cut.setattr(os, call, lambda *args, **kwargs: (_ for _ in ()).throw(PowerCut("now")))
        with pytest.raises(PowerCut, match=r"^now$"):
            write_file(path, b"new")
    assert (path.read_bytes() if path.exists() else None) == before
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == [path.name]


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "best.yaml"
    path.write_text("old")

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, content):
            self.file.write(content[:1])
            raise OSError(errno.ENOSPC, "No space left on device")

    original = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda *args, **kwargs: Full(original(*args, **kwargs)))
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"new")
    monkeypatch.undo()
    assert path.read_text() == "old"


def test_a_link_that_somebody_laid_is_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "best.yaml.new").symlink_to(tmp_path / "mine")
    write_file(tmp_path / "best.yaml", b"new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "best.yaml").is_symlink()


def test_what_is_the_same_is_left_alone(tmp_path, monkeypatch):
    """So a power cut can only meet what changes."""
    with RunFolder(tmp_path, CONFIG, free=("budget",)) as folder:
        folder.write("best.yaml", "a: 1\n")
        folder.settle(CONFIG)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    monkeypatch.setattr("nas.runs.folder.write_file", lambda *args: pytest.fail("written"))
    with RunFolder(tmp_path, CONFIG, free=("budget",)) as folder:
        folder.write("best.yaml", "a: 1\n")
        folder.settle(CONFIG)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_larger_budget_is_written_down_and_the_old_versions_stay(tmp_path):
    with RunFolder(tmp_path, CONFIG, free=("budget",)):
        pass
    again = CONFIG | {"budget": 9, "versions": {"the networks of n.py": "1"}}
    with RunFolder(tmp_path, again, free=("budget",)) as folder:
        folder.settle(again)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == CONFIG | {
        "budget": 9, "versions": {"torch": "2.1", "the networks of n.py": "1"},
    }  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"space: toy\nbud", b"\0" * 60, b"a: [", b"\xff\xfe"])
def test_damaged_settings_say_what_to_do(tmp_path, content):
    """`space: toy` alone reads as settings, and is then a run with others."""
    (tmp_path / "config.yaml").write_bytes(content)
    (tmp_path / "trials.jsonl").write_bytes(b"{}\n")
    expected = (
        r"config\.yaml (is not whole|must hold).* remove config\.yaml and give the command again, which then meas"
    )
    if content.startswith(b"space"):
        expected = r"is not whole YAML"
    with pytest.raises(UsageError, match=expected):
        RunFolder(tmp_path, CONFIG)
    with pytest.raises(UsageError, match=r"config\.yaml .*: give another folder with --out$"):
        RunFolder(tmp_path, CONFIG, option="--out", compares=False)
    assert (tmp_path / "config.yaml").read_bytes() == content
    (tmp_path / "config.yaml").unlink()
    with RunFolder(tmp_path, CONFIG) as folder:
        assert folder.unsure
    with pytest.raises(UsageError, match=r"has no config\.yaml, which says what it holds was made with: give another"):
        RunFolder(tmp_path, CONFIG, option="--out", compares=False)


def test_settings_that_were_cut_anywhere_are_not_taken_for_those_of_an_earlier_version(tmp_path):
    """What an earlier version did not write stands first: a file that lacks it lacks all else."""
    plugin = tmp_path / "mine.py"
    plugin.write_text("")
    given = COMPARE | {"proxy": "params", "searcher": "random_search", "plugin": plugin, "run_folder": tmp_path / "run"}
    nas.search("nasbench201", budget=2, **given)
    config = tmp_path / "run" / "config.yaml"
    whole = config.read_bytes()
    assert {"versions", "plugin_source"} <= set(yaml.safe_load(whole))
    starts = [line.start() for line in re.finditer(rb"^\w", whole, re.MULTILINE)]  # of each setting
    for cut in [*starts, len(whole) - 2]:
        config.write_bytes(whole[:cut])
        with pytest.raises(UsageError, match=r"remove config\.yaml|holds a run with"):
            nas.search("nasbench201", budget=2, **given)
        assert config.read_bytes() == whole[:cut]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison that is finished: its table and its folder."""
    from random import Random

    from nas.testing import narrow_space

    place, space = tmp_path_factory.mktemp("compared"), narrow_space()
    archs = dict.fromkeys(space.text(space.sample(Random(seed))) for seed in range(8))
    pd.DataFrame({"arch": list(archs), "accuracy": range(len(archs))}).to_csv(place / "t.csv", index=False)
    given = COMPARE | {"proxies": "params"}
    nas.compare("nasbench201", place / "t.csv", "accuracy", run_folder=place / "run", **given)
    return place


DERIVED = ("correlations.csv", "pairs.csv", "selection.csv", "targets.csv")


@pytest.mark.parametrize("how", ["cut", "empty", "zeros", "gone", "another", "doubled"])
def test_a_derived_file_that_does_not_read_is_made_again(compared, tmp_path, how):
    """As a killed process or a full disk left it; what is measured anew, seconds and memory, may differ."""
    shutil.copytree(compared / "run", tmp_path / "run")
    path = tmp_path / "run" / "correlations.csv"
    whole = path.read_bytes()
    damaged = {
        "cut": whole[: len(whole) // 2], "empty": b"", "zeros": bytes(len(whole)), "another": b"a,b\n1,2\n",
        "doubled": whole + whole.splitlines(keepends=True)[-1],
    }  # fmt: skip
    path.unlink()
    if how in damaged:
        path.write_bytes(damaged[how])
    for name in DERIVED[1:]:
        (tmp_path / "run" / name).write_bytes(b"")
    given = COMPARE | {"proxies": "params"}
    nas.compare("nasbench201", compared / "t.csv", "accuracy", run_folder=tmp_path / "run", **given)
    for name in DERIVED:
        again, first = (pd.read_csv(place / "run" / name) for place in (tmp_path, compared))
        costs = [column for column in first if column in ("peak_mb", "ms_per_arch")]
        pd.testing.assert_frame_equal(again.drop(columns=costs), first.drop(columns=costs))


def test_memory_that_was_measured_is_believed_only_of_a_whole_file(compared, tmp_path):
    shutil.copytree(compared / "run", tmp_path / "run")
    path = tmp_path / "run" / "correlations.csv"
    whole = path.read_bytes()
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    names = ["params", "flops", "depth"]
    with RunFolder(tmp_path / "run", config) as folder:
        assert set(resume_memory(folder, names, [0])) == set(names)
        for cut in range(0, len(whole), 97):
            path.write_bytes(whole[:cut])
            assert resume_memory(folder, names, [0]) == {}, cut


def read_only(monkeypatch, folder):
    """The folder as on a file system where nothing can be written; the tests may run as root, who may write all."""
    original = os.open

    def refusing(path, flags, *args, **kwargs):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and str(path).startswith(str(folder)):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return original(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refusing)


def test_a_finished_run_that_cannot_be_written_is_shown_and_one_that_is_not_is_refused(compared, tmp_path, monkeypatch):
    shutil.copytree(compared / "run", tmp_path / "run")
    given = COMPARE | {"proxies": "params", "run_folder": tmp_path / "run"}
    read_only(monkeypatch, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    done = nas.compare("nasbench201", compared / "t.csv", "accuracy", **given)
    assert done.correlations["proxy"].tolist() == ["params", "flops", "depth"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    (tmp_path / "run" / "pairs.csv").write_bytes(b"")
    with pytest.warns(
        UserWarning, match=r"pairs\.csv cannot be written \(Read-only file system\): it is left as it is"
    ):
        nas.compare("nasbench201", compared / "t.csv", "accuracy", **given)
    lines = (tmp_path / "run" / "scores.csv").read_text().splitlines(keepends=True)
    (tmp_path / "run" / "scores.csv").write_text("".join(lines[:-1]))
    with pytest.raises(UsageError, match=r"holds a run that is not finished, and cannot be written .*: copy it"):
        nas.compare("nasbench201", compared / "t.csv", "accuracy", **given)


def _half_written(path):
    path.write_text("half")
    raise PowerCut("now")


def test_whoever_replaces_a_file_leaves_it_whole_or_as_it_was(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("old")
    with pytest.raises(PowerCut, match=r"^now$"), files.replacing(path) as temporary:
        _half_written(temporary)
    assert path.read_text() == "old"
    (tmp_path / "link.csv").symlink_to(path)
    with files.replacing(tmp_path / "link.csv") as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert (tmp_path / "link.csv").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link.csv", "scores.csv"]
