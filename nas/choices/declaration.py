"""Declared choices: options by name, repeated and conditional, laid out as the slots of a space."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isfinite

from nas.errors import UsageError, unknown

Value = bool | int | float | str
Rule = Callable[..., bool]
Needs = Mapping[int, frozenset[int]]
"""What something depends on: slots, and the options of each with which it is present."""

RESERVED = ("mixed", "chain")
"""Names that a `nas.choices.Choice` has for its own methods."""
MAX_SLOTS = 10_000
"""Choices of one space, repetitions counted."""
PLAIN_TEXT = re.compile(r"[^\s()=/,]+")
"""How an option is written."""


@dataclass(frozen=True)
class Options:
    """One choice.

    Attributes:
        values: the options, of which a network has one; the first stands in the slot of a choice that is not used.
        uses: the choices on which it depends, and their values with which it is used.
    """

    values: tuple[Value, ...]
    uses: tuple[tuple[str, tuple[Value, ...]], ...] = ()

    def when(self, **chosen: Value | tuple[Value, ...]) -> Options:
        """The same choice, used only where each choice that is named has this value, or one of these values."""
        return replace(self, uses=self.uses + _uses(chosen))


@dataclass(frozen=True)
class Repeated:
    """Choices that are made several times.

    Attributes:
        times: how often, or the name of the choice that says so.
        members: the choices by name.
        rules: functions of choices by their names, which all have to hold.
        uses: as those of `Options`.
    """

    times: int | str
    members: Mapping[str, Options | Repeated]
    rules: tuple[Rule, ...] = ()
    uses: tuple[tuple[str, tuple[Value, ...]], ...] = ()

    def when(self, **chosen: Value | tuple[Value, ...]) -> Repeated:
        """The same choices, used only where each choice that is named has this value, or one of these values."""
        return replace(self, uses=self.uses + _uses(chosen))


def _uses(chosen: Mapping[str, Value | tuple[Value, ...]]) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    return tuple((name, values if isinstance(values, tuple) else (values,)) for name, values in chosen.items())


def one_of(*values: Value) -> Options:
    """A choice of one of these: numbers, booleans, or texts without blanks and without any of ``()=/,``."""
    for value in values:
        if not isinstance(value, Value) or (isinstance(value, float) and not isfinite(value)):
            raise UsageError(f"options are numbers, texts, True or False, not {value!r}")
        if not PLAIN_TEXT.fullmatch(written(value)):
            raise UsageError(f"an option is written without blanks and without any of ()=/, not as {value!r}")
    texts = [written(value) for value in values]
    if not values or len(set(values)) < len(values) or len(set(texts)) < len(texts):
        raise UsageError(f"the options of a choice are distinct, and at least one, not {values}")
    return Options(values)


def integers(least: int, most: int, step: int = 1) -> Options:
    """A choice of the whole numbers from ``least`` to ``most``, ``step`` apart."""
    if any(type(number) is not int for number in (least, most, step)) or step < 1 or most < least:
        raise UsageError(f"integers go from a whole number up to another in steps from 1, not {least}, {most}, {step}")
    return one_of(*range(least, most + 1, step))


def floats(least: float, most: float, step: float) -> Options:
    """A choice of the numbers from ``least`` to ``most``, ``step`` apart, in decimal arithmetic: ``floats(0.1, 0.3,
    0.1)`` includes 0.3."""
    if any(isinstance(n, bool) or not isinstance(n, int | float) or not isfinite(n) for n in (least, most, step)):
        raise UsageError(f"floats go from a number up to another in steps, not {least!r}, {most!r}, {step!r}")
    first, last, gap = (Fraction(str(number)) for number in (least, most, step))
    if gap <= 0 or last < first or (last - first) / gap > MAX_SLOTS:
        raise UsageError(f"floats go up in at most {MAX_SLOTS} steps larger than 0, not {least}, {most}, {step}")
    return one_of(*(float(first + number * gap) for number in range(int((last - first) / gap) + 1)))


def repeated(times: int | str, /, *rules: Rule, **members: Options | Repeated) -> Repeated:
    """``members`` chosen ``times`` times, each time anew; ``times`` may be the name of a choice of whole numbers that
    is declared before. ``rules`` hold in each of these; see `choices`."""
    if (type(times) is not int or times < 1) and not isinstance(times, str):
        raise UsageError(f"choices are repeated a whole number of times from 1, or as a choice says, not {times!r}")
    for name, member in members.items():
        if not name.isidentifier() or name.startswith("_") or name in RESERVED:
            raise UsageError(f"a choice is called by an identifier without _ in front, and not {name!r}")
        if not isinstance(member, Options | Repeated):
            raise UsageError(f"{name} is declared by one_of, integers, floats or repeated, not as {member!r}")
    if not members:
        raise UsageError("repeated choices are at least one choice")
    if wrong := [rule for rule in rules if not callable(rule)]:
        raise UsageError(f"a rule is a function of choices, like lambda width, heads: …, not {wrong[0]!r}")
    return Repeated(times, members, rules)


def choices(*rules: Rule, **members: Options | Repeated) -> Repeated:
    """All choices of a space, by name.

    Args:
        rules: functions whose parameters are names of choices, declared here or around: a network is valid if they
            return true. A rule about a choice that is not used does not apply.
        members: the choices in their order. One that depends on another one (by `when` or as the times of `repeated`)
            comes after it.
    """
    return repeated(1, *rules, **members)


@dataclass(frozen=True)
class Slot:
    """One choice of one repetition.

    Attributes:
        path: ``stage[2].kernel``.
        needs: earlier slots, and their options with which this one is used.
    """

    path: str
    values: tuple[Value, ...]
    needs: Needs


@dataclass(frozen=True)
class Ruling:
    """A rule of one repetition, and the slots whose values it takes."""

    slots: tuple[int, ...]
    holds: Rule


@dataclass(frozen=True)
class Series:
    """All repetitions of some choices.

    Attributes:
        groups: as many as there can be.
        counted_by: the slot that says how many there are; None where there are always all.
        needs: when the series is present at all; as those of a `Slot`.
    """

    groups: tuple[Group, ...]
    counted_by: int | None
    needs: Needs


@dataclass(frozen=True)
class Group:
    """One repetition.

    Attributes:
        path: ``stage[2]``; empty for the space itself.
        members: slots by name, and series of further repetitions.
        scope: the slots that can be named here: its own, and those of the groups around it.
    """

    path: str
    members: Mapping[str, int | Series]
    scope: Mapping[str, int]


class Layout:
    """The slots of a declaration, one after the other, with what each needs.

    Raises:
        UsageError: the declaration names a choice that is not declared before it.
    """

    def __init__(self, declared: Repeated) -> None:
        self.slots: list[Slot] = []
        self.rules: list[Ruling] = []
        if not isinstance(declared, Repeated) or declared.times != 1 or declared.uses:
            raise UsageError(f"a space is declared by choices(…), not by {declared!r}")
        self.root = self._group(declared, "", {}, {})

    def _group(self, declared: Repeated, path: str, needs: Needs, around: Mapping[str, int]) -> Group:
        scope = dict(around)
        members: dict[str, int | Series] = {}
        for name, member in declared.members.items():
            place = f"{path}.{name}" if path else name
            conditions = _both(needs, self._conditions(place, member.uses, scope))
            if isinstance(member, Options):
                if len(self.slots) == MAX_SLOTS:
                    raise UsageError(f"a space has at most {MAX_SLOTS} choices, repetitions counted")
                scope[name] = members[name] = len(self.slots)
                self.slots.append(Slot(place, member.values, conditions))
            else:
                times = self._times(place, member.times, scope)
                groups = tuple(
                    self._group(member, f"{place}[{number}]", _both(conditions, further), scope)
                    for number, further in enumerate(times)
                )
                counted_by = None if isinstance(member.times, int) else scope[member.times]
                members[name] = Series(groups, counted_by, conditions)
        for rule in declared.rules:
            names = list(inspect.signature(rule).parameters)
            if not names:
                raise UsageError("the parameters of a rule name the choices that it is about, and this one has none")
            for name in names:
                if name not in scope:
                    raise unknown(f"choice of a rule{f' of {path}' if path else ''}", name, scope)
            self.rules.append(Ruling(tuple(scope[name] for name in names), rule))
        return Group(path, members, scope)

    def _times(self, place: str, times: int | str, scope: Mapping[str, int]) -> list[Needs]:
        """The needs of each repetition."""
        if isinstance(times, int):
            return [{}] * times
        if times not in scope:
            raise unknown(f"choice before {place}", times, scope)
        values = self.slots[scope[times]].values
        if wrong := [value for value in values if type(value) is not int or value < 0]:
            raise UsageError(
                f"{place} is repeated {times} times, which is a choice of whole numbers, not of {wrong[0]!r}"
            )
        numbers, needs = [int(value) for value in values], self.slots[scope[times]].needs
        return [
            _both(needs, {scope[times]: frozenset(option for option, value in enumerate(numbers) if value > number)})
            for number in range(max(numbers))
        ]

    def _conditions(self, place: str, uses: Iterable[tuple[str, tuple[Value, ...]]], scope: Mapping[str, int]) -> Needs:
        needs: Needs = {}
        for name, values in uses:
            if name not in scope:
                raise unknown(f"choice before {place}", name, scope)
            names = [written(value) for value in self.slots[scope[name]].values]
            for value in values:
                if written(value) not in names:
                    raise unknown(f"option of {name}, on which {place} depends,", written(value), names)
            options = frozenset(names.index(written(value)) for value in values)
            needs = _both(needs, _both(self.slots[scope[name]].needs, {scope[name]: options}))
        return needs


def _both(first: Needs, second: Needs) -> Needs:
    joined = dict(first)
    for slot, options in second.items():
        joined[slot] = joined.get(slot, options) & options
    return joined


def written(value: Value) -> str:
    """A value in the notation: ``3``, ``0.25``, ``True``, ``gelu``."""
    return str(value)
