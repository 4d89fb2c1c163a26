"""Several architectures, trained in this process one after the other or in worker processes side by side.

The engines that measure scores do not fit: they send a minibatch, and receive a number after some seconds. A training
reads its own data, lasts long, and keeps its state in its folder; so here a worker is told the folder, and one that
dies is followed by another that continues from there.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from pebble import ProcessExpired, ProcessPool

from nas import plugins
from nas.data.splits import splits
from nas.engines.children import end_with_parent, how_it_ended, uninterrupted
from nas.engines.crew import TRIES
from nas.registry import normal
from nas.scoring.memory import tune_process
from nas.scoring.scorer import Log
from nas.space import make_space
from nas.training.checkpoint import HISTORY, TrainingFolder
from nas.training.loop import Epoch
from nas.training.network import Conditions, Trained, train_network
from nas.training.recipe import Recipe

POLL = 0.5
"""Seconds between two checks of the workers' progress."""

RunWatch = Callable[[int, int, str], None]
"""Called with the number of steps done, that of all steps of all networks, and a note on the loss."""


class Job(NamedTuple):
    """An architecture in the space's notation, and the folder of its training; None where nothing is kept."""

    text: str
    folder: TrainingFolder | None


@dataclass(frozen=True)
class Plan:
    """The names and plain values from which a worker makes its `nas.training.network.Conditions`.

    Attributes:
        folder: where relative paths start.
        threads: torch's threads in each worker.
    """

    space: str
    options: Mapping[str, Any]
    plugins: tuple[str, ...]
    data: str
    recipe: Recipe
    device: str
    events: bool
    folder: str
    threads: int

    def conditions(self, device: str) -> Conditions:
        if os.path.isdir(self.folder):
            os.chdir(self.folder)
        torch.set_num_threads(self.threads)
        plugins.load(self.plugins)
        tune_process()
        space = make_space(self.space, {normal(self.space): dict(self.options)})
        parts = splits(self.data, self.recipe.seed)
        return Conditions(space, parts, self.recipe, torch.device(device), self.events)


def train_here(
    conditions: Conditions, jobs: Sequence[Job], watch: RunWatch | None = None, log: Log | None = None
) -> Iterator[tuple[int, Trained]]:
    """The number of each job with its outcome, one after the other; ``log``: see `log_epoch`."""
    steps = conditions.recipe.steps(len(conditions.splits.train))
    for number, job in enumerate(jobs):

        def step(done: int, note: str, number: int = number) -> None:
            if watch is not None:
                which = f"network {number + 1} of {len(jobs)}, " if len(jobs) > 1 else ""
                watch(number * steps + done, len(jobs) * steps, f"{which}{note}" if note else "")

        def note(row: Epoch, number: int = number) -> None:
            if log is not None:
                log_epoch(log, number, conditions.recipe.epochs, row)

        yield number, train_network(conditions, conditions.space.parse(job.text), job.folder, step, note)


def log_epoch(log: Log, network: int, epochs: int, row: Epoch) -> None:
    """Calls ``log`` with the epoch's number, counted over all networks from 1, and the numbers of its row."""
    log(network * epochs + row.epoch, {"network": network + 1, **row._asdict()})


def train_in_processes(
    plan: Plan, jobs: Sequence[Job], workers: int, watch: RunWatch | None = None
) -> Iterator[tuple[int, Trained]]:
    """The number of each job with its outcome, as soon as it is done; the weights are in its folder."""
    waiting, deaths = deque(range(len(jobs))), Counter[int]()
    running: dict[Future[Trained], tuple[int, int]] = {}
    with _Workers(min(workers, len(jobs)), plan) as crew:
        while waiting or running:
            busy = {worker for worker, _ in running.values()}
            for worker in [worker for worker in range(crew.size) if worker not in busy]:
                if waiting:
                    number = waiting.popleft()
                    running[crew.train(worker, jobs[number])] = worker, number
            for future in wait(running, POLL, FIRST_COMPLETED).done:
                worker, number = running.pop(future)
                try:
                    yield number, future.result()
                except (ProcessExpired, BrokenProcessPool, CancelledError) as error:
                    crew.replace(worker)
                    deaths[number] += 1
                    if deaths[number] < TRIES:
                        waiting.appendleft(number)
                    else:
                        yield number, _lost(jobs[number], error)
            if watch is not None:
                _look(jobs, plan.recipe.epochs, len(waiting) + len(running), watch)


def _look(jobs: Sequence[Job], epochs: int, left: int, watch: RunWatch) -> None:
    """Reports progress in epochs, not steps: those that are done are written in each folder."""
    histories = [job.folder.path / HISTORY for job in jobs if job.folder is not None]
    done = sum(file.read_bytes().count(b"\n") - 1 for file in histories if file.exists())
    watch(done, len(jobs) * epochs, f"{len(jobs) - left} of {len(jobs)} networks")


def _lost(job: Job, error: BaseException) -> Trained:
    how = how_it_ended(error.exitcode) if isinstance(error, ProcessExpired) else "the process ended at its start"
    result = {"arch": job.text, "status": "lost", "reason": f"{TRIES} workers died while training it: {how}"}
    if job.folder is not None:
        job.folder.path.mkdir(parents=True, exist_ok=True)
        job.folder.end(result)
    return Trained(result, job.folder)


class _Workers:
    """Processes, each a pool of one, as in `nas.engines.processes`; started when they are needed, ended with the
    context. Each has a GPU of its own where there are enough."""

    def __init__(self, size: int, plan: Plan) -> None:
        self.size, self.plan = size, plan
        self._pools: list[ProcessPool | None] = [None] * size

    def train(self, worker: int, job: Job) -> Future[Trained]:
        device = self.plan.device
        if device == "cuda":
            device = f"cuda:{worker % torch.cuda.device_count()}"
        if self._pools[worker] is None:
            context = multiprocessing.get_context("spawn")
            self._pools[worker] = ProcessPool(1, initializer=end_with_parent, context=context)
        pool = self._pools[worker]
        assert pool is not None
        with uninterrupted():
            future: Future[Trained] = pool.schedule(_train, args=(self.plan, device, job))
        return future

    def replace(self, worker: int) -> None:
        pool, self._pools[worker] = self._pools[worker], None
        if pool is not None:
            pool.stop()
            pool.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in range(self.size):
            self.replace(worker)


_conditions: dict[tuple[Path, str], Conditions] = {}
"""A worker's conditions, which read the data once."""


def _train(plan: Plan, device: str, job: Job) -> Trained:
    key = Path(plan.folder), device
    if key not in _conditions:
        _conditions[key] = plan.conditions(device)
    return train_network(_conditions[key], _conditions[key].space.parse(job.text), job.folder)
