"""Limits on the cost of architectures: a space in which only those within the limits are valid."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from random import Random
from typing import NamedTuple, final

from nas.errors import UsageError, unknown
from nas.probe import Probe
from nas.proxy import PROXIES, Proxy
from nas.registry import normal
from nas.scoring.measurer import count
from nas.scoring.scorer import Scorer
from nas.space import Arch, Space, SpaceWrapper, Task, is_leaf

MAX_EXHAUSTIVE_LEAVES = 256
RESTARTS = 3
COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


class Unmeasured(UsageError):
    """A limited quantity of an architecture has no value, so it is unknown whether it keeps the limit."""


class Limit(NamedTuple):
    """A bound on a proxy that is `nas.proxy.Proxy.limitable`."""

    proxy: Proxy
    comparison: str
    bound: float

    def __str__(self) -> str:
        return f"{self.proxy.name}{self.comparison}{self.bound:g}"

    def excess(self, value: float) -> float:
        """How far ``value`` is beyond the bound, relative to the bound; 0 where it keeps it."""
        if COMPARISONS[self.comparison](value, self.bound):
            return 0.0
        return max(abs(value - self.bound) / max(abs(self.bound), 1.0), 1e-12)


def parse_limit(text: str, further: Mapping[str, Proxy] | None = None) -> Limit:
    """``params<=0.6e6`` as a limit on one of the registered proxies or of ``further`` ones. Raises `UsageError` for
    another form, or a proxy that depends on weights or images."""
    match = re.fullmatch(r"\s*([\w-]+)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*", text)
    try:
        name, comparison, bound = match.groups() if match else ("", "", "")
        number = float(bound)
    except ValueError:
        raise UsageError(f"constraint {text!r} is not of the form 'params<=0.6e6' (with <=, >=, < or >)") from None
    quantities = {record.name: record for record in map(PROXIES.__getitem__, PROXIES) if record.limitable}
    quantities |= further or {}
    place = name if name in quantities else normal(name)
    if place not in quantities:
        raise unknown("quantity in a constraint", name, quantities)
    return Limit(quantities[place], comparison, number)


def quantities(
    space: Space, arch: Arch, limits: Sequence[Limit], task: Task, scorer: Scorer | None = None
) -> dict[str, float]:
    """The limited quantities and ``params`` of the network of ``arch``, by name; counted without weights if possible.

    Args:
        scorer: measures, or looks up, what cannot be counted.

    Raises:
        Unmeasured: a limited quantity has no value.
        UsageError: the network does not run on images of ``task``.
    """
    counted = [limit for limit in limits if limit.proxy.static]
    measured = [limit for limit in limits if not limit.proxy.static]

    def look(probe: Probe) -> dict[str, float]:
        return {limit.proxy.name: float(limit.proxy(probe)) for limit in counted} | {"params": float(probe.params)}

    values = count(space, arch, task, look)
    if not measured:
        return values
    if scorer is None:
        raise Unmeasured(f"the constraint {measured[0]} takes something that is not measured here")
    (scores,) = scorer([arch], list({limit.proxy.name: limit.proxy for limit in measured}.values()))
    for limit in measured:
        score = scores[limit.proxy.name]
        if score.value is None:
            raise Unmeasured(f"nobody knows whether {space.text(arch)} keeps {limit}: {score.reason}")
        values[limit.proxy.name] = score.value
    return values


def keeps(space: Space, limits: Sequence[Limit], task: Task, scorer: Scorer | None = None) -> Callable[[Arch], bool]:
    """A function that says whether an architecture keeps all ``limits``; one whose network does not run keeps none. It
    raises `Unmeasured` where that is unknown."""

    def keep(arch: Arch) -> bool:
        try:
            values = quantities(space, space.canonical(arch), limits, task, scorer)
        except Unmeasured:
            raise
        except UsageError:
            return False
        return all(limit.excess(values[limit.proxy.name]) == 0 for limit in limits)

    return keep


@final
class Limited(SpaceWrapper):
    """``space`` with only those architectures valid that keep all ``limits``.

    An open architecture is valid when a leaf below it keeps them. Up to 256 leaves are all checked. Among more, the
    slots are changed one at a time, each to the option that lowers the excess most (among equals, the one with the
    fewest parameters), from the nearest leaf known, the first options, the last ones and three random leaves: exact for
    an upper bound on a cost that is a sum over the slots, as parameters and multiply-accumulates are, and a search
    otherwise. Costs are counted without weights, or, where that is impossible, as for a latency, measured by
    ``scorer``.

    Raises:
        Unmeasured: a limited quantity has no value.
        UsageError: no architecture within the limits was found; the message names the nearest one.
    """

    def __init__(self, space: Space, limits: Sequence[Limit], task: Task, scorer: Scorer | None = None) -> None:
        super().__init__(space)
        self.limits = tuple(limits)
        self.task = task
        self._scorer = scorer
        self._costs: dict[Arch, tuple[float, float]] = {}
        self._known: Arch | None = None
        nearest = self._known = self._nearest(self.full())
        if self._cost(nearest)[0] > 0:
            values = ", ".join(f"{limit.proxy.name} {self._quantity(nearest, limit):g}" for limit in limits)
            raise UsageError(
                f"no architecture of the space was found that satisfies {' and '.join(map(str, limits))}: the nearest, "
                f"{self.text(nearest)}, has {values}"
            )

    def valid(self, arch: Arch) -> bool:
        if not self.space.valid(arch):
            return False
        return self._cost(arch if is_leaf(arch) else self._nearest(arch))[0] == 0

    def random_leaf(self, rng: Random) -> Arch:
        return self.space.sample(rng)

    def size(self) -> int:
        return sum(1 for _ in self)

    def _quantity(self, arch: Arch, limit: Limit) -> float:
        return quantities(self.space, arch, [limit], self.task, self._scorer)[limit.proxy.name]

    def _cost(self, arch: Arch) -> tuple[float, float]:
        """(excess over all limits, parameters) of a leaf."""
        if not self.space.valid(arch):
            return float("inf"), 0.0
        arch = self.canonical(arch)
        if arch not in self._costs:
            values = quantities(self.space, arch, self.limits, self.task, self._scorer)
            excess = sum(limit.excess(values[limit.proxy.name]) for limit in self.limits)
            self._costs[arch] = excess, values["params"]
        return self._costs[arch]

    def _nearest(self, arch: Arch) -> Arch:
        """The leaf below ``arch`` with the least excess that the search reaches; the first one without any excess."""
        if prod(map(len, arch)) <= MAX_EXHAUSTIVE_LEAVES:
            leaves: Iterator[Arch] = (tuple((option,) for option in leaf) for leaf in product(*arch))
        else:
            leaves = (self._descend(arch, start) for start in self._starts(arch))
        nearest = next(leaves)
        for leaf in leaves:
            if self._cost(nearest)[0] == 0:
                break
            nearest = min(nearest, leaf, key=self._cost)
        return nearest

    def _starts(self, arch: Arch) -> Iterator[Arch]:
        """Leaves below ``arch`` to begin at, valid ones where the space has rules of its own."""
        rng = Random(0)
        if self._known is not None:
            yield tuple(
                own if own[0] in options else options[:1] for own, options in zip(self._known, arch, strict=True)
            )
        for end in (0, -1):
            yield tuple((options[end],) for options in arch)
        for _ in range(RESTARTS):
            leaf = arch
            for slot in rng.sample(range(len(arch)), len(arch)):
                below = [
                    leaf[:slot] + ((option,),) + leaf[slot + 1 :] for option in rng.sample(arch[slot], len(arch[slot]))
                ]
                leaf = next(filter(self.space.valid, below), below[0])
            yield leaf

    def _descend(self, arch: Arch, best: Arch) -> Arch:
        while self._cost(best)[0] > 0:
            before = best
            for slot, options in enumerate(arch):
                steps = [best[:slot] + ((option,),) + best[slot + 1 :] for option in options]
                best = min(steps, key=lambda step: (self._cost(step), step != before))
            if best == before:
                break
        return best
