"""The contents of a store: counts, packs to share with others, and deletion."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from nas.data.bounded import Bomb
from nas.errors import UsageError, unknown, without_pyarrow
from nas.files import check_file, check_writable, open_file, replacing
from nas.proxy import PROXIES
from nas.registry import normal
from nas.space import SPACES
from nas.store.database import FAILURES, checksum, connect, context_id, is_whole, transaction
from nas.store.store import ENGINE_VERSION, FIELDS, Store, as_text, sound, torch_release
from nas.store.versions import version

COLUMNS = ("context", "arch", "value", "status", "reason", "seconds")
"""The columns of a pack; ``context`` is the key of a score without the architecture, as JSON."""
MARK, PACK = b"gradalign-nas pack", b"1"
"""The mark that tells a pack from other Parquet files, and its format."""
ROWS_AT_ONCE = 65_536
"""Scores read or written at once."""
MAX_TEXT_CHARACTERS, MAX_ROW_GROUP_BYTES = 100_000, 2**28
"""Characters of one text, and bytes of one row group, beyond which a pack is not ours."""
FREE_ROWS, ROWS_PER_BYTE = 100_000, 2
"""Scores that any pack may have, and further ones for each byte of its file: each has its own text and number."""


class Context(NamedTuple):
    """The setting that a number of scores share."""

    id: int
    key: dict[str, Any]
    used: str


@contextmanager
def opened(path: str | Path | None, *, create: bool = False) -> Iterator[tuple[sqlite3.Connection, Path]]:
    """A context with the database of a store, whose errors become a sentence."""
    where = Store(path).path
    if where is None:
        raise UsageError("--store none names no store")
    database = connect(where, create)
    try:
        yield database, where
    except FAILURES as error:
        raise UsageError(f"the store {where} failed, nothing was changed: {error}") from None
    finally:
        database.close()


def info(path: str | Path | None = None) -> pd.DataFrame:
    """A row for each space and proxy in a store: ``space``, ``proxy``, ``settings`` (how many), ``scores``, ``failed``,
    ``hours`` (what they took), ``used`` (the last day); ``attrs`` hold ``path`` and ``bytes``."""
    with opened(path) as (database, where):
        counts = {
            number: rest
            for number, *rest in database.execute(
                "SELECT context, count(*), sum(status != 'ok'), sum(seconds) FROM scores GROUP BY context"
            )
        }
        rows = []
        for context in contexts(database):
            scores, failed, seconds = counts.get(context.id, (0, 0, 0.0))
            names = (context.key["space"], context.key["proxy"])
            rows.append((*names, 1, scores, failed, seconds / 3600, context.used))
    frame = pd.DataFrame(rows, columns=["space", "proxy", "settings", "scores", "failed", "hours", "used"])
    sums = dict.fromkeys(("settings", "scores", "failed", "hours"), "sum")
    frame = frame.groupby(["space", "proxy"], as_index=False).agg(sums | {"used": "max"})
    frame.attrs |= {"path": str(where), "bytes": where.stat().st_size}
    return frame


def export(pack: str | Path, space: str = "", proxy: str = "", path: str | Path | None = None) -> int:
    """Writes the scores of a space or a proxy (or all) to a Parquet file, and returns how many; it appears, or is
    replaced, when it is complete. Nothing but a pack is replaced."""
    pack = Path(os.path.expanduser(pack))
    _check_pyarrow(pack)
    if pack.is_dir() or not pack.absolute().parent.is_dir():
        raise UsageError(f"{pack} cannot be written: {'it is a folder' if pack.is_dir() else 'its folder is missing'}")
    check_writable(pack)
    if pack.exists() and not is_pack(pack):
        raise UsageError(f"{pack} is no pack of scores, and is left as it is: name another file")
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    kinds = dict.fromkeys(COLUMNS, pa.string()) | {"value": pa.float64(), "seconds": pa.float64()}
    schema, total = pa.schema(list(kinds.items()), metadata={MARK: PACK}), 0
    written = {"compression": "zstd", "write_page_checksum": True}
    try:
        with (
            replacing(pack) as temporary,
            opened(path) as (database, _),
            parquet.ParquetWriter(temporary, schema, **written) as writer,
        ):
            for context in named(contexts(database), space, proxy):
                for rows in _whole_rows(database, context):
                    columns = list(map(list, zip(*rows, strict=True)))
                    writer.write_table(pa.table(dict(zip(COLUMNS, columns, strict=True)), schema))
                    total += len(rows)
    except OSError as error:
        raise UsageError(f"{pack} cannot be written: {error.strerror or error}") from None
    return total


def _whole_rows(database: sqlite3.Connection, context: Context) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a setting, some at a time; damaged ones are left out, as in a run."""
    key = as_text(context.key)
    cursor = database.execute(
        "SELECT ?, arch, value, status, reason, seconds, checksum FROM scores WHERE context = ?", (key, context.id)
    )
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        if whole := [row for *row, stored in rows if sound(row[2:]) and is_whole(tuple(row), stored)]:
            yield whole


class Imported(NamedTuple):
    """The result of `import_pack`: scores in the pack, and how many of them the store did not have."""

    scores: int
    added: int


def import_pack(pack: str | Path, path: str | Path | None = None) -> Imported:
    """Adds the scores of a pack to a store, where those that it has stay; a damaged file, or no pack, changes nothing.

    A pack is trusted: its form is checked, but not whether its numbers are those of the proxies.
    """
    pack = Path(os.path.expanduser(pack))
    _check_pyarrow(pack)
    check_file(pack, "pack")
    with opened(path, create=True) as (database, _):
        database.execute(f"CREATE TEMP TABLE pack ({', '.join(COLUMNS)}, PRIMARY KEY (context, arch)) WITHOUT ROWID")
        try:
            with transaction(database, "DEFERRED"):  # the pack is read before others have to wait
                database.executemany("INSERT INTO pack VALUES (?, ?, ?, ?, ?, ?)", pack_rows(pack))
        except sqlite3.IntegrityError:
            raise UsageError(f"{pack} is damaged: it names a score twice; nothing was imported") from None
        day = time.strftime("%Y-%m-%d")
        with transaction(database):
            keys = [key for (key,) in database.execute("SELECT DISTINCT context FROM pack")]
            numbers = [(context_id(database, key, day), key) for key in keys]
            before = database.total_changes
            database.create_function("row_checksum", 6, lambda *row: checksum(row), deterministic=True)
            database.executemany(
                "INSERT OR IGNORE INTO main.scores SELECT ?, arch, value, status, reason, seconds, "
                f"row_checksum({', '.join(COLUMNS)}) FROM pack WHERE context = ?",
                numbers,
            )
            added = database.total_changes - before
        return Imported(database.execute("SELECT count(*) FROM pack").fetchone()[0], added)


def is_pack(path: Path) -> bool:
    """Whether a file is marked as a pack."""
    from pyarrow import parquet

    try:
        return MARK in (parquet.read_schema(path).metadata or {})
    except (ValueError, OSError):  # pyarrow's are among these
        return False


def pack_rows(pack: Path) -> Iterator[tuple[Any, ...]]:
    """The rows of a pack, checked one by one; `UsageError` for a file that is damaged or no pack."""
    from pyarrow import parquet

    keys: set[str] = set()
    try:
        texts = [name for name in COLUMNS if name not in ("value", "seconds")]
        with (
            open_file(pack) as content,
            parquet.ParquetFile(content, read_dictionary=texts, page_checksum_verification=True) as file,
        ):
            if (file.schema_arrow.metadata or {}).get(MARK) != PACK or tuple(file.schema_arrow.names) != COLUMNS:
                raise UsageError(f"{pack} is no pack of scores: 'nas store export' writes them; nothing was imported")
            groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
            if any(group.total_byte_size > MAX_ROW_GROUP_BYTES for group in groups):
                raise ValueError(f"a row group of more than {MAX_ROW_GROUP_BYTES:,} bytes")
            size, most = pack.stat().st_size, FREE_ROWS + ROWS_PER_BYTE * pack.stat().st_size
            if file.metadata.num_rows > most:
                raise Bomb(size, "scores", most)
            for batch in file.iter_batches(ROWS_AT_ONCE):
                for row in zip(*map(_values, batch.columns), strict=True):
                    check_row(row, keys)
                    yield row
    except UsageError:
        raise
    except (ValueError, OSError, TypeError, NotImplementedError, RecursionError) as error:  # pyarrow's are among these
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"{pack} is damaged, nothing was imported: {message[:200]}") from None


def _values(column: Any) -> list[Any]:
    """The values of a column; equal texts are one object."""
    from pyarrow import types

    if not types.is_dictionary(column.type):
        return list(column.to_pylist())
    texts = column.dictionary.to_pylist()
    if any(text is not None and (not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS) for text in texts):
        raise ValueError("a text in it is not one, or too long")
    return [None if index is None else texts[index] for index in column.indices.to_pylist()]


def check_row(row: tuple[Any, ...], keys: set[str]) -> None:
    """`ValueError` for a row that no store has written; ``keys`` collects the contexts that were checked."""
    key, arch, *score = row
    if not all(
        isinstance(text, str) and text.isprintable() and len(text) <= MAX_TEXT_CHARACTERS
        for text in (key, arch, score[2])
    ):
        raise ValueError("a text in it is not one, too long or holds control characters")
    if not arch or not sound(score):
        raise ValueError(f"{score[1]!r} with value {score[0]!r} is no score")
    if key not in keys:
        parsed = json.loads(key)
        if not is_key(parsed) or as_text(parsed) != key:
            raise ValueError(f"{key[:100]} does not say what a score depends on")
        keys.add(key)


def is_key(parsed: Any) -> bool:
    """Whether JSON is a key of this version's stores."""
    return (
        isinstance(parsed, dict)
        and set(parsed) == set(FIELDS)
        and all(type(parsed[name]) is kind for name, kind in FIELDS.items())
    )


def prune(
    space: str = "", proxy: str = "", unused: int | None = None, stale: bool = False, path: str | Path | None = None
) -> int:
    """Deletes scores from a store and returns how many.

    Args:
        space, proxy: only of these.
        unused: only of settings that no run has used for this many days.
        stale: only of versions that are not the present ones of the engine, of torch, or of a registered space or
            proxy. Those of spaces and proxies that are not registered are left alone.

    Raises:
        UsageError: nothing says what to delete, or the store has nothing of that name.
    """
    if not (space or proxy or stale or unused is not None):
        raise UsageError("nothing says what to delete: give --space, --proxy, --unused DAYS or --stale")
    if unused is not None and not 0 <= unused <= 100_000:
        raise UsageError(f"--unused takes a number of days from 0 to 100,000, not {unused}")
    oldest = time.strftime("%Y-%m-%d", time.localtime(max(0.0, time.time() - 86400 * (unused or 0))))
    with opened(path) as (database, _):
        removed = 0
        for context in named(contexts(database), space, proxy):
            if (unused is None or context.used <= oldest) and not (stale and current(context.key)):
                with transaction(database):
                    removed += database.execute("DELETE FROM scores WHERE context = ?", (context.id,)).rowcount
                    database.execute("DELETE FROM contexts WHERE id = ?", (context.id,))
        database.execute("VACUUM")
    return removed


def current(key: dict[str, Any]) -> bool:
    """Whether scores with this key can still be used: nothing that it names has another version now."""
    makers = []
    if key["space"] in SPACES:
        makers.append((version(SPACES[key["space"]]), key["space_version"]))
    if key["proxy"] in PROXIES and (function := PROXIES[key["proxy"]].function) is not None:
        makers.append((version(function), key["proxy_version"]))
    return all(now == then for now, then in [*makers, (ENGINE_VERSION, key["engine"]), (torch_release(), key["torch"])])


def contexts(database: sqlite3.Connection) -> list[Context]:
    contexts_ = []
    for number, text, used in database.execute("SELECT id, key, used FROM contexts ORDER BY id").fetchall():
        try:
            key = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            key = None
        if not is_key(key):
            raise UsageError(f"the store is damaged: its setting {number} does not say what a score depends on")
        contexts_.append(Context(number, key, str(used)))
    return contexts_


def named(among: list[Context], space: str, proxy: str) -> list[Context]:
    """The contexts of a space and a proxy; `UsageError` where the store has nothing of that name."""
    for kind, name in (("space", space), ("proxy", proxy)):
        names = {context.key[kind] for context in among}
        if name and normal(name) not in map(normal, names):
            raise unknown(f"{kind} in the store", name, names)
        among = [context for context in among if not name or normal(context.key[kind]) == normal(name)]
    return among


def _check_pyarrow(pack: Path) -> None:
    if find_spec("pyarrow") is None:
        raise without_pyarrow(pack)
