"""Python expressions: written out in lines, with repeated parts turned into functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

MAX_LINE_CHARACTERS = 110
"""Characters of a line."""
INDENT = "    "
MIN_CALLS = 4
"""The fewest calls in a repeated expression that is worth a function of its own."""
MAX_PARAMETERS = 5
NUMBER = re.compile(r"-?\d+(\.\d*)?(e-?\d+)?")


@dataclass(frozen=True)
class Item:
    """A part of an expression.

    Attributes:
        key: what is written in front of the value, as ``padding=`` or ``"0": ``; or nothing.
        name: what it is, whether written or not: ``in_channels`` for the first argument of ``nn.Conv2d``.
    """

    value: Expression
    key: str = ""
    name: str = ""


@dataclass(frozen=True)
class Expression:
    """``nn.Conv2d(3, 16, 3)`` has the head ``nn.Conv2d(``, three items and the end ``)``; a plain value is a head.

    Attributes:
        suggested: the name of a function that would make it.
    """

    head: str
    items: tuple[Item, ...] = ()
    end: str = ""
    suggested: str = field(default="", compare=False)

    @property
    def calls(self) -> int:
        """The number of calls in it."""
        return (self.end == ")") + sum(item.value.calls for item in self.items)

    def written(self, indent: str = "", used: int = 0) -> str:
        """The source: on one line where it fits, else one item a line.

        Args:
            indent: that of the line in which it starts.
            used: characters before it in that line.
        """
        line = self.head + ", ".join(item.key + item.value.written() for item in self.items) + self.end
        if not self.items or used + len(line) <= MAX_LINE_CHARACTERS:
            return line
        if len(self.items) == 1 and not self.items[0].key and self.items[0].value.items:
            return self.head + self.items[0].value.written(indent, used + len(self.head)) + self.end
        deeper = indent + INDENT
        lines = [deeper + i.key + i.value.written(deeper, len(deeper) + len(i.key) + 1) + "," for i in self.items]
        return "\n".join([self.head, *lines, indent + self.end])

    def numbers(self) -> Iterator[tuple[str, str]]:
        """Its numbers, and names that stand for numbers, each after the name of what it is."""
        for item in self.items:
            if item.value.items:
                yield from item.value.numbers()
            elif item.value.is_number:
                yield item.name, item.value.head

    @property
    def is_number(self) -> bool:
        """Whether it is a number or the name of one."""
        return not self.end and (bool(NUMBER.fullmatch(self.head)) or self.head in PARAMETERS)

    @property
    def skeleton(self) -> str:
        """The source with a sign in place of every number: equal for all expressions that one function can make."""
        return (
            self.head
            + ", ".join(item.key + ("#" if item.value.is_number else item.value.skeleton) for item in self.items)
            + self.end
        )

    def with_numbers(self, texts: Iterator[str]) -> Expression:
        """The same with other numbers, in their order."""
        items = tuple(
            Item(
                Expression(next(texts)) if item.value.is_number else item.value.with_numbers(texts), item.key, item.name
            )
            for item in self.items
        )
        return Expression(self.head, items, self.end, self.suggested)

    def replaced(self, change: Callable[[Expression], Expression | None]) -> Expression:
        """The same with parts replaced by what ``change`` returns for them, from the outside in."""
        if (other := change(self)) is not None:
            return other
        items = tuple(Item(item.value.replaced(change), item.key, item.name) for item in self.items)
        return Expression(self.head, items, self.end, self.suggested)

    def parts(self) -> Iterator[Expression]:
        """Itself and all its parts."""
        yield self
        for item in self.items:
            yield from item.value.parts()


PARAMETERS = tuple(f"{name}{number}" for name in ("channels", "size", "value") for number in ("", *range(2, 100)))
"""The names of parameters of functions."""


@dataclass(frozen=True)
class Function:
    """A function that returns an expression."""

    name: str
    parameters: tuple[str, ...]
    body: Expression

    def written(self) -> str:
        start = f"{INDENT}return "
        return (
            f"def {self.name}({', '.join(self.parameters)}) -> nn.Module:\n"
            f"{start}{self.body.written(INDENT, len(start))}\n"
        )


def factored(expression: Expression, reserved: Sequence[str]) -> tuple[Expression, list[Function]]:
    """The expression with its repeated parts replaced by calls of functions, and these functions, each after those that
    it calls.

    Args:
        reserved: names that the functions may not have.
    """
    functions: list[Function] = []
    names = set(reserved)
    refused: set[str] = set()
    while True:
        whole = [expression, *(function.body for function in functions)]
        groups: dict[str, list[Expression]] = {}
        for part in (part for body in whole for part in body.parts()):
            if part.suggested and part.calls >= MIN_CALLS:
                groups.setdefault(part.skeleton, []).append(part)
        repeated = [s for s, group in groups.items() if len(group) > 1 and s not in refused]
        if not repeated:
            return expression, functions[::-1]
        skeleton = max(repeated, key=lambda s: groups[s][0].calls)
        function, columns = _function(groups[skeleton], names)
        refused.add(skeleton)  # its own body has it too
        if len(columns) > MAX_PARAMETERS:
            continue
        names.add(function.name)

        def call(part: Expression, function: Function = function, columns: list[int] = columns,
                 skeleton: str = skeleton) -> Expression | None:  # fmt: skip
            if part.skeleton != skeleton or not part.suggested:
                return None
            numbers = [number for _, number in part.numbers()]
            values = zip(function.parameters, columns, strict=True)
            return Expression(f"{function.name}(", tuple(Item(Expression(numbers[c]), "", n) for n, c in values), ")")

        expression = expression.replaced(call)
        functions = [Function(f.name, f.parameters, f.body.replaced(call)) for f in functions]
        functions.append(function)


def _function(group: Sequence[Expression], names: set[str]) -> tuple[Function, list[int]]:
    """The function that makes every expression of ``group``, and which of their numbers are its parameters."""
    rows = [[number for _, number in part.numbers()] for part in group]
    wanted = [name for name, _ in group[0].numbers()]
    by_values: dict[tuple[str, ...], list[int]] = {}
    for place, values in enumerate(zip(*rows, strict=True)):
        if len(set(values)) > 1 or values[0] in PARAMETERS:
            by_values.setdefault(values, []).append(place)
    parameters: list[str] = []
    texts = list(rows[0])
    for places in by_values.values():
        name = _parameter({wanted[place] for place in places}, parameters)
        parameters.append(name)
        for place in places:
            texts[place] = name
    name = _free(group[0].suggested, names)
    function = Function(name, tuple(parameters), group[0].with_numbers(iter(texts)))
    return function, [places[0] for places in by_values.values()]


def _parameter(kinds: set[str], reserved: Sequence[str]) -> str:
    """A name for a parameter that stands for these ``kinds`` of numbers."""
    text = " ".join(kinds)
    word = "channels" if re.search("channels|features|width|dim", text) else "size" if "size" in text else "value"
    return next(name for name in PARAMETERS if re.fullmatch(rf"{word}\d*", name) and name not in reserved)


def _free(name: str, reserved: set[str]) -> str:
    number = 1
    while (candidate := name if number == 1 else f"{name}{number}") in reserved:
        number += 1
    return candidate
