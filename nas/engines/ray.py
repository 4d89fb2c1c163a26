"""The engine of actors on a Ray cluster."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil, floor
from typing import Any, final

from nas.engines.clock import POLL
from nas.engines.crew import Crew, LostWorker, Plan, Proxies, Recipe, TimedOut, Workbench
from nas.errors import UsageError
from nas.scoring.measurer import Measurer, Score
from nas.space import Arch

# The raylets' messages about lost workers would appear among the results; the failed scores state their reasons.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "worker died|workers? .*killed|marked dead|[Rr]aylet")

try:
    import ray
    from ray import ObjectRef
    from ray.exceptions import ObjectLostError, RayActorError, RayTaskError, WorkerCrashedError
except ImportError as error:
    raise UsageError(f"--ray takes Ray, which is not installed ({error}): pip install 'gradalign-nas[ray]'") from error

MAX_WAIT_SECONDS = 120.0
"""Seconds to wait for room on the cluster while no worker is measuring."""
CHECK_SECONDS = 1.0
"""Seconds between two checks that the cluster is there."""
MAX_ABSENCE = 10.0
"""Seconds that the cluster's control service may be absent, as when it is restarted."""
BACKLOG = 4096
"""Workers, lost ones included, that may hold a connection to this process."""


@contextmanager
def cluster(address: str) -> Iterator[None]:
    """Connects to the cluster at ``address``, or starts one that ends with the context; one that this process is
    connected to already is used as it is.

    Raises:
        UsageError: it cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    if address not in ("auto", "local"):
        _check_reachable(address)
    try:
        with _own_handlers():
            ray.init(
                address=None if address == "auto" else address, log_to_driver=False, logging_level=logging.CRITICAL,
                include_dashboard=False,
            )  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise _unreachable(address, str(error).splitlines()[0]) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _own_handlers() -> Iterator[None]:
    """A context after which SIGTERM is handled as before, where a handler was set; Ray's own handler aborts."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        yield
    finally:
        if callable(before):
            signal.signal(signal.SIGTERM, before)


def _check_reachable(address: str) -> None:
    """`UsageError` where nobody listens at ``address``; Ray itself would try for minutes."""
    match = re.fullmatch(r"([^:/]+):(\d{1,5})", address)
    if match is None:
        raise _unreachable(address, "it is no HOST:PORT")
    try:
        socket.create_connection((match[1], int(match[2])), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from None


def _unreachable(address: str, why: str) -> UsageError:
    return UsageError(f"the Ray cluster {address!r} cannot be reached ({why}): give its address, 'auto' or 'local'")


class Lifeline:
    """Tells either side that the other one has ended, long before Ray does; Ray might also end this process then,
    without a message of ours.

    Attributes:
        home: where this process listens, for `nas.engines.children.end_with`. Nothing is ever read or sent there.
    """

    def __init__(self) -> None:
        context = ray.get_runtime_context()
        self._service = context.gcs_address.rpartition(":")
        self._raylet = str(getattr(ray._private.worker._global_node, "raylet_socket_name", ""))
        self._listener = socket.create_server((ray.util.get_node_ip_address(), 0), backlog=BACKLOG)
        self.home: tuple[str, int] = self._listener.getsockname()[:2]
        self._looked = self._met = time.monotonic()

    def check(self) -> None:
        """`UsageError` where the cluster is gone, or this machine's part of it."""
        now = time.monotonic()
        if now - self._looked < CHECK_SECONDS:
            return
        self._looked = now
        if os.path.exists(self._raylet) and _refused(_to_raylet, self._raylet):
            raise self._gone("Ray's process on this machine (raylet) has ended")
        if not _refused(socket.create_connection, (self._service[0], int(self._service[2]))):
            self._met = now
        elif now - self._met > MAX_ABSENCE:
            raise self._gone(f"its control service at {''.join(self._service)} has not answered for {MAX_ABSENCE:g} s")

    def close(self) -> None:
        """Ends the workers that hold a connection to this process."""
        self._listener.close()

    def _gone(self, why: str) -> UsageError:
        return UsageError(
            f"the Ray cluster is lost: {why}; what is recorded stays, and the same command goes on with it on another "
            "cluster"
        )


def _refused(connect: Callable[..., socket.socket], place: Any) -> bool:
    """Whether nobody listens there any more; one that is only slow is not gone."""
    try:
        connect(place, timeout=CHECK_SECONDS).close()
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def _to_raylet(path: str, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


@final
class Actors(Crew["ObjectRef[Any]"]):
    """An engine of ``size`` actors on the cluster that this process is connected to; None is one for each CPU, or GPU.

    They share its CPUs, and its GPUs where the scores are measured on them. The minibatch is put into the cluster's
    store once. An actor that is lost, alone or with its node, is replaced by one that is placed anew.
    """

    def __init__(self, plan: Plan, size: int | None) -> None:
        self._cpus = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        self._gpus = int(ray.cluster_resources().get("GPU", 0))
        super().__init__(plan, size or self._gpus or max(1, sum(self._cpus)))
        self._threads = threads(self._cpus, self.size)
        self._actors: list[Any] = [None] * self.size
        self._recipes: dict[int, ObjectRef[Any]] = {}
        self._lifeline = Lifeline()

    def ready(self, worker: int) -> bool:
        return self._actors[worker] is not None

    def prepare(self, worker: int, key: int, measurer: Measurer) -> ObjectRef[Any]:
        if self._actors[worker] is None:
            cpus = self._threads if self._threads else sum(self._cpus) / self.size
            gpus = share(self._gpus, self.size) if measurer.device.type == "cuda" else 0
            actor_class = ray.remote(Workbench).options(num_cpus=cpus, num_gpus=gpus, max_restarts=0)
            self._actors[worker] = actor_class.remote(max(1, self._threads), self._lifeline.home)
        if key not in self._recipes:
            self._recipes[key] = ray.put(Recipe.of(self.plan, measurer))
        return self._actors[worker].prepare.remote(key, self._recipes[key])  # type: ignore[no-any-return]

    def measure(self, worker: int, key: int, arch: Arch, proxies: Proxies, seconds: float | None) -> ObjectRef[Any]:
        return self.begin(self._actors[worker].measure.remote(key, arch, proxies), seconds)

    def wait(self, handles: Sequence[ObjectRef[Any]], measuring: bool) -> Iterable[ObjectRef[Any]]:
        start = self._clock()
        while True:
            done, _ = ray.wait(list(handles), timeout=POLL)
            self._check_cluster()
            if late := done or self.overdue(handles):
                return late
            if not measuring and self._clock() - start > MAX_WAIT_SECONDS:
                raise UsageError(
                    f"the Ray cluster has had no room for a worker for {MAX_WAIT_SECONDS:g} s: ask for fewer --workers"
                )

    def answer(self, worker: int, handle: ObjectRef[Any]) -> dict[str, Score] | None:
        if self.ended(handle):
            self._end(worker)
            raise TimedOut
        try:
            return ray.get(handle)  # type: ignore[no-any-return]
        except (RayActorError, WorkerCrashedError, ObjectLostError) as error:
            self._end(worker)
            raise LostWorker(str(error).splitlines()[0]) from None
        except RayTaskError as error:
            raise error.cause from None

    def close(self) -> None:
        for worker in range(self.size):
            self._end(worker)
        self._lifeline.close()

    def _check_cluster(self) -> None:
        try:
            self._lifeline.check()
        except UsageError:
            self._actors = [None] * self.size  # nobody is there who could end them; they end with the lifeline
            raise

    def _end(self, worker: int) -> None:
        if self._actors[worker] is not None:
            ray.kill(self._actors[worker])
            self._actors[worker] = None


def threads(cpus: Iterable[int], size: int) -> int:
    """The most whole CPUs that each of ``size`` actors can have on nodes with ``cpus``; 0 where they must share one."""
    nodes = list(cpus)
    fitting = (each for each in range(max(nodes, default=0), 0, -1) if sum(node // each for node in nodes) >= size)
    return next(fitting, 0)


def share(gpus: int, size: int) -> float:
    """The share of a GPU for each of ``size`` actors: whole ones where there are enough, else an equal part of one."""
    if gpus >= size:
        return float(floor(gpus / size))
    return 1 / ceil(size / gpus) if gpus else 0.0
