"""Real worker processes that die, hang or run out of memory, and runs that are killed with them.

In each case nothing that was recorded is lost or recorded twice, and the history is that of the undisturbed run.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from faulty_runs import NARROW, SEARCH, command, recorded, score, search, settings

import nas


def start(folder, *more, **faulty):
    """The command line in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        command(folder, *more, **faulty), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip


def descendants(process):
    """The live processes of its group, itself left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != process.pid:
            try:
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:  # it has ended since
                continue
            if int(group) == process.pid and state != "Z":
                found.append(int(entry.name))
    return found


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    search(folder)
    assert len(recorded(folder)) == 16
    return folder


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A run of a real proxy in this process."""
    folder = tmp_path_factory.mktemp("runs") / "here"
    nas.search(**SEARCH | {"proxy": "gradalign_i", "settings": settings()}, run_folder=folder)
    return folder


def test_workers_give_the_history_of_this_process(exact, tmp_path):
    nas.search(**SEARCH | {"proxy": "gradalign_i", "settings": settings()}, run_folder=tmp_path, workers=2)
    assert recorded(tmp_path) == recorded(exact)
    assert any(trial["cached"] for trial in recorded(exact))


@pytest.mark.long
def test_several_seeds_on_the_same_workers():
    given = {
        "space": "nasbench201", "archs": [str(index) for index in range(0, 900, 90)], "proxies": "gradalign_i,naswot",
        "seeds": 2, "data": SEARCH["data"], "batch_size": 12, "settings": NARROW,
    }  # fmt: skip
    here, there = nas.score(**given), nas.score(**given, workers=2)
    columns = ["arch", "proxy", "seed", "value", "status", "reason"]
    assert there[columns].equals(here[columns])


@pytest.mark.long
def test_a_faulty_proxy_fails_alike_in_a_worker(tmp_path):
    for name, workers in (("here", None), ("there", 1)):
        search(tmp_path / name, settings=settings(fault="memory"), workers=workers)
    assert recorded(tmp_path / "there") == recorded(tmp_path / "here")


@pytest.mark.long
def test_a_proxy_that_hangs_is_ended():
    scores = score("hangs", timeout=0.5)
    assert scores["status"].tolist() == ["ok", "timeout", "ok"]
    assert scores["reason"][1] == "no score within 0.5 s"


@pytest.mark.long
def test_a_worker_that_dies_once_changes_nothing(undisturbed, tmp_path):
    mark = tmp_path / "mark"
    trials = search(None, settings=settings(fault="dies", mark=str(mark)), workers=2)
    assert mark.exists()
    assert [trial["arch"] for trial in recorded(undisturbed)] == trials["arch"].tolist()
    assert [trial["score"] for trial in recorded(undisturbed)] == trials["score"].tolist()


@pytest.mark.long
def test_a_network_that_kills_its_workers_is_a_failed_score():
    """And only that of the proxy that did it: its neighbour has the score that it has here."""
    both = score("dies", "faulty,params", workers=1).set_index("proxy")
    assert both.loc["params", "value"].tolist() == score("", "params")["value"].tolist()
    assert both.loc["params", "status"].eq("ok").all()
    scores = both.loc["faulty"].reset_index()
    assert scores["status"].tolist() == ["ok", "lost", "ok"]
    assert scores["reason"][1] == "2 workers died while measuring it: signal 9, perhaps out of memory"


def test_killed_with_its_workers_and_continued(undisturbed, tmp_path):
    """No worker outlives a main process that was killed, not even one that hangs."""
    process = start(tmp_path, "--workers", "2", pause=0.1)
    wait_for(lambda: len(recorded(tmp_path)) >= 2)
    workers = descendants(process)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    wait_for(lambda: not descendants(process))  # one that was only starting notices it when it has started
    before = recorded(tmp_path)
    assert before == recorded(undisturbed)[: len(before)]
    search(tmp_path, settings=settings(pause=0.1, fault=""))
    assert recorded(tmp_path) == recorded(undisturbed)


@pytest.mark.parametrize(
    ("number", "send", "code"),
    [
        (signal.SIGINT, os.killpg, 130),
        pytest.param(signal.SIGHUP, os.killpg, 129, marks=pytest.mark.long),
        (signal.SIGTERM, os.kill, 143),
    ],
)
def test_what_ends_a_run_leaves_no_process_and_says_how_to_go_on(undisturbed, tmp_path, number, send, code):
    """Ctrl-C and a terminal that is closed reach the workers too; SIGTERM, from a batch system, the main process."""
    process = start(tmp_path, "--workers", "2", pause=0.1)
    wait_for(lambda: len(recorded(tmp_path)) >= 2)
    send(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert said == "nas: interrupted; the same command continues where it stopped\n"
    wait_for(lambda: not descendants(process), 20)
    before = recorded(tmp_path)
    assert before == recorded(undisturbed)[: len(before)]
    search(tmp_path, settings=settings(pause=0.1, fault=""), workers=None if number == signal.SIGHUP else 1)
    assert recorded(tmp_path) == recorded(undisturbed)
