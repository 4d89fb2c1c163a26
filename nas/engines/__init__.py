"""Where scores are measured: in this process, in worker processes, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from nas.engines.crew import Plan
from nas.errors import UsageError
from nas.registry import Settings, check_number
from nas.scoring.scorer import Engine, here


@contextmanager
def open_engine(
    space: str,
    settings: Settings,
    plugin: Iterable[str | Path],
    *,
    workers: int | None,
    ray: str | None,
    timeout: float | None,
) -> Iterator[Engine]:
    """The engine that a call asks for, for one space; what it starts ends with the context.

    Args:
        workers: how many processes, or actors on the cluster; None is this process, or an actor for each CPU (or GPU).
        ray: a cluster's address, ``local`` for a new one on this machine, or ``auto``: the one that runs here, else a
            new one; None is no cluster.
        timeout: seconds for an architecture. It takes a process that can be ended: without ``workers``, one.

    Raises:
        UsageError: an argument is not valid, or Ray is not installed or not reached.
    """
    check_timeout(timeout)
    if workers is not None:
        check_number("workers", workers, 1)
    if ray is None and workers is None and timeout is None:
        yield here
        return
    plan = Plan.of(space, settings, plugin, timeout)
    if ray is None:
        from nas.engines.processes import Processes

        with Processes(plan, workers or 1) as processes:
            yield processes
    else:
        from nas.engines.ray import Actors, cluster

        with cluster(ray), Actors(plan, workers) as actors:
            yield actors


def check_timeout(value: Any) -> None:
    """`UsageError` for anything but None or a number of seconds."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not (isfinite(value) and value > 0):
        raise UsageError(f"timeout is a number of seconds, more than 0, not {value!r}")
