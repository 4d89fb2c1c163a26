"""Tables as frames: CSV and Parquet, read in bounded memory and time."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nas.data.bounded import Bomb, most_bytes, unpacked
from nas.errors import UsageError, unreadable, without_pyarrow
from nas.files import check_file, open_file

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]

MAX_COLUMNS = 10_000
FREE_CELLS = 2_000_000
"""Values that any table may have."""
CELLS_PER_BYTE = {"text": 2, "parquet": 8}
"""How many values a byte of a table may stand for: in a text each has a comma; Parquet stores equal ones once."""


def read_frame(path: Path) -> pd.DataFrame:
    """The table in a file: Parquet by its suffix, else CSV, which may be packed as `nas.data.bounded.unpacked` says.

    Raises:
        UsageError: it cannot be read, or stands for more than a file of its size may: bytes, values, columns.
    """
    check_file(path, "table")
    try:
        frame = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    except UsageError:
        raise
    except ImportError as error:
        raise (without_pyarrow(path) if path.suffix == ".parquet" else unreadable(path, "a table", error)) from None
    except Exception as error:  # a damaged file makes the parsers raise all sorts
        raise unreadable(path, "a table", error) from None
    duplicates = frame.columns[frame.columns.duplicated()]
    if len(duplicates):
        raise UsageError(f"{path}: has several columns {duplicates[0]!r}")
    return frame


def _csv(path: Path) -> pd.DataFrame:
    with unpacked(path) as file:
        text = file.read()
    columns = text.partition(b"\n")[0].count(b",") + 1
    if columns > MAX_COLUMNS:
        raise UsageError(f"{path}: has {columns:,} columns, more than the {MAX_COLUMNS:,} that a table may have")
    cells = columns * (max(text.count(b"\n"), text.count(b"\r")) + 1)  # short rows are filled up
    most = FREE_CELLS + CELLS_PER_BYTE["text"] * len(text)
    if cells > most:
        raise Bomb(len(text), "values", most)
    frame = pd.read_csv(io.BytesIO(text), dtype={"arch": str})  # NAS-Bench-Macro's digits are no number
    if not isinstance(frame.index, pd.RangeIndex):
        raise UsageError(f"{path}: has rows of more values than its first line names columns")
    return frame


def _parquet(path: Path) -> pd.DataFrame:
    from pyarrow import parquet

    with open_file(path) as file:
        size = file.seek(0, io.SEEK_END)
        opened = parquet.ParquetFile(file)
        schema, metadata = opened.schema_arrow, opened.metadata
        if metadata.num_columns > MAX_COLUMNS:
            raise UsageError(
                f"{path}: has {metadata.num_columns:,} columns, more than the {MAX_COLUMNS:,} that a table may have"
            )
        names = [field.name for field in schema if is_plain(field.type) and not _is_index(field.name)]
        if "arch" in schema.names and "arch" not in names:
            raise UsageError(f"{path}: row 2: 'arch' holds {schema.field('arch').type}, not texts")
        cells = metadata.num_rows * metadata.num_columns
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        _check_size(size, cells, sum(group.total_byte_size for group in groups))
        file.seek(0)
        _check_chunks(parquet.ParquetFile(file, pre_buffer=True), names)
        places = [number for number in range(metadata.num_columns) if metadata.schema.column(number).path in names]
        chunks = [group.column(place) for group in groups for place in places]
        cells = max(cells, sum(chunk.num_values for chunk in chunks))
        _check_size(size, cells, sum(chunk.total_uncompressed_size for chunk in chunks))
        texts = [name for name in names if is_text(schema.field(name).type)]
        file.seek(0)
        table = parquet.ParquetFile(file, read_dictionary=texts).read(names)
        _check_texts(table, size)
        return _without_categories(table.to_pandas(ignore_metadata=True))


def _check_size(size: int, cells: int, unpacked: int) -> None:
    """`Bomb` where a file of ``size`` bytes holds too many values or bytes, by its own account."""
    most = FREE_CELLS + CELLS_PER_BYTE["parquet"] * size
    if cells > most:
        raise Bomb(size, "values", most)
    if unpacked > most_bytes(size):
        raise Bomb(size, "bytes", most_bytes(size))


def _check_chunks(opened: ParquetFile, names: list[str]) -> None:
    """Reads the first row. Of columns whose description is damaged, reading says so; asking for the description, as is
    done next, would end the process."""
    next(opened.iter_batches(batch_size=1, columns=names, use_threads=False), None)


def is_plain(kind: pa.DataType) -> bool:
    """Whether a column of Parquet holds numbers, texts, or yes and no: nothing nested."""
    from pyarrow import types

    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_null, types.is_temporal)
    return is_text(kind) or any(test(kind) for test in tests)


def is_text(kind: pa.DataType) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind))


def text_bytes(column: pa.ChunkedArray) -> int:
    """The total length of the texts of a dictionary-encoded column, repetitions included."""
    from pyarrow import compute

    total = 0
    for chunk in column.chunks:
        lengths = compute.binary_length(chunk.dictionary)
        total += int(compute.sum(lengths.take(chunk.indices)).as_py() or 0)
    return total


def _check_texts(table: pa.Table, size: int) -> None:
    from pyarrow import types

    columns = [column for column in table.columns if types.is_dictionary(column.type)]
    if sum(map(text_bytes, columns)) > most_bytes(size):
        raise Bomb(size, "bytes of text", most_bytes(size))


def _without_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with categorical columns turned into columns of the categories' type."""
    kinds: dict[Any, Any] = {
        name: kind.categories.dtype for name, kind in frame.dtypes.items() if isinstance(kind, pd.CategoricalDtype)
    }
    return frame.astype(kinds)


def _is_index(name: str) -> bool:
    """Whether pandas wrote the column for its own row numbers."""
    return name.startswith("__index_level_")
