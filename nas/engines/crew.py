"""Workers in other processes: what they are told, what they do, and how jobs are handed out to them."""

from __future__ import annotations

import os
import pickle
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any, Generic, NamedTuple, Self, TypeVar, final

import numpy as np
import torch
from numpy.typing import NDArray

from nas import plugins
from nas.data.minibatch import Minibatch
from nas.engines.children import end_with
from nas.engines.clock import RunningClock
from nas.errors import UsageError
from nas.proxy import PROXIES, Proxy
from nas.registry import Settings, normal
from nas.scoring.measurer import Measurer, Score
from nas.scoring.memory import tune_process
from nas.scoring.scorer import Job
from nas.space import Arch, make_space

TRIES = 2
"""How many workers may die while measuring a job before it counts as a failed score."""
MAX_EARLY_ENDS = 5
"""How many workers in a row may end before they have measured anything."""


class Plan(NamedTuple):
    """What the jobs of one call have in common, and their limits."""

    space: str
    options: dict[str, Any]
    plugins: tuple[str, ...]
    timeout: float | None = None

    @classmethod
    def of(cls, space: str, settings: Settings, files: Iterable[str | Path], timeout: float | None) -> Plan:
        """A plan that can be sent; `UsageError` where the options of the space cannot leave this process."""
        options = dict(settings.get(normal(space), {}))
        try:
            pickle.dumps(options)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UsageError(f"the options of the space {space} cannot be sent to workers: {error}") from None
        return cls(space, options, tuple(str(Path(file).expanduser().resolve()) for file in files), timeout)


class Recipe(NamedTuple):
    """Everything that a worker needs to measure as a measurer here does; plain values, since a space may hold
    functions."""

    plan: Plan
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: int
    seed: int
    device: str
    precision: str
    folder: str

    @classmethod
    def of(cls, plan: Plan, measurer: Measurer) -> Recipe:
        images, labels, classes = measurer.data.images.numpy(), measurer.data.labels.numpy(), measurer.data.classes
        precision = str(measurer.precision).removeprefix("torch.")
        return cls(plan, images, labels, classes, measurer.seed, str(measurer.device), precision, os.getcwd())


Proxies = tuple[tuple[str, dict[str, Any]], ...]
"""Proxies, by their names and the options that are set."""


@final
class Workbench:
    """A worker's own measurers, one for each recipe, and what it measures with them.

    Args:
        home: the address where the main process listens, if this one is to end with it.
    """

    def __init__(self, threads: int, home: tuple[str, int] | None = None) -> None:
        if home is not None:
            end_with(home)
        torch.set_num_threads(threads)
        self._measurers: dict[int, Measurer] = {}

    def prepare(self, key: int, recipe: Recipe) -> None:
        """Imports the plug-ins and makes the space. Raises `UsageError` where that cannot be done here."""
        plan = recipe.plan
        if os.path.isdir(recipe.folder):  # so that relative paths are the user's
            os.chdir(recipe.folder)
        plugins.load(plan.plugins)
        tune_process()
        space = make_space(plan.space, {normal(plan.space): plan.options})
        data = Minibatch(torch.tensor(recipe.images), torch.tensor(recipe.labels), recipe.classes)
        self._measurers[key] = Measurer(space, data, seed=recipe.seed, device=recipe.device, precision=recipe.precision)

    def measure(self, key: int, arch: Arch, proxies: Proxies) -> dict[str, Score]:
        """The score by each proxy's name."""
        return self._measurers[key](arch, [PROXIES[name].with_options(options) for name, options in proxies])


class LostWorker(Exception):
    """The worker died during the job."""


class NeverBegun(LostWorker):
    """The worker died before it took the job."""


class TimedOut(Exception):
    """The job took longer than allowed, and its worker was ended."""


Handle = TypeVar("Handle")
"""Stands for a task that was given to a worker."""


class _Part(NamedTuple):
    """Those of a job's proxies that are measured together: all of them, or after a failure each by itself."""

    number: int
    """The job's number."""
    proxies: tuple[Proxy, ...]
    seconds: float | None
    """The time limit."""
    deaths: int = 0
    """How many workers have died during it."""


class _Task(NamedTuple):
    worker: int
    key: int
    part: _Part | None
    """None for a preparation."""


class Crew(ABC, Generic[Handle]):
    """An engine of several workers, each of which has one task at a time and keeps what it was prepared with.

    A job whose worker dies is given to another one. After that, or where it takes too long, its proxies are measured
    one by one, since one of them may be at fault: each has an equal share of the time, and has failed if its worker
    dies. Which worker measures what, and in which order they answer, changes no score. It is a context manager: at its
    end no worker is left.
    """

    def __init__(self, plan: Plan, size: int) -> None:
        self.plan = plan
        self.size = size
        self._keys: dict[Measurer, int] = {}
        self._prepared: list[set[int]] = [set() for _ in range(size)]
        self._running: dict[Handle, _Task] = {}
        self._ended_early = 0
        self._clock = RunningClock()
        self._until: dict[Handle, float] = {}
        self._overdue: set[Handle] = set()

    @abstractmethod
    def ready(self, worker: int) -> bool:
        """Whether the worker is as it was left; one that has died while idle is replaced."""

    @abstractmethod
    def prepare(self, worker: int, key: int, measurer: Measurer) -> Handle:
        """Makes the worker set up a measurer like this one, and keep it under ``key``."""

    @abstractmethod
    def measure(self, worker: int, key: int, arch: Arch, proxies: Proxies, seconds: float | None) -> Handle:
        """Makes the worker measure; its time, if limited, runs from when it begins."""

    @abstractmethod
    def wait(self, handles: Sequence[Handle], measuring: bool) -> Iterable[Handle]:
        """The handles of finished tasks, at least one; ``measuring``: whether any of ``handles`` is a job's."""

    @abstractmethod
    def answer(self, worker: int, handle: Handle) -> dict[str, Score] | None:
        """What the worker answered; one that has died is replaced.

        Raises:
            LostWorker, TimedOut: there is no answer.
            Exception: the worker raised it.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends all workers."""

    @final
    def begin(self, handle: Handle, seconds: float | None) -> Handle:
        """``handle``, of a job whose time, if limited, runs from now on."""
        self._until[handle] = inf if seconds is None else self._clock() + seconds
        return handle

    @final
    def overdue(self, handles: Iterable[Handle]) -> list[Handle]:
        """Those of ``handles`` whose jobs have taken longer than allowed; to be called every `POLL` seconds."""
        now = self._clock()
        late = [handle for handle in handles if now > self._until.get(handle, inf)]
        self._overdue |= set(late)
        return late

    @final
    def ended(self, handle: Handle) -> bool:
        """Notes that the job is over, and returns whether it had taken too long."""
        self._until.pop(handle, None)
        late = handle in self._overdue
        self._overdue.discard(handle)
        return late

    @final
    def __enter__(self) -> Self:
        return self

    @final
    def __exit__(self, *error: object) -> None:
        self.close()

    @final
    def __call__(self, measurer: Measurer, jobs: Sequence[Job]) -> Iterator[tuple[int, dict[str, Score]]]:
        """The engine itself; see `nas.scoring.scorer.Engine`."""
        key = self._keys.setdefault(measurer, len(self._keys))
        waiting = deque(_Part(number, job.proxies, self.plan.timeout) for number, job in enumerate(jobs))
        scores: defaultdict[int, dict[str, Score]] = defaultdict(dict)
        while waiting or self._measuring:
            self._hand_out(waiting, jobs, key, measurer)
            for handle in self.wait(list(self._running), self._measuring):
                task = self._running.pop(handle)
                part = task.part
                answer = self._answer(task, handle)
                if part is None or answer is None:
                    continue
                if isinstance(answer, _Part):
                    waiting.appendleft(answer)
                elif len(part.proxies) > 1 and any(score.status in ("timeout", "lost") for score in answer.values()):
                    waiting.extendleft(_apart(part))
                else:
                    scores[part.number] |= answer
                    if len(scores[part.number]) == len(jobs[part.number].proxies):
                        yield part.number, scores.pop(part.number)

    def _answer(self, task: _Task, handle: Handle) -> dict[str, Score] | _Part | None:
        """The scores of the task's part, or the part itself if it is to be handed out again; None for a preparation."""
        part = task.part
        try:
            answer = self.answer(task.worker, handle)
        except TimedOut:
            self._prepared[task.worker].clear()
            return None if part is None else _failure(part, "timeout", f"no score within {part.seconds:g} s")
        except LostWorker as error:
            self._prepared[task.worker].clear()
            if part is None or isinstance(error, NeverBegun):
                self._count_early_end(error)
                return part
            part = part._replace(deaths=part.deaths + 1)
            if part.deaths < TRIES:
                return part
            return _failure(part, "lost", f"{TRIES} workers died while measuring it: {error}")
        self._ended_early = 0
        if part is None:
            self._prepared[task.worker].add(task.key)
        return answer

    @property
    def _measuring(self) -> bool:
        return any(task.part is not None for task in self._running.values())

    def _hand_out(self, waiting: deque[_Part], jobs: Sequence[Job], key: int, measurer: Measurer) -> None:
        busy = {task.worker for task in self._running.values()}
        free = [worker for worker in range(self.size) if worker not in busy]
        for worker in free if waiting else ():
            if not self.ready(worker):
                self._prepared[worker].clear()
        for worker in free:
            if waiting and key in self._prepared[worker]:
                part = waiting.popleft()
                proxies = tuple((proxy.name, proxy.options) for proxy in part.proxies)
                handle = self.measure(worker, key, jobs[part.number].arch, proxies, part.seconds)
                self._running[handle] = _Task(worker, key, part)
        preparing = sum(task.part is None for task in self._running.values())
        idle = [worker for worker in free if key not in self._prepared[worker]]
        for worker in idle[: max(0, len(waiting) - preparing)]:  # no more than there is work for
            self._running[self.prepare(worker, key, measurer)] = _Task(worker, key, None)

    def _count_early_end(self, error: LostWorker) -> None:
        self._ended_early += 1
        if self._ended_early == MAX_EARLY_ENDS:
            raise UsageError(
                f"workers end before they have measured anything ({error}): there may be too little memory for "
                f"{self.size} of them; a script that calls this does so under if __name__ == '__main__':"
            )


def _apart(part: _Part) -> list[_Part]:
    share = None if part.seconds is None else part.seconds / len(part.proxies)
    return [_Part(part.number, (proxy,), share, TRIES - 1) for proxy in part.proxies]


def _failure(part: _Part, status: str, reason: str) -> dict[str, Score]:
    return {proxy.name: Score(None, status, reason) for proxy in part.proxies}
