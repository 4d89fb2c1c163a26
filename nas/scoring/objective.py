"""What a search maximises: one proxy, or several as one by rank."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from math import inf, log
from random import Random
from typing import Any, Literal, NamedTuple

from scipy.stats import rankdata

from nas.proxy import PROXIES, Proxy
from nas.scoring.measurer import Score
from nas.scoring.scorer import Scorer
from nas.space import Arch

REFERENCE = 64
"""How many random architectures a value is ranked among, for a combination of proxies."""


class Outcome(NamedTuple):
    """What an objective says of one architecture.

    Attributes:
        score: larger is better; minus infinity for a failure.
        values: each proxy's own number, None where it failed.
        cached: scored before in this run, as the same or an isomorphic architecture.
    """

    score: float
    values: dict[str, float | None]
    status: str
    reason: str
    cached: bool
    seconds: float


class Objective:
    """One number for each architecture, larger is better.

    A single proxy is taken as it is (negated where smaller is better). Several become one by rank: each value becomes
    its quantile in a fixed sample of 64 random architectures of the space, and the quantiles, or their logarithms, are
    summed; so a score does not depend on who else was asked. With ``ranks="batch"`` the quantiles are taken among the
    architectures asked together, for strategies that compare only these.

    Args:
        expression: a proxy, a registered combination, or names joined with ``+`` (their log-quantiles are summed).
        settings: options by proxy name.

    Raises:
        UsageError: an unknown name or option.
    """

    def __init__(
        self,
        scorer: Scorer,
        expression: str,
        settings: Mapping[str, dict[str, Any]] | None = None,
        ranks: Literal["reference", "batch"] = "reference",
    ) -> None:
        self.scorer = scorer
        self.proxies, self.log = resolve(expression, settings or {})
        self.ranks = ranks
        self._reference: dict[str, tuple[list[float], int]] = {}

    @property
    def larger_is_better(self) -> bool:
        """The direction of a proxy's own number; a combination's is its score."""
        return len(self.proxies) > 1 or self.proxies[0].larger_is_better

    def __call__(self, archs: Sequence[Arch]) -> Iterator[Outcome]:
        """The outcomes in order, each as soon as it is known."""
        if len(self.proxies) > 1 and self.ranks == "batch":
            visits = list(self._visits(archs))
            columns = []
            for proxy in self.proxies:
                oriented = [_oriented(proxy, scores[proxy.name]) for scores, *_ in visits]
                columns.append(rankdata(oriented) / len(oriented))
            for (scores, cached, seconds), quantiles in zip(visits, zip(*columns, strict=True), strict=True):
                yield self._outcome(scores, cached, seconds, list(map(float, quantiles)))
            return
        if len(self.proxies) > 1:
            self._take_reference()
        for scores, cached, seconds in self._visits(archs):
            if len(self.proxies) == 1:
                yield self._outcome(scores, cached, seconds, None)
            else:
                yield self._outcome(scores, cached, seconds, [self._quantile(p, scores[p.name]) for p in self.proxies])

    def _visits(self, archs: Sequence[Arch]) -> Iterator[tuple[dict[str, Score], bool, float]]:
        """For each architecture its scores, whether it was scored before or stands earlier in ``archs``, and what it
        took."""
        forms = [self.scorer.space.canonical(arch) for arch in archs]
        before = [self.scorer.knows(arch, self.proxies) for arch in archs]
        met = set()
        for form, known, scores in zip(forms, before, self.scorer.stream(archs, self.proxies), strict=True):
            cached = known or form in met
            met.add(form)
            yield scores, cached, 0.0 if cached else sum(score.seconds for score in scores.values())

    def _outcome(
        self, scores: dict[str, Score], cached: bool, seconds: float, quantiles: list[float] | None
    ) -> Outcome:
        values = {name: score.value for name, score in scores.items()}
        failed = next(((name, score) for name, score in scores.items() if score.status != "ok"), None)
        if failed is not None:
            name, score = failed
            reason = score.reason if len(scores) == 1 else f"{name}: {score.reason}"
            return Outcome(-inf, values, score.status, reason, cached, seconds)
        if quantiles is None:
            total = _oriented(self.proxies[0], scores[self.proxies[0].name])
        else:
            total = sum(map(log, quantiles)) if self.log else sum(quantiles)
        return Outcome(total, values, "ok", "", cached, seconds)

    def _take_reference(self) -> None:
        if self._reference:
            return
        columns: dict[str, list[float]] = {proxy.name: [] for proxy in self.proxies}
        for scores in self.scorer(reference_sample(self.scorer), self.proxies):
            for proxy in self.proxies:
                columns[proxy.name].append(_oriented(proxy, scores[proxy.name]))
        self._reference = {
            name: (sorted(v for v in column if v > -inf), column.count(-inf)) for name, column in columns.items()
        }

    def _quantile(self, proxy: Proxy, score: Score) -> float:
        return quantile(_oriented(proxy, score), *self._reference[proxy.name])


def reference_sample(scorer: Scorer) -> list[Arch]:
    """The architectures that values are ranked among: random ones of the whole space, the same in every run."""
    rng = Random(0)
    return [scorer.space.sample(rng) for _ in range(REFERENCE)]


def resolve(expression: str, settings: Mapping[str, dict[str, Any]]) -> tuple[list[Proxy], bool]:
    """The proxies named by ``expression`` with their options, and whether their quantiles are summed as logarithms."""
    named = [PROXIES[name] for name in expression.split("+")]
    names = [part for proxy in named for part in proxy.parts or (proxy.name,)]
    proxies = [PROXIES[name].with_options(settings.get(name, {})) for name in dict.fromkeys(names)]
    return proxies, len(named) > 1 or named[0].log


def quantile(value: float, reference: Sequence[float], failed: int = 0) -> float:
    """Where ``value`` lies in the sorted ``reference`` below which ``failed`` further members lie, in (0, 1).

    Linear between the members, ties at their middle; beyond the ends it goes on as a hyperbola towards 0 or 1, so that
    it still tells apart what is better than the whole sample.
    """
    if value == -inf:
        return 0.5 / (failed + len(reference) + 1)
    points: dict[float, list[float]] = {}
    for rank, member in enumerate(reference, start=failed):
        points.setdefault(member, []).append((rank + 0.5) / (failed + len(reference)))
    levels = {member: sum(ranks) / len(ranks) for member, ranks in points.items()}
    members = list(levels)
    if not members:
        return 0.5
    lowest, highest = members[0], members[-1]
    scale = highest - lowest or max(abs(lowest), 1.0)
    if value <= lowest:
        return levels[lowest] / (1 + (lowest - value) / scale)
    if value >= highest:
        return 1 - (1 - levels[highest]) / (1 + (value - highest) / scale)
    above = bisect_left(members, value)
    low, high = members[above - 1], members[above]
    return levels[low] + (levels[high] - levels[low]) * (value - low) / (high - low)


def _oriented(proxy: Proxy, score: Score) -> float:
    """The value with larger as better; minus infinity for a failure."""
    if score.value is None or score.status != "ok":
        return -inf
    return score.value if proxy.larger_is_better else -score.value
