"""Actors on a Ray cluster give the history of this process; how they share a machine."""

import os
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest
from faulty_runs import SEARCH, recorded, score, settings

import nas
from nas.errors import UsageError


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A run of a real proxy in this process."""
    folder = tmp_path_factory.mktemp("runs") / "here"
    nas.search(**SEARCH | {"proxy": "gradalign_i", "settings": settings()}, run_folder=folder)
    return folder


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="CRITICAL", log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
@pytest.mark.long
def test_actors_give_the_history_of_this_process(exact, tmp_path):
    given = SEARCH | {"proxy": "gradalign_i", "settings": settings()}
    nas.search(**given, run_folder=tmp_path, ray="auto", workers=2)
    assert recorded(tmp_path) == recorded(exact)


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(("fault", "status", "timeout"), [("dies", "lost", None), ("hangs", "timeout", 1.0)])
@pytest.mark.long
def test_actors_that_die_or_hang_are_replaced(fault, status, timeout):
    assert score(fault, ray="auto", workers=1, timeout=timeout)["status"].tolist() == ["ok", status, "ok"]


@pytest.mark.usefixtures("cluster")
def test_a_cluster_that_is_lost_is_one_sentence(tmp_path, monkeypatch):
    """On real processes that are killed this is in benchmarks/faults.py."""
    from nas.engines import ray as engine

    monkeypatch.setattr(engine, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(engine, "MAX_ABSENCE", 0.4)
    with closing(engine.Lifeline()) as lifeline:
        assert os.path.exists(lifeline._raylet)
        for _ in range(3):
            time.sleep(0.25)
            lifeline.check()
        path, listening = lifeline._raylet, lifeline._service
        lifeline._raylet = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as ended:
            ended.bind(lifeline._raylet)
        time.sleep(0.25)
        with pytest.raises(
            UsageError, match=r"^the Ray cluster is lost: Ray's process on this machine \(raylet\) has e"
        ):
            lifeline.check()
        lifeline._raylet, lifeline._service = path, ("127.0.0.1", ":", "1")
        time.sleep(0.5)
        with pytest.raises(
            UsageError, match=r"lost: its control service at 127\.0\.0\.1:1 has not answered for 0\.4 s; "
        ):
            lifeline.check()
        lifeline._service = listening
        time.sleep(0.25)
        lifeline.check()


def test_a_worker_ends_with_its_home_and_without_one_goes_on():
    code = "import sys, time; from nas.engines.children import end_with; end_with(('127.0.0.1', int(sys.argv[1]))); "
    code += "print('begun', flush=True); time.sleep(float(sys.argv[2])); print('slept')"
    with socket.create_server(("127.0.0.1", 0)) as home:
        places = ((home.getsockname()[1], "60"), (1, "0"))  # nothing listens at port 1
        workers = [
            subprocess.Popen([sys.executable, "-c", code, str(place), seconds], stdout=subprocess.PIPE, text=True)
            for place, seconds in places
        ]
        assert [worker.stdout.readline() for worker in workers] == ["begun\n"] * 2
    for worker, text, code in zip(workers, ("", "slept\n"), (1, 0), strict=True):
        with worker:
            assert worker.stdout.read() == text
        assert worker.returncode == code


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
