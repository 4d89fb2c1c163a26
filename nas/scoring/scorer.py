"""Architectures -> scores, nothing measured twice: what is known is looked up, the rest is left to an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple, Protocol

from nas.data.minibatch import Minibatch
from nas.errors import UsageError
from nas.proxy import Proxy
from nas.scoring.measurer import Measurer, Score, run_once
from nas.space import Arch, Space

TRIED = 10
"""How many networks may fail on the images before their shape is blamed."""

Watch = Callable[[int, int, str], None]
"""Told of progress: how many are done, of how many, and a remark."""


class Job(NamedTuple):
    """What is to be measured: a canonical architecture, and by which proxies."""

    arch: Arch
    proxies: tuple[Proxy, ...]


Engine = Callable[[Measurer, Sequence[Job]], Iterator[tuple[int, dict[str, Score]]]]
"""Measures jobs, somewhere: the number of each in the sequence with its scores, in any order, as soon as it is done."""


class Shelf(Protocol):
    """Where scores outlast the process; all of the setting of one measurer, which the shelf knows."""

    def get(self, arch: Arch, proxy: Proxy) -> Score | None:
        """The score that is kept, or None."""
        ...

    def put(self, arch: Arch, scores: Sequence[tuple[Proxy, Score]]) -> None:
        """Keeps the scores of one architecture."""
        ...


def here(measurer: Measurer, jobs: Sequence[Job]) -> Iterator[tuple[int, dict[str, Score]]]:
    """The engine that measures in this process, one job after the other."""
    for number, job in enumerate(jobs):
        yield number, measurer(job.arch, job.proxies)


class Scorer:
    """Scores architectures of one space on one minibatch; each is measured once.

    What depends on the machine is measured in this process, before an engine's workers begin, and not put on the shelf.

    Attributes:
        listener: told of each score that depends on the machine when it has been measured.
    """

    def __init__(
        self, space: Space, data: Minibatch, *, seed: int = 0, device: str = "auto", precision: str = "float32",
        engine: Engine = here, shelf: Callable[[Measurer], Shelf] | None = None,
    ) -> None:  # fmt: skip
        self.measurer = Measurer(space, data, seed=seed, device=device, precision=precision)
        self.space, self.data, self.seed = space, data, seed
        self.device, self.precision = self.measurer.device, self.measurer.precision
        self._engine, self._shelf = engine, shelf(self.measurer) if shelf is not None else None
        self.listener: Callable[[Arch, Proxy, Score], None] = lambda arch, proxy, score: None
        self._scores: dict[tuple[Arch, str], Score] = {}  # by canonical architecture and `Proxy.setting`
        self._shelved: set[Arch] = set()

    def __call__(self, archs: Iterable[Arch], proxies: Sequence[Proxy]) -> list[dict[str, Score]]:
        """`stream`, all at once."""
        return list(self.stream(archs, proxies))

    def stream(self, archs: Iterable[Arch], proxies: Sequence[Proxy]) -> Iterator[dict[str, Score]]:
        """For each architecture, in order and as soon as it is known, the score by each proxy's name.

        Proxies asked together share their passes; all that is unknown goes to the engine at once.

        Raises:
            ValueError: two settings of one proxy, whose scores would have one name.
        """
        settings = {proxy.setting: proxy.name for proxy in proxies}
        if len(settings) > len(set(settings.values())):
            raise ValueError(f"one proxy with several settings, which take a call each: {', '.join(settings)}")
        return self._stream([self.space.canonical(arch) for arch in archs], proxies)

    def learn(self, arch: Arch, setting: str, score: Score) -> None:
        """Takes a score that was measured before, of a proxy with this `Proxy.setting`, for known."""
        self._scores.setdefault((self.space.canonical(arch), setting), score)

    def forget(self) -> None:
        """Forgets every score, so that what is asked next is measured; what is on the shelf stays there."""
        self._scores.clear()

    def shelved(self, arch: Arch) -> bool:
        """Whether some score of ``arch`` came from the shelf."""
        return self.space.canonical(arch) in self._shelved

    def knows(self, arch: Arch, proxies: Iterable[Proxy]) -> bool:
        """Whether ``arch`` has been scored before, in this process."""
        return self._knows(self.space.canonical(arch), proxies)

    def _knows(self, arch: Arch, proxies: Iterable[Proxy]) -> bool:
        return all((arch, proxy.setting) in self._scores for proxy in proxies)

    def _stream(self, archs: Sequence[Arch], proxies: Sequence[Proxy]) -> Iterator[dict[str, Score]]:
        jobs = []
        for arch in dict.fromkeys(archs):
            missing = tuple(proxy for proxy in proxies if not self._look_up(arch, proxy))
            if self._engine is not here and (own := tuple(proxy for proxy in missing if proxy.unshared)):
                self._keep(Job(arch, own), self.measurer(arch, own))
                missing = tuple(proxy for proxy in missing if proxy not in own)
            if missing:
                jobs.append(Job(arch, missing))
        results = self._engine(self.measurer, jobs) if jobs else iter(())
        for arch in archs:
            while not self._knows(arch, proxies):
                number, scores = next(results)
                self._keep(jobs[number], scores)
            yield {proxy.name: self._scores[arch, proxy.setting] for proxy in proxies}

    def _look_up(self, arch: Arch, proxy: Proxy) -> bool:
        """Whether the score is known or on the shelf, from where it becomes known."""
        if (arch, proxy.setting) not in self._scores and self._shelf is not None and not proxy.unshared:
            kept = self._shelf.get(arch, proxy)
            if kept is not None:
                self._scores[arch, proxy.setting] = kept
                self._shelved.add(arch)
        return (arch, proxy.setting) in self._scores

    def _keep(self, job: Job, scores: dict[str, Score]) -> None:
        self._scores |= {(job.arch, proxy.setting): scores[proxy.name] for proxy in job.proxies}
        for proxy in job.proxies:
            if proxy.machine:
                self.listener(job.arch, proxy, scores[proxy.name])
        if self._shelf is not None and (kept := [proxy for proxy in job.proxies if not proxy.unshared]):
            self._shelf.put(job.arch, [(proxy, scores[proxy.name]) for proxy in kept])


def try_out(scorer: Scorer, archs: Sequence[Arch] = ()) -> None:
    """`UsageError` where none of the first ten of ``archs`` (of as many random ones where none are given) runs on
    images of the data's shape."""
    rng, errors = Random(0), []
    for arch in dict.fromkeys(archs[:TRIED] or (scorer.space.sample(rng) for _ in range(TRIED))):
        try:
            run_once(scorer.space, arch, scorer.data)
        except UsageError as error:
            errors.append(error)
        else:
            return
    raise errors[0]
