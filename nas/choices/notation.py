"""The notation of declared choices: ``width=0.5 stage(depth=2 layer(kernel=3)(kernel=5))(depth=1 layer(kernel=7))``.

What a network does not use is not written; options that are alive together are joined with ``/``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from nas.choices.declaration import Group, Series, Slot, written
from nas.choices.reading import Reading
from nas.errors import UsageError, unknown
from nas.space import choice

MAX_TEXT_CHARACTERS = 1_000_000
"""Characters of one architecture."""
MAX_DEPTH = 50
"""Brackets within brackets."""
TOKEN = re.compile(
    r"\s*(?:(?P<name>[^\W\d]\w*)=(?P<value>[^\s()=]+)(?=[\s()]|$)|(?P<series>[^\W\d]\w*)(?=\()|(?P<sign>[()]))"
)

NamedOptions = dict[str, tuple[int, ...]]
"""By the path of a slot, the options that a text names."""


def text(reading: Reading, group: Group) -> str:
    """The choices of ``group`` in ``reading``, in the order of their declaration."""
    return " ".join(_parts(reading, group))


def _parts(reading: Reading, group: Group) -> Iterator[str]:
    for name, member in group.members.items():
        if isinstance(member, int):
            if reading.used[member]:
                yield f"{name}={options(reading, member)}"
        elif numbers := reading.numbers(member):
            parts = "".join(f"({text(reading, part)})" for part in member.groups[: numbers[-1]])
            if parts:
                yield f"{name}{parts}"


def options(reading: Reading, slot: int) -> str:
    """The options alive in a slot: ``3/5``."""
    values = reading.leaves.slots[slot].values
    return "/".join(written(values[option]) for option in reading.arch[slot])


class Parser:
    """Reads the notation of one declaration; `UsageError` says what is wrong with a text."""

    def __init__(self, slots: list[Slot], root: Group) -> None:
        self.slots = slots
        self.root = root

    def __call__(self, text: str) -> tuple[NamedOptions, Mapping[str, int]]:
        """The options by the paths of slots, and the numbers of written repetitions by the paths of series."""
        if len(text) > MAX_TEXT_CHARACTERS:
            raise UsageError(f"{text[:100]!r}… has {len(text)} characters, more than any architecture")
        self._text, self._at, self._given = text, 0, NamedOptions()
        self._written: dict[str, int] = {}
        self._members(self.root, 0)
        if self._text[self._at :].strip():
            raise self._wrong("goes on after its end")
        return self._given, self._written

    def _members(self, group: Group, depth: int) -> None:
        while (token := TOKEN.match(self._text, self._at)) and token["sign"] != ")":
            if token["sign"]:
                raise self._wrong("has a bracket without a name in front")
            name = token["name"] or token["series"]
            if name not in group.members:
                raise unknown(f"choice{f' of {group.path}' if group.path else ''}", name, group.members)
            place, member = f"{group.path}.{name}" if group.path else name, group.members[name]
            if place in self._given or place in self._written:
                raise self._wrong(f"names {place} twice")
            if isinstance(member, int) != bool(token["name"]):
                raise self._wrong(f"takes {place} for {'one choice' if token['name'] else 'several choices'}")
            self._at = token.end()
            if isinstance(member, int):
                names = token["value"].split("/")
                if len(set(names)) < len(names):
                    raise self._wrong(f"names an option of {place} twice")
                self._given[place] = choice(names, tuple(map(written, self.slots[member].values)), f"option of {place}")
            else:
                self._series(place, member, depth + 1)

    def _series(self, place: str, series: Series, depth: int) -> None:
        number = 0
        while self._text.startswith("(", self._at):
            if number == len(series.groups):
                raise self._wrong(f"has more than the {number} that there may be of {place}")
            self._at += 1
            self._members(series.groups[number], depth)
            closing = TOKEN.match(self._text, self._at)
            if closing is None or closing["sign"] != ")":
                raise self._wrong(f"does not close the brackets of {place}")
            self._at = closing.end()
            number += 1
        self._written[place] = number

    def _wrong(self, what: str) -> UsageError:
        form = self._text if len(self._text) <= 200 else f"{self._text[:200]}…"
        return UsageError(f"{form!r} {what}, at character {self._at + 1}")
