"""One run at a time writes to a folder, even where the file of its lock is removed."""

import os
import shutil

import pytest

from nas.errors import UsageError
from nas.runs.folder import RunFolder
from nas.runs.lock import LOCK, FolderLock

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks are POSIX's")
BUSY = "another run is writing to .*: wait for it, or give another folder with --run"


@pytest.mark.parametrize("what", ["nothing", "removed", "replaced", "emptied folder"])
def test_no_second_run_gets_in(tmp_path, what):
    with RunFolder(tmp_path, {}) as first, first.appender("trials.jsonl") as appender:
        appender.add("{}")
        if what in ("removed", "replaced"):
            (tmp_path / LOCK).unlink()
        if what == "replaced":
            (tmp_path / LOCK).touch()
        if what == "emptied folder":
            for path in tmp_path.iterdir():
                path.unlink()
        for _ in range(2):
            with pytest.raises(UsageError, match=BUSY):
                RunFolder(tmp_path, {})
        if what != "emptied folder":
            appender.add("{}")
    with RunFolder(tmp_path, {}):
        pass


def test_the_lock_is_taken_again_and_kept(tmp_path):
    lock = FolderLock(tmp_path)
    for _ in range(3):
        (tmp_path / LOCK).unlink()
        lock.check()
        assert (tmp_path / LOCK).exists()
    lock.close()


def test_a_run_stops_where_another_has_taken_the_file(tmp_path):
    """As on a network's file system, where the folder is not locked among machines."""
    first = FolderLock(tmp_path)
    os.close(first._open.pop(0))  # the folder's
    (tmp_path / LOCK).unlink()
    second = FolderLock(tmp_path)
    with pytest.raises(UsageError, match=BUSY):
        first.check()
    second.check()
    first.close()
    second.close()


def test_a_folder_that_is_removed_and_made_anew_is_another_one(tmp_path):
    folder = tmp_path / "run"
    with RunFolder(folder, {}) as first, first.appender("trials.jsonl") as appender:
        appender.add("{}")
        shutil.rmtree(folder)
        with RunFolder(folder, {}) as second:
            with pytest.raises(UsageError, match=r"another run is writing|was removed, replaced or changed"):
                appender.add("{}")
            with second.appender("trials.jsonl") as own:
                own.add('{"mine": 1}')
    assert (folder / "trials.jsonl").read_text() == '{"mine": 1}\n'


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_lock_that_is_no_file_is_said(tmp_path, kind):
    (tmp_path / LOCK).mkdir() if kind == "folder" else os.mkfifo(tmp_path / LOCK)
    with pytest.raises(UsageError, match=r"\.lock is not a file: remove it$"):
        RunFolder(tmp_path, {})
    shutil.rmtree(tmp_path / LOCK) if kind == "folder" else (tmp_path / LOCK).unlink()
    with RunFolder(tmp_path, {}):
        pass
