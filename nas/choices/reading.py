"""An architecture as a builder reads it: values by name, and modules for the choices that are open."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import add
from typing import Any, NamedTuple, final, overload
from zlib import crc32

import torch
from torch import Tensor, nn

from nas.choices.declaration import Group, Needs, Series, Value, written
from nas.choices.leaves import UNUSED, Leaves
from nas.errors import UsageError, unknown
from nas.space import Arch


class Reading:
    """What all `Choice` objects of one network share.

    Attributes:
        used: for each slot, whether it is used.
        met: how often modules have been made at each place; see `drawn_at`.
    """

    def __init__(self, leaves: Leaves, arch: Arch) -> None:
        self.leaves = leaves
        self.arch = arch
        self.used = leaves.used(arch)
        self.met: dict[str, int] = {}

    def numbers(self, series: Series) -> list[int]:
        """How many repetitions there may be; empty where the series is not used."""
        needs = series.needs.items()
        if not all(self.used[slot] and options & set(self.arch[slot]) for slot, options in needs):
            return []
        if series.counted_by is None:
            return [len(series.groups)]
        values = self.leaves.slots[series.counted_by].values
        return sorted(int(values[option]) for option in self.arch[series.counted_by] if self.used[series.counted_by])

    @contextmanager
    def drawn_at(self, place: str) -> Iterator[None]:
        """A context in which random numbers depend only on torch's current seed and on ``place``; the stream outside
        goes on as though nothing had been drawn. So the parts of a supernet that a cut leaves keep their weights."""
        generator, met = torch.default_generator, self.met
        before, seed = generator.get_state(), generator.initial_seed()
        self.met = {}
        generator.manual_seed(seed ^ crc32(place.encode()))
        try:
            yield
        finally:
            generator.set_state(before)
            self.met = met

    def new_place(self, place: str) -> str:
        """``place`` with a number that tells it from its earlier uses."""
        self.met[place] = self.met.get(place, 0) + 1
        return f"{place} {self.met[place]}"


@final
class Choice:
    """The choices of one repetition, and of what is around it, by name: ``choice.width``, ``choice.stage[2].kernel``.

    A choice that is open, as in a supernet, has no value: modules that depend on it are made by `mixed`, and layers
    whose number is open by `Repetitions.chain`.
    """

    def __init__(self, reading: Reading, group: Group) -> None:
        self._reading = reading
        self._group = group

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        member = self._group.members.get(name, self._group.scope.get(name))
        if member is None:
            raise unknown(f"choice{f' of {self._group.path}' if self._group.path else ''}", name, self._names())
        if isinstance(member, Series):
            if not (numbers := self._reading.numbers(member)):
                raise UsageError(f"{name} is not used in this network: {_condition(self._reading, member.needs)}")
            return Repetitions(self._reading, name, member.groups[: numbers[-1]], numbers)
        slot, options = self._reading.leaves.slots[member], self._reading.arch[member]
        if not self._reading.used[member]:
            raise UsageError(f"{slot.path} is not used in this network: {_condition(self._reading, slot.needs)}")
        if len(options) > 1:
            alive = "/".join(written(slot.values[option]) for option in options)
            raise UsageError(f"{slot.path} is open ({alive}): read it in choice.mixed(lambda {name}: …)")
        return slot.values[options[0]]

    def _names(self) -> set[str]:
        return {*self._group.members, *self._group.scope}

    def _value(self, name: str, chosen: Mapping[int, int]) -> Value | None:
        slot = self._group.scope[name]
        return None if chosen[slot] == UNUSED else self._reading.leaves.slots[slot].values[chosen[slot]]

    def mixed(self, make: Callable[..., nn.Module]) -> Mixed:
        """The module that ``make`` makes of the choices that its parameters name: ``choice.mixed(lambda kernel: …)``.

        Where some of them are open, it is called for each combination of living options, and the outputs, which must
        have one shape, are averaged: each open choice is the mean of its options. A choice that is unused in a
        combination is passed as None. Each module's weights are drawn from a stream of its own, so that they are the
        same in the supernet, after a cut, and in every network that shares the choices and the place.
        """
        names = list(inspect.signature(make).parameters)
        for name in names:
            if name not in self._group.scope:
                raise unknown("choice to mix", name, self._group.scope)
        reading = self._reading
        place = reading.new_place(f"{self._group.path}.{','.join(names)}")
        modules: dict[str, nn.Module] = {}
        shares = []
        for chosen, share in _combinations(reading, sorted({self._group.scope[name] for name in names})):
            values = {name: self._value(name, chosen) for name in names}
            key = (
                "_".join(f"{name}={written(value)}" for name, value in values.items() if value is not None) or "unused"
            )
            with reading.drawn_at(f"{place} {key}"):
                modules[key.replace(".", ",")] = make(**values)
            shares.append(share)
        return Mixed(modules, [share / sum(shares) for share in shares])


class Repetitions(Sequence[Choice]):
    """A network's repetitions of some choices."""

    def __init__(self, reading: Reading, name: str, groups: Sequence[Group], numbers: Sequence[int]) -> None:
        self._reading = reading
        self._name = name
        self._groups = groups
        self._numbers = numbers

    def __len__(self) -> int:
        if len(self._numbers) > 1:
            raise UsageError(
                f"how many {self._name} there are is open ({'/'.join(map(str, self._numbers))}): make them by "
                f"{self._name}.chain(lambda {self._name}, number: …)"
            )
        return self._numbers[0]

    @overload
    def __getitem__(self, number: int) -> Choice: ...

    @overload
    def __getitem__(self, number: slice) -> list[Choice]: ...

    def __getitem__(self, number: int | slice) -> Choice | list[Choice]:
        every = [Choice(self._reading, group) for group in self._groups][: len(self)]
        if isinstance(number, int) and not -len(every) <= number < len(every):
            raise IndexError(f"there are {len(every)} {self._name} in this network, and no number {number}")
        return every[number]

    def chain(self, make: Callable[[Choice, int], nn.Module]) -> nn.Sequential:
        """The modules that ``make`` makes of each repetition and its number, from 0, one after the other. Where the
        number of repetitions is open, the mean of the outputs after each possible number; these must have one shape."""
        modules = []
        for number, group in enumerate(self._groups):
            with self._reading.drawn_at(self._reading.new_place(group.path)):
                modules.append(make(Choice(self._reading, group), number))
        return nn.Sequential(*modules) if len(self._numbers) == 1 else Chain(modules, self._numbers)


class Mixed(nn.ModuleDict):
    """The weighted mean of the outputs of modules that see the same inputs."""

    def __init__(self, modules: Mapping[str, nn.Module], shares: Sequence[float]) -> None:
        super().__init__(modules)
        self.shares = list(shares)

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs: list[Tensor] = [module(*inputs) for module in self.values()]
        if len(outputs) == 1:
            return outputs[0]
        if len({output.shape for output in outputs}) > 1:
            shapes = ", ".join(f"{name} {list(output.shape)}" for name, output in zip(self, outputs, strict=True))
            raise ValueError(f"mixed modules have outputs of several shapes: {shapes}")
        return reduce(add, (share * output for share, output in zip(self.shares, outputs, strict=True)))


class Chain(nn.Sequential):
    """Layers one after the other, and the mean of the outputs after some of them."""

    def __init__(self, layers: Sequence[nn.Module], numbers: Sequence[int]) -> None:
        super().__init__(*layers)
        self.numbers = list(numbers)

    def forward(self, x: Tensor) -> Tensor:
        after = [x]
        for layer in self:
            after.append(layer(after[-1]))
        outputs = [after[number] for number in self.numbers]
        if len({output.shape for output in outputs}) > 1:
            shapes = ", ".join(f"{n}: {list(o.shape)}" for n, o in zip(self.numbers, outputs, strict=True))
            raise ValueError(f"a chain whose length is open has outputs of several shapes after its layers: {shapes}")
        return reduce(add, outputs) / len(outputs)


class Combination(NamedTuple):
    """Options by slot, and the product of what each open choice gives them."""

    chosen: dict[int, int]
    share: float


def _combinations(reading: Reading, slots: Sequence[int]) -> list[Combination]:
    """All combinations of living options in ``slots`` that no rule about these, or about choices already fixed,
    forbids."""
    fixed = {slot: options[0] for slot, options in enumerate(reading.arch) if len(options) == 1 and reading.used[slot]}
    ways = [Combination({}, 1.0)]
    for slot in slots:
        longer = []
        for chosen, share in ways:
            combined = {**fixed, **chosen}
            needs = reading.leaves.slots[slot].needs.items()
            if not reading.used[slot] or any(combined[s] not in allowed for s, allowed in needs if s in combined):
                longer.append(Combination({**chosen, slot: UNUSED}, share))
                continue
            options = reading.arch[slot]
            longer += [Combination({**chosen, slot: option}, share / len(options)) for option in options]
        ways = longer
    rules = [rule for rules in reading.leaves.rules for rule in rules if {*fixed, *slots}.issuperset(rule.slots)]
    return [way for way in ways if all(reading.leaves.holds(rule, {**fixed, **way.chosen}) for rule in rules)]


def _condition(reading: Reading, needs: Needs) -> str:
    """The condition under which something is used, in words."""
    slots = reading.leaves.slots
    parts = [
        f"{slots[slot].path} is {' or '.join(written(slots[slot].values[option]) for option in sorted(options))}"
        for slot, options in needs.items()
    ]
    return f"it is where {' and '.join(parts)}"
