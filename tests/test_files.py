"""What is no file is refused at once, wherever a file is named; nothing waits for it, nothing is written to it."""

import os
import signal
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest

from nas.errors import UsageError
from nas.files import check_file, check_writable, open_file, read_file, replacing, write_file

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes and devices are POSIX's")


@pytest.fixture(params=["a named pipe", "a device", "a folder", "a socket", "a link to a pipe"])
def strange(request, tmp_path):
    """A path that is no file, and what it is."""
    path = tmp_path / "strange"
    if request.param == "a named pipe":
        os.mkfifo(path)
    elif request.param == "a device":
        path = Path("/dev/zero")
    elif request.param == "a folder":
        path.mkdir()
    elif request.param == "a socket":
        with socket.socket(socket.AF_UNIX) as listening:
            os.chdir(tmp_path)
            listening.bind("strange")
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    return path, request.param.replace("a link to a pipe", "a named pipe")


class Waits(BaseException):
    """It took too long."""


@contextmanager
def in_time(seconds=20):
    """Within it whoever waits is woken by a failure."""

    def wake(*_):
        raise Waits

    before = signal.signal(signal.SIGALRM, wake)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_nothing_is_read_of_it_or_written_to_it(strange):
    path, kind = strange
    for call in (lambda: open_file(path), lambda: read_file(path, 10), lambda: write_file(path, b"x")):
        with in_time(), pytest.raises(OSError, match=r"Is a directory|not a file") as raised:
            call()
        assert raised.value.strerror == ("Is a directory" if kind == "a folder" else f"it is {kind}, not a file")
    with pytest.raises(OSError, match=r"Is a directory|not a file"), replacing(path):
        pass
    with pytest.raises(UsageError, match=rf"^the table {path} is not a file but {kind}$"):
        check_file(path, "the table")
    with pytest.raises(UsageError, match=rf"^{path} cannot be written: it is {kind}$"):
        check_writable(path)


READS = {
    "config": ["search", "--config", "{}"],
    "recipe": ["run", "{}"],
    "table": ["compare", "--space", "nasbench201", "--table", "{}", "--target", "acc"],
    "architectures": ["score", "--archs", "{}"],
    "plug-in": ["list", "--plugin", "{}"],
    "network": ["score", "--space", "networks", "{}:A"],
    "csv": ["score", "0", "--csv", "{}", "--data", "synthetic:size=8", "--proxies", "params"],
    "json": ["bench", "--json", "{}", "--data", "synthetic:size=8", "--proxies", "params"],
    "store": ["score", "0", "--store", "{}", "--data", "synthetic:size=8", "--proxies", "params"],
    "pack": ["store", "import", "{}"],
    "an official file": ["table", "import", "{}", "t.csv"],
    "data": ["score", "0", "--proxies", "params", "--data", "{}"],
    "npz": ["score", "0", "--proxies", "params", "--data", "npz:{}"],
    "run": ["search", "--run", "{}", "--data", "synthetic:size=8", "--budget", "1"],
    "run to train": ["train", "--run", "{}"],
    "weights": ["export", "0", "--weights", "{}", "--out", "n.py", "--data", "synthetic:size=8"],
    "exported": ["export", "0", "--out", "{}", "--data", "synthetic:size=8"],
}


@pytest.mark.parametrize("what", READS)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_every_command_says_so_in_a_line(nas, tmp_path, what, kind):
    path = "/dev/zero" if kind == "device" else "pipe.py"
    if kind == "pipe":
        os.mkfifo(tmp_path / path)
    with in_time(60):
        code, _, err = nas(*(part.format(path) for part in READS[what]))
    assert code == 2, err
    assert err.count("\n") == 1, err
    assert sorted(os.listdir(tmp_path)) in ([], ["pipe.py"])


def test_a_name_with_a_zero_byte_is_none():
    with pytest.raises(OSError, match="its name is not one of a file"):
        open_file("a\0b")
    with pytest.raises(UsageError, match="cannot be read: its name is not one of a file"):
        check_file(Path("a\0b"), "the table")


def test_more_bytes_than_allowed_are_not_read(tmp_path):
    (tmp_path / "f").write_bytes(b"12345")
    assert read_file(tmp_path / "f", 5) == b"12345"
    with pytest.raises(OSError, match="it has more than 4 bytes"):
        read_file(tmp_path / "f", 4)
