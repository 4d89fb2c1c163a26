"""The official files of benchmarks become plain tables, which `nas.data.table.Table` reads."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import pandas as pd

from nas.data.official import nasbench101 as official_nasbench101
from nas.data.official import nats as official_nats
from nas.data.official import nds as official_nds
from nas.data.official import suite_zero as official_suite_zero
from nas.data.official.columns import TEXTS, Row, Watch
from nas.data.reading import MAX_COLUMNS
from nas.errors import UsageError, without_pyarrow
from nas.files import check_writable, replacing

ROWS_AT_ONCE = 2000
"""Rows that are in memory together, and in a row group of Parquet."""
SUFFIXES = (".parquet", ".csv", ".csv.gz")


class Reader(NamedTuple):
    """One kind of official file: its published name, whether a path looks like one, and its rows.

    ``rows(path, watch)`` reads in bounded memory, runs nothing that the file brings, calls ``watch(done, total, unit)``
    as it goes on, and raises `UsageError` in one sentence for a file that it cannot read to the end.
    """

    name: str
    recognises: Callable[[Path], bool]
    rows: Callable[[Path, Watch], Iterator[Row]]


READERS = [
    Reader(
        "NATS-Bench, the folder NATS-tss-v1_0-3ffb9-simple or NATS-sss-v1_0-50262-simple",
        official_nats.recognises_folder,
        official_nats.folder_rows,
    ),
    Reader("NAS-Bench-201-v1_1-096897.pth", official_nats.recognises_torch, official_nats.torch_rows),
    Reader(
        "NAS-Bench-101, nasbench_only108.tfrecord or nasbench_full.tfrecord",
        official_nasbench101.recognises,
        official_nasbench101.rows,
    ),
    Reader(
        "NAS-Bench-Suite-Zero, zc_nasbench201.json and the like",
        official_suite_zero.recognises,
        official_suite_zero.rows,
    ),
    Reader("NDS, DARTS.json and the like", official_nds.recognises, official_nds.rows),
]


class Imported(NamedTuple):
    """What was written: by which reader, how many rows, which columns."""

    reader: str
    rows: int
    columns: list[str]


def reader_of(path: Path) -> Reader:
    """The reader that recognises ``path``; where none does, a `UsageError` that lists the files understood."""
    if not path.exists():
        raise UsageError(f"official file {path} does not exist")
    for reader in READERS:
        if reader.recognises(path):
            return reader
    names = "; ".join(reader.name for reader in READERS)
    raise UsageError(f"{path} is none of the official files that are understood: {names}")


def import_table(source: str | Path, out: str | Path, watch: Watch = lambda done, total, note: None) -> Imported:
    """Writes the table of an official file; its columns are those of `nas.data.official.columns`.

    Memory: the reader's, and `ROWS_AT_ONCE` rows; rows wait in a temporary file until all columns are known. ``out``
    appears, or is replaced, when it is complete.

    Args:
        source: the file or folder as its publishers distribute it.
        out: ``.parquet``, ``.csv`` or ``.csv.gz``.
        watch: called with (done, total, unit).

    Raises:
        UsageError: ``source`` is unknown, damaged or brings something to run; ``out`` cannot be written.
    """
    source, out = Path(os.path.expanduser(source)), Path(os.path.expanduser(out))
    _check_output(out)
    reader = reader_of(source)
    columns: dict[str, None] = {}
    total = 0
    with replacing(out) as temporary, TemporaryFile(dir=out.absolute().parent) as waiting:
        rows = reader.rows(source, watch)
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            columns |= dict.fromkeys(name for row in batch for name in row)
            if len(columns) > MAX_COLUMNS:
                raise UsageError(f"{source} makes more than the {MAX_COLUMNS:,} columns that a table may have")
            frame = pd.DataFrame(batch)
            total += len(frame)
            pickle.dump(frame, waiting)
        if not total:
            raise UsageError(f"{source} holds no architectures of {reader.name}")
        waiting.seek(0)
        ordered = sorted(columns, key=lambda name: name not in TEXTS)  # stable: texts first, then as they came
        _write(temporary, (pickle.load(waiting) for _ in range(0, total, ROWS_AT_ONCE)), ordered)
    return Imported(reader.name, total, ordered)


def _check_output(out: Path) -> None:
    """`UsageError` where ``out`` cannot be written, before anything is read for it."""
    if not out.name.endswith(SUFFIXES):
        raise UsageError(f"{out} cannot be written: a table is a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file")
    folder = out.absolute().parent
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise UsageError(f"{out} cannot be written: nothing may be written in {folder}")
    check_writable(out)
    if out.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise without_pyarrow(out)


def _write(out: Path, frames: Iterator[pd.DataFrame], columns: list[str]) -> None:
    """The frames one after the other, each with all columns: texts, and numbers in double precision."""
    whole = (
        frame.reindex(columns=columns).astype({name: "float64" for name in columns if name not in TEXTS})
        for frame in frames
    )
    if out.suffix == ".parquet":
        _write_parquet(out, whole, columns)
        return
    for number, frame in enumerate(whole):
        frame.to_csv(out, mode="a", index=False, header=number == 0)


def _write_parquet(out: Path, frames: Iterator[pd.DataFrame], columns: list[str]) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    schema = pa.schema([(name, pa.string() if name in TEXTS else pa.float64()) for name in columns])
    with parquet.ParquetWriter(out, schema) as writer:
        for frame in frames:
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
