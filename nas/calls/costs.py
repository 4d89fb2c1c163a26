"""Costs from a table: what a device that is not here takes for an architecture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite, nan

from nas.data.table import Table
from nas.errors import UsageError
from nas.proxy import PROXIES, ProxyFailure
from nas.registry import normal
from nas.runs.versions import digest
from nas.space import Arch, Space


class Column:
    """A column of a table, by architecture in canonical form: the number of its row, or of that of another architecture
    with the same network."""

    def __init__(self, table: Table, name: str) -> None:
        self.table, self.name = table, name
        numbers = table.target(name)
        self._values = {arch: float(n) for arch, n in reversed(list(zip(table.archs, numbers, strict=True)))}
        self.digest = digest(dict(zip(map(str, table.frame["arch"]), map(float, numbers), strict=True)))

    def __call__(self, space: Space, arch: Arch) -> float:
        number = self._values.get(arch)
        if number is None:
            number = float(self.table.row(arch).get(self.name, nan))
        if not isfinite(number):
            raise ProxyFailure(f"{self.table.path} has no {self.name} of {space.text(arch)}")
        return number


def columns(texts: Sequence[str], space: Space) -> dict[str, Column]:
    """The columns that ``NAME=FILE:COLUMN`` texts stand for, by name.

    Raises:
        UsageError: a text of another form, a name that is taken, or a file without this column of numbers.
    """
    tables: dict[str, Table] = {}
    named: dict[str, Column] = {}
    for text in texts:
        name, file, column = parts_of(text)
        if name in PROXIES:
            raise UsageError(f"there is a proxy {name!r} already: give the cost in {file} another name")
        if name in named:
            raise UsageError(f"two costs are called {name!r}: give one of them another name")
        if file not in tables:
            tables[file] = Table(file, space)
        named[name] = Column(tables[file], column)
    return named


def parts_of(text: str) -> tuple[str, str, str]:
    """Name, file and column of a cost."""
    match = re.fullmatch(r"\s*([A-Za-z]\w*(?:-\w+)*)\s*=\s*(.+):([^:]+)", text)
    if match is None:
        raise UsageError(f"cost {text!r} is not of the form NAME=FILE:COLUMN, like raspi4=hardware.csv:raspi4_latency")
    name, file, column = match.groups()
    return normal(name), file, column.strip()
