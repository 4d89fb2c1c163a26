"""The engine of worker processes on this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, final

import torch
from pebble import ProcessExpired, ProcessPool

from nas.engines.children import end_with_parent, how_it_ended, uninterrupted
from nas.engines.clock import POLL
from nas.engines.crew import Crew, LostWorker, NeverBegun, Plan, Proxies, Recipe, TimedOut, Workbench
from nas.scoring.measurer import Measurer, Score
from nas.space import Arch

Answer = dict[str, Score] | None


@final
class Processes(Crew[Future[Answer]]):
    """An engine of ``size`` processes, started when they are first needed.

    Each is a pool of one, so that a process killed in the middle of a message breaks no other one's connection, and so
    that each has a GPU of its own where there are enough. They divide torch's threads among themselves.
    """

    def __init__(self, plan: Plan, size: int) -> None:
        super().__init__(plan, size)
        self._threads = max(1, torch.get_num_threads() // size)
        self._pools: list[ProcessPool | None] = [None] * size

    def ready(self, worker: int) -> bool:
        pool = self._pools[worker]
        if pool is not None and pool.active:
            return True
        self._replace(worker)
        return False

    def prepare(self, worker: int, key: int, measurer: Measurer) -> Future[Answer]:
        recipe = Recipe.of(self.plan, measurer)
        if recipe.device == "cuda":
            recipe = recipe._replace(device=f"cuda:{worker % torch.cuda.device_count()}")
        return self._schedule(worker, _prepare, (key, recipe))

    def measure(self, worker: int, key: int, arch: Arch, proxies: Proxies, seconds: float | None) -> Future[Answer]:
        return self.begin(self._schedule(worker, _measure, (key, arch, proxies)), seconds)

    def wait(self, handles: Sequence[Future[Answer]], measuring: bool) -> Iterable[Future[Answer]]:
        poll = POLL if measuring and self.plan.timeout is not None else None
        while True:
            if done := wait(handles, poll, FIRST_COMPLETED).done or self.overdue(handles):
                return done

    def answer(self, worker: int, handle: Future[Answer]) -> Answer:
        if self.ended(handle):
            self._replace(worker)
            raise TimedOut
        try:
            return handle.result()
        except ProcessExpired as error:
            self._replace(worker)
            raise LostWorker(how_it_ended(error.exitcode)) from None
        except (BrokenProcessPool, CancelledError):
            self._replace(worker)
            raise NeverBegun("the process ended at its start") from None

    def close(self) -> None:
        pools = [pool for pool in self._pools if pool is not None]
        for pool in pools:
            pool.stop()
        for pool in pools:
            pool.join()

    def _replace(self, worker: int) -> None:
        before = self._pools[worker]
        if before is not None:
            before.stop()
            before.join()
        context = multiprocessing.get_context("spawn")
        self._pools[worker] = ProcessPool(1, initializer=_begin, initargs=(self._threads,), context=context)

    def _schedule(self, worker: int, function: Any, arguments: Any) -> Future[Answer]:
        pool = self._pools[worker]
        assert pool is not None
        try:
            with uninterrupted():
                return pool.schedule(function, args=arguments)
        except RuntimeError as error:  # it has broken since it was checked
            failed: Future[Answer] = Future()
            failed.set_exception(BrokenProcessPool(str(error)))
            return failed


_bench: Workbench
"""The workbench of this process, where it is a worker."""


def _begin(threads: int) -> None:
    global _bench
    _bench = Workbench(threads)
    end_with_parent()


def _prepare(key: int, recipe: Recipe) -> None:
    _bench.prepare(key, recipe)


def _measure(key: int, arch: Arch, proxies: Proxies) -> dict[str, Score]:
    return _bench.measure(key, arch, proxies)
