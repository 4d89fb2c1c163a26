"""The space of declared choices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import final

import networkx as nx
from torch import nn

from nas.choices import notation
from nas.choices.declaration import Group, Layout, Repeated, written
from nas.choices.leaves import Leaves
from nas.choices.reading import Choice, Reading
from nas.errors import UsageError
from nas.graph import chain
from nas.space import Arch, Space, Task

Build = Callable[[Choice, Task], nn.Module]
"""(the choices of one network, task) -> the network, freshly initialised."""


@final
class ChoiceSpace(Space):
    """All networks that some choices make.

    A slot for each choice of each repetition, in the order of declaration. The slot of a choice that a network does not
    use holds its first option, so that each network is one leaf; `sample` is uniform among all leaves that keep the
    rules. The notation names what is used: ``width=0.5 stage(depth=1 layer(kernel=3))(depth=2 …)``.

    Args:
        declared: by `nas.choices.choices`.
        build: makes the network; it reads the choices by name. See `nas.choices.Choice`.
        supernet: whether ``build`` reads all choices that may be open by ``mixed`` and ``chain``, so that it makes
            supernets too; searchers that prune need that.
        thin: makes a copy of width 1 without a stem, for proxies that measure such a copy.
    """

    supernet_takes = "supernet=True, and a builder that reads open choices by `mixed` and `chain`"

    def __init__(self, declared: Repeated, build: Build, *, supernet: bool = False, thin: Build | None = None) -> None:
        layout = Layout(declared)
        self.declared, self.supernet = declared, supernet
        self._build, self._thin, self._root = build, thin, layout.root
        self._leaves = Leaves(layout)
        self.slots = tuple(tuple(map(written, slot.values)) for slot in layout.slots)
        self._size = self._leaves.count(self._leaves.full)
        if not self._size:
            raise UsageError("the rules leave no network in the space")

    def choice(self, arch: Arch) -> Choice:
        """The choices of ``arch`` by name, as the builder reads them."""
        return Choice(Reading(self._leaves, arch), self._root)

    def build(self, arch: Arch, task: Task) -> nn.Module:
        return self._build(self.choice(arch), task)

    def valid(self, arch: Arch) -> bool:
        return self._leaves.count(arch) > 0

    def canonical(self, arch: Arch) -> Arch:
        return self.settled(arch)

    def settled(self, arch: Arch) -> Arch:
        used = self._leaves.used(arch)
        return tuple(options if there else (0,) for options, there in zip(arch, used, strict=True))

    def size(self) -> int:
        return self._size

    def random_leaf(self, rng: Random) -> Arch:
        return self._leaves.draw(rng)

    def thin(self) -> Space | None:
        if self._thin is None:
            return None
        return ChoiceSpace(self.declared, self._thin, supernet=self.supernet)

    def text(self, arch: Arch) -> str:
        return notation.text(Reading(self._leaves, arch), self._root)

    def parse(self, text: str) -> Arch:
        slots = self._leaves.slots
        options, numbers = notation.Parser(slots, self._root)(text)
        arch = tuple(options.get(slot.path, (0,)) for slot in slots)
        reading = Reading(self._leaves, arch)
        for slot, used in zip(slots, reading.used, strict=True):
            if used and slot.path not in options:
                raise UsageError(f"{text[:200]!r} does not say {slot.path}: {'/'.join(map(written, slot.values))}")
            if not used and slot.path in options:
                raise UsageError(f"{text[:200]!r} says {slot.path}, which the network does not use")
        self._check_numbers(text, reading, self._root, numbers)
        if not self.valid(arch):
            raise UsageError(f"{text[:200]!r} breaks a rule of the space: {self._broken(arch)}")
        return arch

    def _check_numbers(self, text: str, reading: Reading, group: Group, numbers: Mapping[str, int]) -> None:
        """`UsageError` unless groups that say nothing, as ``layer()()``, are as many as there should be."""
        for name, member in group.members.items():
            if isinstance(member, int):
                continue
            place = f"{group.path}.{name}" if group.path else name
            expected = max(reading.numbers(member), default=0)
            if numbers.get(place, 0) != expected:
                raise UsageError(f"{text[:200]!r} has {numbers.get(place, 0)} of {place} instead of {expected}")
            for part in member.groups[:expected]:
                self._check_numbers(text, reading, part, numbers)

    def _broken(self, arch: Arch) -> str:
        """The choices that a rule does not allow together."""
        used = self._leaves.used(arch)
        fixed = {slot: options[0] for slot, options in enumerate(arch) if len(options) == 1 and used[slot]}
        slots = self._leaves.slots
        for rule in (rule for rules in self._leaves.rules for rule in rules):
            if fixed.keys() >= set(rule.slots) and not self._leaves.holds(rule, fixed):
                values = [f"{slots[slot].path}={written(slots[slot].values[fixed[slot]])}" for slot in rule.slots]
                return f"{' with '.join(values)} is not allowed"
        return "no choice among what is open keeps them all"

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        """A chain of boxes: what is chosen once, then each outermost repetition with all that is chosen in it."""
        reading = Reading(self._leaves, arch)
        once = _chosen(reading, self._root)
        boxes = [", ".join(once)] if once else []
        for name, member in self._root.members.items():
            if not isinstance(member, int):
                for number, part in enumerate(member.groups[: max(reading.numbers(member), default=0)], start=1):
                    boxes.append("; ".join([f"{name} {number}", *_lines(reading, part)]))
        return chain(boxes)


def _chosen(reading: Reading, group: Group) -> list[str]:
    """The group's own choices in words."""
    members = [(name, slot) for name, slot in group.members.items() if isinstance(slot, int) and reading.used[slot]]
    return [f"{name} {notation.options(reading, slot)}" for name, slot in members]


def _lines(reading: Reading, group: Group) -> Iterator[str]:
    """The group's own choices, then those of each repetition in it."""
    if own := _chosen(reading, group):
        yield ", ".join(own)
    for name, member in group.members.items():
        if not isinstance(member, int):
            for number, part in enumerate(member.groups[: max(reading.numbers(member), default=0)], start=1):
                yield from (f"{name} {number}: {line}" for line in _lines(reading, part))
