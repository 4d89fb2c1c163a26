"""The objective of a search: one proxy, or several combined by rank."""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from math import inf, isinf, log, nextafter, ulp
from random import Random
from typing import Any, Literal, NamedTuple, final

import pandas as pd

from nas.errors import UsageError
from nas.proxy import Proxy, ProxyFn, as_proxy
from nas.scoring.measurer import Score
from nas.scoring.scorer import Scorer
from nas.space import Arch

REFERENCE_SIZE = 64
"""How many random architectures a value is ranked among, for a combination of proxies."""

REFERENCE = "the reference sample"
"""The stream that it is drawn from, which is none of a searcher's; and its name among versions."""
REFERENCE_VERSION = "2"
"""Of what is drawn from the stream: 1 was the stream of the seed 0, as searchers have."""

LOWEST, HIGHEST = ulp(0.0), nextafter(1.0, 0.0)
"""The quantiles next to 0 and 1, for values too far beyond the sample for a number to tell."""


class Outcome(NamedTuple):
    """The result of an objective for one architecture.

    Attributes:
        score: larger is better; minus infinity for a failure.
        values: each proxy's own number, None where it failed.
        cached: scored before in this run, as the same or an isomorphic architecture; as part of the reference sample
            does not count.
        vector: with several objectives, the score by each, all minus infinity for a failure; empty for a single one.
    """

    score: float
    values: dict[str, float | None]
    status: str
    reason: str
    cached: bool
    seconds: float
    vector: tuple[float, ...] = ()


Sense = Literal["best", "maximise", "minimise"]
"""Which numbers of a proxy are wanted: those that it declares better, large ones, or small ones."""


@final
class Objective:
    """One number for each architecture, larger is better.

    A single proxy is taken as it is (negated where smaller is better). Several are combined by rank: each value becomes
    its quantile in a fixed sample of 64 random architectures of the space, and the quantiles, or their logarithms, are
    summed; so a score does not depend on the other architectures. With ``ranks="batch"`` the quantiles are taken among
    the architectures of one call, for strategies that compare only these. Of a combination that is declared
    ``partial``, those parts are left out, with a warning, that can measure none of these architectures.

    Args:
        expression: a proxy, a registered combination, names joined with ``+`` (their log-quantiles are summed), or a
            function of a `Probe`.
        settings: options by proxy name.
        sense: whether to follow the proxy's own direction, or to make its number, or a combination's score, large or
            small.

    Raises:
        UsageError: an unknown name or option.
    """

    def __init__(
        self,
        scorer: Scorer,
        expression: str | Proxy | ProxyFn,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        ranks: Literal["reference", "batch"] = "reference",
        sense: Sense = "best",
    ) -> None:
        self.scorer = scorer
        self.proxies, self.log, self._dispensable = resolve(expression, settings or {})
        self._left_out: set[str] = set()
        self.ranks = ranks
        self.sense = sense
        self._reference: dict[str, tuple[list[float], int]] = {}
        self._met: set[Arch] = set()

    @property
    def larger_is_better(self) -> bool:
        """The direction of a proxy's own number; a combination's is its score."""
        return len(self.proxies) > 1 or self.proxies[0].larger_is_better

    @property
    def referenced(self) -> list[Proxy]:
        """The proxies whose values in the reference sample it needs."""
        return self.proxies if len(self.proxies) > 1 and self.ranks == "reference" else []

    @property
    def versions(self) -> dict[str, str]:
        """Those of what its scores depend on besides its proxies, by name."""
        return {REFERENCE: REFERENCE_VERSION} if self.referenced else {}

    def __call__(self, archs: Sequence[Arch]) -> Iterator[Outcome]:
        """The outcomes in order, each as soon as it is known."""
        if len(self.proxies) > 1 and self.ranks == "batch":
            visits = list(_visits(self.scorer, archs, self.proxies, self._met))
            self._leave_out([scores for scores, *_ in visits])
            columns = []
            for proxy in self._ranked:
                oriented = [_oriented(proxy, scores[proxy.name]) for scores, *_ in visits]
                columns.append(pd.Series(oriented, dtype=float).rank() / len(oriented))
            for (scores, cached, seconds), quantiles in zip(visits, zip(*columns, strict=True), strict=True):
                yield self._outcome(scores, cached, seconds, list(map(float, quantiles)))
            return
        if self.referenced:
            self._take_reference()
        for scores, cached, seconds in _visits(self.scorer, archs, self.proxies, self._met):
            if len(self.proxies) == 1:
                yield self._outcome(scores, cached, seconds, None)
            else:
                yield self._outcome(scores, cached, seconds, [self._quantile(p, scores[p.name]) for p in self._ranked])

    def _outcome(
        self, scores: dict[str, Score], cached: bool, seconds: float, quantiles: list[float] | None
    ) -> Outcome:
        values = {name: score.value for name, score in scores.items()}
        if (failure := self.failure(scores)) is not None:
            return Outcome(-inf, values, *failure, cached, seconds)
        (proxy, *_), sign = self.proxies, -1 if self.sense == "minimise" else 1
        if quantiles is not None:
            total = sign * (sum(map(log, quantiles)) if self.log else sum(quantiles))
        elif self.sense == "best":
            total = _oriented(proxy, scores[proxy.name])
        else:
            total = sign * (values[proxy.name] or 0.0)
        return Outcome(total, values, "ok", "", cached, seconds)

    def failure(self, scores: Mapping[str, Score]) -> tuple[str, str] | None:
        """Status and reason of the first of its proxies that failed; None where there is a score."""
        return _failure({proxy.name: scores[proxy.name] for proxy in self._ranked})

    @property
    def _ranked(self) -> list[Proxy]:
        return [proxy for proxy in self.proxies if proxy.name not in self._left_out]

    def _take_reference(self) -> None:
        if self._reference:
            return
        sample = self.scorer(reference_sample(self.scorer), self.proxies)
        self._leave_out(sample)
        for proxy in self.proxies:
            column = [_oriented(proxy, scores[proxy.name]) for scores in sample]
            self._reference[proxy.name] = sorted(v for v in column if v > -inf), column.count(-inf)

    def _leave_out(self, sample: Sequence[Mapping[str, Score]]) -> None:
        """Leaves out the parts that may be, and that measure none of the sample, as long as one remains."""
        unable = {
            name: sample[0][name].reason for name in self._dispensable if all(s[name].status != "ok" for s in sample)
        }
        self._left_out = set(unable) if len(unable) < len(self.proxies) else set()
        for name in sorted(self._left_out):
            warnings.warn(f"ranked without {name}, which measures none of {len(sample)} networks: {unable[name]}",
                          stacklevel=4)  # fmt: skip

    def _quantile(self, proxy: Proxy, score: Score) -> float:
        return quantile(_oriented(proxy, score), *self._reference[proxy.name])


@final
class Objectives:
    """Several objectives of one scorer, called as one: the score of an architecture is that of the first, its vector
    has all of them. A failure of one is a failure."""

    ranks: Literal["reference", "batch"] = "reference"

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = objectives
        self.scorer = objectives[0].scorer
        self.proxies = list({p.name: p for objective in objectives for p in objective.proxies}.values())
        self._met: set[Arch] = set()

    @property
    def referenced(self) -> list[Proxy]:
        """The proxies whose values in the reference sample they need."""
        return list({p.name: p for objective in self.objectives for p in objective.referenced}.values())

    def __call__(self, archs: Sequence[Arch]) -> Iterator[Outcome]:
        """The outcomes in order, each as soon as it is known."""
        visits = _visits(self.scorer, archs, self.proxies, self._met)
        for arch, (scores, cached, seconds) in zip(archs, visits, strict=True):
            values = {name: score.value for name, score in scores.items()}
            each = [next(objective([arch])).score for objective in self.objectives]
            failures = (objective.failure(scores) for objective in self.objectives)
            status, reason = next(filter(None, failures), ("ok", ""))
            vector = tuple(each) if status == "ok" else (-inf,) * len(self.objectives)
            yield Outcome(vector[0], values, status, reason, cached, seconds, vector)


def _visits(
    scorer: Scorer, archs: Sequence[Arch], proxies: Sequence[Proxy], met: set[Arch]
) -> Iterator[tuple[dict[str, Score], bool, float]]:
    """For each architecture its scores, whether it is among those ``met``, to which it is added, in canonical form; and
    the seconds that it took."""
    for arch, scores in zip(archs, scorer.stream(archs, proxies), strict=True):
        form = scorer.space.canonical(arch)
        cached = form in met
        met.add(form)
        yield scores, cached, 0.0 if cached else sum(score.seconds for score in scores.values())


def _failure(scores: Mapping[str, Score]) -> tuple[str, str] | None:
    """Status and reason of the first proxy that failed; with several proxies the reason names it."""
    for name, score in scores.items():
        if score.status != "ok":
            return score.status, score.reason if len(scores) == 1 else f"{name}: {score.reason}"
    return None


def reference_sample(scorer: Scorer) -> list[Arch]:
    """The architectures among which values are ranked: random ones of the whole space, the same in every run, from a
    stream that no searcher draws from."""
    rng = Random(REFERENCE)
    return [scorer.space.sample(rng) for _ in range(REFERENCE_SIZE)]


def resolve(
    expression: str | Proxy | ProxyFn, settings: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Proxy], bool, frozenset[str]]:
    """The proxies named by ``expression`` with their options, whether their quantiles are summed as logarithms, and the
    names of those that may be left out.

    Raises:
        UsageError: an unknown name or option, or names that are joined with commas.
    """
    if isinstance(expression, str) and "," in expression:
        joined = "+".join(part.strip() for part in expression.split(","))
        raise UsageError(
            f"{expression!r} lists several proxies, where one objective is wanted: {joined} combines them by rank"
        )
    named = list(map(as_proxy, expression.split("+") if isinstance(expression, str) else [expression]))
    parts = [part for proxy in named for part in (map(as_proxy, proxy.parts) if proxy.parts else [proxy])]
    proxies = {part.name: part.with_options(dict(settings.get(part.name, {}))) for part in parts}
    dispensable = frozenset(part for proxy in named if proxy.partial for part in proxy.parts)
    return list(proxies.values()), len(named) > 1 or named[0].log, dispensable


def quantile(value: float, reference: Sequence[float], failed: int = 0) -> float:
    """The quantile of ``value``, in (0, 1), in the sorted ``reference`` with ``failed`` further members below it.

    Linear between the members, ties at their middle; beyond the ends it continues as a hyperbola towards 0 or 1, so
    that values better than the whole sample still differ.
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
    span = (highest, lowest) if highest > lowest else (max(abs(lowest), 1.0), 0.0)
    if value <= lowest:
        return max(levels[lowest] / (1 + _ratio(lowest, value, *span)), LOWEST)
    if value >= highest:
        return min(1 - (1 - levels[highest]) / (1 + _ratio(value, highest, *span)), HIGHEST)
    above = bisect_left(members, value)
    low, high = members[above - 1], members[above]
    part = (levels[high] - levels[low]) * _ratio(value, low, high, low)
    return min(levels[low] + part, levels[high])


def _ratio(above: float, below: float, high: float, low: float) -> float:
    """(above - below) / (high - low), even where a difference is beyond the largest number."""
    if isinf(above - below) or isinf(high - low):
        above, below, high, low = above / 2, below / 2, high / 2, low / 2
    return (above - below) / (high - low)


def _oriented(proxy: Proxy, score: Score) -> float:
    """The value with its sign such that larger is better; minus infinity for a failure."""
    if score.value is None or score.status != "ok":
        return -inf
    return score.value if proxy.larger_is_better else -score.value
