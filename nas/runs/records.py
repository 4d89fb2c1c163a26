"""Records of a run, one on each line: reads complete lines, and adds lines durably."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from nas.errors import UsageError
from nas.files import open_file, sync_folder

MAX_LINE_BYTES = 2**24
"""Bytes of one record; no file of a run has longer ones."""
SYNC_SECONDS = 1.0
"""Seconds of records that a power cut may lose; a process that is killed loses none."""
BOM = codecs.BOM_UTF8
REMEDY = "remove that line and those after it, and the same command goes on from what stands before"


class Lines(NamedTuple):
    """The contents of a file that was appended to.

    Attributes:
        lines: the number of each line, from 1, with its text; empty ones are left out.
        whole: bytes of complete lines; the rest is the beginning of one that was not written to its end.
        cut: that beginning.
    """

    lines: list[tuple[int, str]]
    whole: int
    cut: bytes


def read_lines(path: Path) -> Lines:
    """The whole lines of a file; none where it does not exist. `UsageError` where it cannot be read."""
    lines: list[tuple[int, str]] = []
    whole = number = 0
    try:
        with open_file(path) as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES and line.strip(b"\0"):
                    raise UsageError(f"{path} is damaged: line {number} has more than {MAX_LINE_BYTES:,} bytes")
                if not line.endswith(b"\n"):
                    return Lines(lines, whole, line)
                whole += len(line)
                text = line.removeprefix(BOM if number == 1 else b"").decode().strip("\r\n")
                if text.strip():
                    lines.append((number, text))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is damaged: line {number}: {error}: {REMEDY}") from None
    return Lines(lines, whole, b"")


def say_what_was_cut(path: Path, cut: bytes) -> None:
    """Warns where the end of a file is not the beginning of a line, as a killed process leaves it, but zero bytes."""
    if b"\0" in cut:
        warnings.warn(
            f"{path} ended in zero bytes, as a power cut leaves them: they are removed, and what they stood for is "
            "computed again",
            stacklevel=2,
        )


def read_records(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The records of a ``.jsonl`` file, each with its place there; `UsageError` where one is damaged."""
    return [(f"{path}: line {number}", parse_record(path, number, text)) for number, text in read_lines(path).lines]


def parse_record(path: Path, number: int, text: str) -> dict[str, Any]:
    """The record on a line; `UsageError` where it is none."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: line {number} is damaged: {error}: {REMEDY}") from None
    if not isinstance(record, dict):
        raise UsageError(f"{path}: line {number} is damaged: it holds {text[:200]!r}: {REMEDY}")
    return record


class Appender:
    """Adds lines to a file, each passed to the system at once and to the disk within a second.

    Args:
        check: called before each line; raises where the run may no longer write there.

    Raises:
        UsageError: (on writing) the file was removed, replaced or shortened in the meantime.
    """

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        self._path = path
        self._check = check
        self._file: BinaryIO | None = None
        self._size = 0
        self._synced = 0.0

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            with self._file as file:
                os.fsync(file.fileno())
            self._file = None

    def add(self, line: str) -> None:
        """Writes one line."""
        self._check()
        file = self._opened()
        rest = memoryview(line.encode() + b"\n")
        while rest:  # a disk that is nearly full takes a part
            count = file.write(rest)
            self._size += count
            rest = rest[count:]
        if time.monotonic() > self._synced + SYNC_SECONDS:
            os.fsync(file.fileno())
            self._synced = time.monotonic()

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Writes a record as a line of JSON."""
        self.add(json.dumps(record, allow_nan=False))

    def add_row(self, values: list[object]) -> None:
        """Writes values as a line of CSV."""
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(values)
        self.add(text.getvalue())

    def _opened(self) -> BinaryIO:
        if self._file is None:
            new = not self._path.exists()
            self._file = self._path.open("ab", buffering=0)
            self._size = os.fstat(self._file.fileno()).st_size
            if new:
                sync_folder(self._path.parent)
            return self._file
        own = os.fstat(self._file.fileno())
        try:
            unchanged = os.path.samestat(own, self._path.stat()) and own.st_size == self._size
        except FileNotFoundError:
            unchanged = False
        if not unchanged:
            raise UsageError(
                f"{self._path} was removed, replaced or changed while the run was writing to it: the run stops, and "
                "the same command goes on from what stands there now"
            )
        return self._file
