"""Limits on what an architecture may cost: a space in which only those that keep them are valid."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod
from random import Random
from typing import NamedTuple, final

from nas.errors import UsageError, unknown
from nas.probe import Probe
from nas.proxy import PROXIES, Proxy
from nas.scoring.measurer import count
from nas.space import Arch, Space, SpaceWrapper, Task, is_leaf

EXHAUSTIVE = 256
RESTARTS = 3
COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


class Limit(NamedTuple):
    """A bound on a proxy that depends on the architecture alone."""

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


def parse_limit(text: str) -> Limit:
    """``params<=0.6e6`` as a limit. Raises `UsageError` for another form, or a proxy that needs weights or images."""
    match = re.fullmatch(r"\s*([\w-]+)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*", text)
    try:
        name, comparison, bound = match.groups() if match else ("", "", "")
        number = float(bound)
    except ValueError:
        raise UsageError(f"constraint {text!r} is not of the form 'params<=0.6e6' (with <=, >=, < or >)") from None
    static = [name for name in PROXIES if PROXIES[name].static]
    if name not in PROXIES or not PROXIES[name].static:
        raise unknown("quantity in a constraint", name, static)
    return Limit(PROXIES[name], comparison, number)


def quantities(space: Space, arch: Arch, limits: Sequence[Limit], task: Task) -> dict[str, float]:
    """What is limited, and ``params``, of the network of ``arch``, by name; counted without weights where that can be.

    Raises:
        UsageError: the network does not run on images of ``task``.
    """

    def look(probe: Probe) -> dict[str, float]:
        return {limit.proxy.name: float(limit.proxy(probe)) for limit in limits} | {"params": float(probe.params)}

    return count(space, arch, task, look)


def keeps(space: Space, limits: Sequence[Limit], task: Task) -> Callable[[Arch], bool]:
    """Whether an architecture keeps all ``limits``; one whose network does not run keeps none."""

    def keep(arch: Arch) -> bool:
        try:
            values = quantities(space, space.canonical(arch), limits, task)
        except UsageError:
            return False
        return all(limit.excess(values[limit.proxy.name]) == 0 for limit in limits)

    return keep


@final
class Limited(SpaceWrapper):
    """``space`` with only those architectures valid that keep all ``limits``.

    An open architecture is valid when a leaf below it keeps them. Up to 256 leaves are all looked at. Among more, the
    slots are changed one at a time, each to the option that lowers the excess most (among equals, the one with the
    fewest parameters), from the nearest leaf known, the first options, the last ones and three random leaves: exact for
    an upper bound on a cost that is a sum over the slots, as parameters and multiply-accumulates are, and a search
    otherwise. Costs are counted without weights.

    Raises:
        UsageError: no architecture within the limits was found; the message names what came nearest.
    """

    def __init__(self, space: Space, limits: Sequence[Limit], task: Task) -> None:
        super().__init__(space)
        self.limits = tuple(limits)
        self.task = task
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
        return quantities(self.space, arch, [limit], self.task)[limit.proxy.name]

    def _cost(self, arch: Arch) -> tuple[float, float]:
        """(excess over all limits, parameters) of a leaf."""
        if not self.space.valid(arch):
            return float("inf"), 0.0
        arch = self.canonical(arch)
        if arch not in self._costs:
            values = quantities(self.space, arch, self.limits, self.task)
            excess = sum(limit.excess(values[limit.proxy.name]) for limit in self.limits)
            self._costs[arch] = excess, values["params"]
        return self._costs[arch]

    def _nearest(self, arch: Arch) -> Arch:
        """The leaf below ``arch`` with the least excess that the search reaches; the first one without any."""
        if prod(map(len, arch)) <= EXHAUSTIVE:
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
                known if known[0] in options else options[:1] for known, options in zip(self._known, arch, strict=True)
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
