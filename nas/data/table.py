"""A benchmark's trained accuracies and other measurements, looked up by architecture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nas.data.reading import read_frame
from nas.errors import UsageError, unknown
from nas.files import only_data
from nas.space import Arch, Space, is_leaf

OWN = {file.stem: file for file in sorted((Path(__file__).parent / "tables").glob("*.csv"))}
"""The tables that come with the toolkit, by name.

- ``nasbench201``: 300 random cells with accuracies after 200 epochs, parameters and FLOPs. They are NATS-Bench's (Dong
  et al. 2021, arXiv:2009.00437), as FreeREA (test) and nas_ntk (validation) publish them.
"""


class Table:
    """The rows of a benchmark's table by architecture.

    Args:
        path: CSV, ``.csv.gz`` or Parquet with a column ``arch`` in the space's notation (a file without one may call it
            otherwise: the first column of texts whose first row is an architecture is taken); or, where there is no
            such file, the name of one that comes with the toolkit (`OWN`).
        space: reads the notation.

    Raises:
        UsageError: the file cannot be read, has no column of architectures, no rows, or an architecture that does not
            parse.
    """

    def __init__(self, path: str | Path, space: Space) -> None:
        if not isinstance(path, str | Path):
            raise UsageError(f"a table is the name of a file, not {path!r}")
        self.given = str(path)
        self.path = _located(path)
        self.space = space
        self.frame = read_frame(self.path)
        duplicates = self.frame.columns[self.frame.columns.duplicated()]
        if len(duplicates):
            raise UsageError(f"{self.path}: has several columns {duplicates[0]!r}")
        if "arch" not in self.frame and (named := self._named_otherwise()) is not None:
            self.frame = self.frame.rename(columns={named: "arch"})
        if "arch" not in self.frame:
            raise UsageError(f"{self.path}: has no column 'arch', only {', '.join(map(str, self.frame.columns))}")
        if self.frame.empty:
            raise UsageError(f"{self.path}: has no rows")
        self.archs = parse_all(self.frame["arch"], space, str(self.path))
        self._rows = {arch: row for row, arch in enumerate(self.archs)}

    def _named_otherwise(self) -> Any:
        """The name of a column of texts that holds architectures; None where none does."""
        for name in self.frame.columns[: 0 if self.frame.empty else None]:
            first = self.frame[name].iloc[0]
            if isinstance(first, str):
                try:
                    with only_data(str(self.path)):
                        self.space.parse(first)
                except ValueError:
                    continue
                return name
        return None

    def target(self, column: str) -> pd.Series[float]:
        """A column of numbers, with ``-`` before its name their negatives, as of losses; `UsageError` for a column that
        is missing or holds something else."""
        if column not in self.frame and column.removeprefix("-") in self.frame:
            return -self.target(column.removeprefix("-"))
        if column not in self.frame:
            raise unknown(f"column of {self.path}", column, [c for c in map(str, self.frame.columns) if c != "arch"])
        if not pd.api.types.is_numeric_dtype(self.frame[column]):
            raise UsageError(f"{self.path}: column {column!r} holds {self.frame[column].dtype}, not numbers")
        return self.frame[column].astype(float)

    def groups(self, column: str) -> pd.Series[str]:
        """A column as groups, whose names are texts; `UsageError` for one that is missing."""
        if column not in self.frame or column == "arch":
            raise unknown(f"column of {self.path}", column, [c for c in map(str, self.frame.columns) if c != "arch"])
        labelled = self.frame[column].notna()
        return self.frame[column].astype(str).where(labelled)

    def find(self, column: str, value: str) -> Arch:
        """The architecture whose ``column`` is ``value``; `UsageError` where there is none."""
        if column not in self.frame or column == "arch":
            raise unknown(f"column of {self.path}", column, [c for c in map(str, self.frame.columns) if c != "arch"])
        rows = np.flatnonzero(self.frame[column].astype(str) == value).tolist()
        if not rows:
            raise UsageError(f"{self.path}: no row has {value!r} in the column {column!r}")
        return self.archs[rows[0]]

    def row(self, arch: Arch) -> dict[str, float]:
        """The known numbers of ``arch``, or of a network that is the same; empty where there are none."""
        place = self.place(arch)
        return {} if place is None else {str(name): value for name, value in self.numbers.iloc[place].items()}

    def place(self, arch: Arch) -> int | None:
        """The number of the row of ``arch``, or of a network that is the same; None where there is none."""
        row = self._rows.get(arch)
        return self._canonical.get(self.space.canonical(arch)) if row is None else row

    def rows(self, texts: Sequence[str]) -> pd.DataFrame:
        """The `row` of each of these architectures that has one, indexed by its text."""
        rows = {text: self.row(arch) for text in texts if is_leaf(arch := self.space.parse(text))}
        return pd.DataFrame.from_dict({text: row for text, row in rows.items() if row}, orient="index")

    @cached_property
    def numbers(self) -> pd.DataFrame:
        """The frame without its columns of text: the architectures, a benchmark's own names of them, notes."""
        return self.frame.select_dtypes(["number", "bool"])

    @cached_property
    def _canonical(self) -> dict[Arch, int]:
        return {self.space.canonical(arch): row for row, arch in reversed(list(enumerate(self.archs)))}


def _located(path: str | Path) -> Path:
    file = Path(os.path.expanduser(os.path.expandvars(path)))
    return file if file.is_file() else OWN.get(str(path), file)


def parse_all(texts: pd.Series[str], space: Space, where: str) -> list[Arch]:
    """Each architecture of a column; `UsageError` names the row of the first that does not parse."""
    archs: list[Arch] = []
    forms: dict[str, Arch] = {}  # a file may repeat one text very often
    for row, entry in enumerate(texts, start=2):  # as a spreadsheet counts, the header is row 1
        text = str(entry)
        if text not in forms:
            try:
                with only_data(f"{where}: row {row}"):
                    forms[text] = space.parse(text)
            except ValueError as error:
                message = str(error)
                raise UsageError(message if message.startswith(where) else f"{where}: row {row}: {message}") from None
            if not is_leaf(forms[text]):
                raise UsageError(f"{where}: row {row}: {text!r} is not a single network but leaves operations open")
        archs.append(forms[text])
    return archs
