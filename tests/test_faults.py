"""Faults, on real processes: workers that die, hang or run out of memory, killed runs, a full disk.

In each case nothing that was recorded is lost or recorded twice, and the history is that of the undisturbed run.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest

import nas
from nas.data.minibatch import minibatch
from nas.engines.crew import Crew, LostWorker, NeverBegun, Plan, TimedOut
from nas.errors import UsageError
from nas.proxy import PROXIES
from nas.scoring.measurer import OF_THE_MACHINE, Measurer, Score
from nas.scoring.scorer import Job
from nas.testing import narrow_space

PLUGIN = str(Path(__file__).with_name("faulty.py"))
NARROW = {"nasbench201": {"widths": [4, 8], "repeats": 1}}
SEARCH = {
    "proxy": "faulty", "searcher": "evolution", "budget": 16, "data": "synthetic:classes=3,size=8", "batch_size": 12,
    "batch": 4, "seed": 7, "plugin": PLUGIN,
}  # fmt: skip


def settings(**faulty):
    return NARROW | {"evolution": {"population": 8}, "faulty": faulty}


def search(folder, **given):
    given = {"settings": settings()} | given
    return nas.search(**SEARCH, run_folder=folder, **given)


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


# What the dispatcher does, with scripted workers


class Scripted(Crew):
    """Workers that answer as the script says: a list of outcomes for each job, in the order it is asked."""

    def __init__(self, size, script, starts=()):
        super().__init__(Plan("toy", {}, (), 7), size)
        self.script = {arch: deque(outcomes) for arch, outcomes in script.items()}
        self.starts = deque(starts)
        self.asked = []
        self.open = {}

    def ready(self, worker):
        return True

    def prepare(self, worker, key, measurer):
        return self._open(worker, self.starts.popleft() if self.starts else None)

    def measure(self, worker, key, arch, asked):
        self.asked.append((worker, arch))
        return self._open(worker, self.script[arch].popleft())

    def _open(self, worker, outcome):
        assert worker not in [other for other, _ in self.open.values()], "one task at a time"
        handle = object()
        self.open[handle] = worker, outcome
        return handle

    def wait(self, handles, measuring):
        return [handles[-1]]  # the last one first, so that order is of no consequence

    def answer(self, worker, handle):
        outcome = self.open.pop(handle)[1]
        if isinstance(outcome, Exception):
            raise outcome
        return None if outcome is None else {"params": Score(outcome)}

    def close(self):
        self.closed = True


def answers(crew, count):
    measurer = Measurer(narrow_space(), minibatch("synthetic:classes=3,size=8", 12))
    jobs = [Job(((number,),), (PROXIES["params"],)) for number in range(count)]
    found = {number: scores["params"] for number, scores in crew(measurer, jobs)}
    assert all(outcome is None for _, outcome in crew.open.values()), "no job is left behind"
    return [found[number] for number in range(count)]


def test_a_job_is_tried_once_more_elsewhere():
    died = LostWorker("signal 9")
    crew = Scripted(2, {((0,),): [1.0], ((1,),): [died, 2.0], ((2,),): [died, died], ((3,),): [4.0]})
    found = answers(crew, 4)
    assert [score.value for score in found] == [1.0, 2.0, None, 4.0]
    assert (found[2].status, found[2].reason) == ("lost", "2 workers died of it: signal 9")
    assert [arch for _, arch in crew.asked].count(((2,),)) == 2


def test_a_worker_that_dies_beside_a_job_is_not_the_jobs_fault():
    early = NeverBegun("it ended")
    found = answers(Scripted(1, {((0,),): [early, early, early, 1.0]}), 1)
    assert found[0].value == 1.0


def test_a_job_that_takes_too_long_is_not_tried_again():
    found = answers(Scripted(1, {((0,),): [TimedOut()], ((1,),): [2.0]}), 2)
    assert (found[0].status, found[0].reason) == ("timeout", "no score within 7 s")
    assert found[1].value == 2.0


def test_workers_that_never_begin_end_the_run():
    with pytest.raises(UsageError, match=r"end before they have measured anything \(it ended\): .*__main__"):
        answers(Scripted(1, {((0,),): [1.0]}, starts=[NeverBegun("it ended")] * 5), 1)


def test_what_a_worker_raises_ends_the_run():
    with pytest.raises(UsageError, match=r"^no plug-in$"):
        answers(Scripted(1, {((0,),): [1.0]}, starts=[UsageError("no plug-in")]), 1)


# What is asked for


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"workers": 0}, "workers is a whole number: give at least 1"),
        ({"workers": 1.5}, "workers is a whole number"),
        ({"timeout": 0}, "timeout is a number of seconds, more than 0, not 0"),
        ({"timeout": float("nan")}, "timeout is a number of seconds, more than 0, not nan"),
        ({"searcher": "local_search", "batch": 4}, "local_search proposes in rounds of its own size, so it takes no b"),
        ({"batch": 0}, "batch is a whole number: give at least 1"),
    ],
)
def test_what_is_no_engine_is_refused(given, reason, tmp_path):
    with pytest.raises(UsageError, match=reason):
        nas.search(**SEARCH | {"settings": settings(), "run_folder": tmp_path / "run"} | given)
    assert not (tmp_path / "run").exists()


def test_options_that_cannot_be_sent_are_refused():
    with pytest.raises(UsageError, match="the options of the space toy cannot be sent to workers: "):
        Plan.of("toy", {"toy": {"operation": lambda: 0}}, (), None)


def test_batches_of_one_are_the_default(tmp_path):
    alone = {"settings": settings() | {"evolution": {"population": 8, "batch": 1}}, "run_folder": tmp_path}
    one = nas.search(**{name: value for name, value in SEARCH.items() if name != "batch"} | alone)
    default = nas.search(**SEARCH | {"settings": settings(), "batch": None})
    assert one["arch"].tolist() == default["arch"].tolist()
    assert nas.search(**SEARCH | {"settings": settings()})["arch"].tolist() != default["arch"].tolist()


# Worker processes


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


def test_several_seeds_on_the_same_workers():
    given = {
        "space": "nasbench201", "archs": [str(index) for index in range(0, 900, 90)], "proxies": "gradalign_i,naswot",
        "seeds": 2, "data": SEARCH["data"], "batch_size": 12, "settings": NARROW,
    }  # fmt: skip
    here, there = nas.score(**given), nas.score(**given, workers=2)
    columns = ["arch", "proxy", "seed", "value", "status", "reason"]
    assert there[columns].equals(here[columns])


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("raises", "failed", "ZeroDivisionError: division by zero"),
        ("memory", "memory", "RuntimeError: .*can't allocate memory"),
        ("nan", "failed", "the proxy returned nan"),
        ("complex", "failed", "the proxy returned complex"),
        ("shape", "failed", "the proxy returned a tensor of shape"),
    ],
)
def test_a_faulty_proxy_fails_where_it_is_faulty(fault, status, reason, tmp_path):
    trials = search(tmp_path, settings=settings(fault=fault))
    failed = trials[trials["status"] != "ok"]
    assert 0 < len(failed) < 16
    assert set(failed["status"]) == {status}
    assert failed["reason"].str.match(reason).all()
    assert search(tmp_path, settings=settings(fault=fault)).equals(trials)


def test_a_faulty_proxy_fails_alike_in_a_worker(tmp_path):
    for name, workers in (("here", None), ("there", 1)):
        search(tmp_path / name, settings=settings(fault="memory"), workers=workers)
    assert recorded(tmp_path / "there") == recorded(tmp_path / "here")


def score(fault, **where):
    """One network on which the proxy is faulty between two on which it is not."""
    return nas.score(
        "nasbench201", ["0", "90", "990"], "faulty", data=SEARCH["data"], batch_size=12, plugin=PLUGIN,
        settings=settings(fault=fault), **where,
    )  # fmt: skip


def test_a_proxy_that_hangs_is_ended():
    scores = score("hangs", timeout=0.5)
    assert scores["status"].tolist() == ["ok", "timeout", "ok"]
    assert scores["reason"][1] == "no score within 0.5 s"


def test_a_worker_that_dies_once_changes_nothing(undisturbed, tmp_path):
    mark = tmp_path / "mark"
    trials = search(None, settings=settings(fault="dies", mark=str(mark)), workers=2)
    assert mark.exists()
    assert [trial["arch"] for trial in recorded(undisturbed)] == trials["arch"].tolist()
    assert [trial["score"] for trial in recorded(undisturbed)] == trials["score"].tolist()


def test_a_network_that_kills_its_workers_is_a_failed_score():
    scores = score("dies", workers=1)
    assert scores["status"].tolist() == ["ok", "lost", "ok"]
    assert scores["reason"][1] == "2 workers died of it: signal 9, perhaps for want of memory"


def test_what_says_something_of_the_machine_is_told_apart():
    assert {"timeout", "lost", "memory"} == OF_THE_MACHINE


# Actors on a Ray cluster


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="CRITICAL", log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_actors_give_the_history_of_this_process(exact, tmp_path):
    given = SEARCH | {"proxy": "gradalign_i", "settings": settings()}
    nas.search(**given, run_folder=tmp_path, ray="auto", workers=2)
    assert recorded(tmp_path) == recorded(exact)


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(("fault", "status", "timeout"), [("dies", "lost", None), ("hangs", "timeout", 1.0)])
def test_actors_that_die_or_hang_are_replaced(fault, status, timeout):
    assert score(fault, ray="auto", workers=1, timeout=timeout)["status"].tolist() == ["ok", status, "ok"]


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:1", "127.0.0.1:99999"])
def test_a_cluster_that_cannot_be_reached(address, monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    from nas.engines.ray import cluster as connected

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UsageError, match=rf"the Ray cluster '{address}' cannot be reached \("), connected(address):
        pass


@pytest.mark.parametrize(
    ("cpus", "size", "each"), [([2], 2, 1), ([8], 2, 4), ([8], 3, 2), ([4, 4], 2, 4), ([4, 2], 3, 2), ([2], 4, 0)]
)
def test_actors_share_the_cpus_of_their_nodes(cpus, size, each):
    pytest.importorskip("ray", reason="Ray is not installed")
    from nas.engines.ray import threads

    assert threads(cpus, size) == each


@pytest.mark.parametrize(("gpus", "size", "each"), [(0, 2, 0), (1, 2, 0.5), (2, 3, 0.5), (2, 2, 1), (4, 2, 2)])
def test_actors_share_the_gpus(gpus, size, each):
    pytest.importorskip("ray", reason="Ray is not installed")
    from nas.engines.ray import share

    assert share(gpus, size) == each


def test_without_ray_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "nas.engines.ray", raising=False)
    with pytest.raises(UsageError, match=r"Ray, which is not installed .*: pip install 'gradalign-nas\[ray\]'$"):
        score("", ray="local")


# The command line, killed, interrupted, without room


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


def test_ctrl_c_leaves_no_process_and_says_how_to_go_on(undisturbed, tmp_path):
    process = start(tmp_path, "--workers", "2", pause=0.1)
    wait_for(lambda: len(recorded(tmp_path)) >= 2)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "nas: interrupted; the same command continues where it stopped\n"
    wait_for(lambda: not descendants(process), 20)
    before = recorded(tmp_path)
    assert before == recorded(undisturbed)[: len(before)]
    search(tmp_path, settings=settings(pause=0.1, fault=""), workers=1)
    assert recorded(tmp_path) == recorded(undisturbed)


@pytest.mark.parametrize("room", [100, 1500])
def test_a_full_disk_is_one_sentence(room, undisturbed, tmp_path):
    """With no room for the settings, and with room for some trials."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    done = subprocess.run(command(tmp_path), capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 2
    assert done.stderr == (
        f"nas: {tmp_path} cannot be written (File too large): what is recorded there stays, and the same command "
        "continues it when there is room\n"
    )
    before = recorded(tmp_path)
    assert len(before) < 16
    assert before == recorded(undisturbed)[: len(before)]
    search(tmp_path, settings=settings(pause=0.0, fault=""))
    assert recorded(tmp_path) == recorded(undisturbed)
