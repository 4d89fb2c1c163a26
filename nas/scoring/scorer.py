"""Architectures -> scores, nothing measured twice: known scores are looked up, an engine measures the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import NamedTuple, Protocol

from nas.data.minibatch import Minibatch
from nas.errors import UsageError
from nas.proxy import Proxy
from nas.scoring.measurer import Measurer, Score, run_once
from nas.space import Arch, Space

MAX_TRIES = 10
"""How many networks may fail on the images before the shape of these is taken to be at fault."""

Watch = Callable[[int, int, str], None]
"""Called with progress: how many are done, of how many, and a remark."""

Log = Callable[[int, Mapping[str, float]], None]
"""Called with the number of a step and numbers by name, for a tracker of experiments; a run that is continued begins
with the steps that it had."""


class Job(NamedTuple):
    """A measurement to make: a canonical architecture, and the proxies to measure it by."""

    arch: Arch
    proxies: tuple[Proxy, ...]


Engine = Callable[[Measurer, Sequence[Job]], Iterator[tuple[int, dict[str, Score]]]]
"""Measures jobs: yields the number of each in the sequence with its scores, in any order, as soon as it is done."""


class Shelf(Protocol):
    """Keeps scores beyond the process, all those of one measurer's setting, which the shelf knows."""

    def get(self, arch: Arch, proxy: Proxy) -> Score | None:
        """The stored score, or None."""
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

    Scores that depend on the machine are measured in this process, before an engine's workers begin, and not put on the
    shelf.

    Attributes:
        listener: called with each score that depends on the machine when it has been measured.
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

        Proxies of one call share their passes; everything that is unknown goes to the engine at once.

        Raises:
            ValueError: two settings of one proxy, whose scores would have one name.
        """
        settings = {proxy.setting: proxy.name for proxy in proxies}
        if len(settings) > len(set(settings.values())):
            raise ValueError(f"one proxy with several settings, which take a call each: {', '.join(settings)}")
        return self._stream([self.space.canonical(arch) for arch in archs], proxies)

    def learn(self, arch: Arch, setting: str, score: Score) -> None:
        """Takes note of a score that was measured before, by a proxy with this `Proxy.setting`."""
        self._scores.setdefault((self.space.canonical(arch), setting), score)

    def forget(self) -> None:
        """Forgets every score, so that the next ones are measured; those on the shelf stay there."""
        self._scores.clear()

    def shelved(self, arch: Arch) -> bool:
        """Whether the scores of ``arch`` came from the shelf: of those that are kept there, none had to be measured."""
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
        """Whether the score is known, or on the shelf, which makes it known."""
        if (arch, proxy.setting) not in self._scores and self._shelf is not None and not proxy.unshared:
            stored = self._shelf.get(arch, proxy)
            if stored is not None:
                self._scores[arch, proxy.setting] = stored
                self._shelved.add(arch)
        return (arch, proxy.setting) in self._scores

    def _keep(self, job: Job, scores: dict[str, Score]) -> None:
        self._scores |= {(job.arch, proxy.setting): scores[proxy.name] for proxy in job.proxies}
        for proxy in job.proxies:
            if proxy.machine:
                self.listener(job.arch, proxy, scores[proxy.name])
        if self._shelf is not None and (shared := [proxy for proxy in job.proxies if not proxy.unshared]):
            self._shelved.discard(job.arch)
            self._shelf.put(job.arch, [(proxy, scores[proxy.name]) for proxy in shared])


def try_out(scorer: Scorer, archs: Sequence[Arch] = ()) -> None:
    """`UsageError` where none of the first ten of ``archs`` (or of ten random ones where none are given) runs on images
    of the data's shape."""
    rng, errors = Random(0), []
    for arch in dict.fromkeys(archs[:MAX_TRIES] or (scorer.space.sample(rng) for _ in range(MAX_TRIES))):
        try:
            run_once(scorer.space, arch, scorer.data)
        except UsageError as error:
            errors.append(error)
        else:
            return
    raise errors[0]
