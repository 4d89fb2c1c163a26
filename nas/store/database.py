"""The SQLite file of a store: how it is made and opened, its tables, and how damaged rows are detected.

A transaction uses a rollback journal, and between transactions everything is in the one file: so it can be copied,
moved, replaced or removed at any time. (A write-ahead log beside it would be applied to whatever file lies there.)
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.errors import UsageError
from nas.files import check_kind

APPLICATION = int.from_bytes(b"GANS")
FORMAT = 1
SCHEMA = """
CREATE TABLE contexts (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, used TEXT NOT NULL);
CREATE TABLE scores (
    context INTEGER NOT NULL REFERENCES contexts (id) ON DELETE CASCADE, arch TEXT NOT NULL,
    value REAL, status TEXT NOT NULL, reason TEXT NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (context, arch)
) WITHOUT ROWID;
"""
"""Contexts, which all scores of one proxy in one setting share, as JSON, with the day on which a run last used them
(for `prune`); and the scores. An id is never given twice, so a context that is deleted during a run stays empty."""
CHECKED = "ALTER TABLE scores ADD COLUMN checksum INTEGER"
"""Added to stores later, see `checksum`; rows of earlier versions have none."""

WAIT_SECONDS = 30.0
"""Seconds to wait for another process that is writing."""
MAX_VALUE_BYTES = 2**24
"""Bytes of one text in the file."""

Row = tuple[str, str, float | None, str, str, float]
"""(key, architecture, value, status, reason, seconds)"""
FIND = (
    "SELECT value, status, reason, seconds, checksum FROM scores JOIN contexts ON id = context "
    "WHERE key = ? AND arch = ?"
)
ADD = "INTO scores (context, arch, value, status, reason, seconds, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)"
USE = "INSERT INTO contexts (key, used) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET used = max(used, excluded.used)"


FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""The errors that SQLite raises for a damaged file; the message of the second quotes the bytes that are no text."""


class Locked(UsageError):
    """The store is in use by another process for longer than one waits."""


def connect(path: Path, create: bool) -> sqlite3.Connection:
    """An open connection to the store in a file; `UsageError` for anything else, which is never written to."""
    advice = "give another one with --store FILE, or --store none"
    try:
        new = not path.exists() or not path.stat().st_size
        if path.exists():
            check_kind(path, path.stat().st_mode)
        if new and not create:
            raise UsageError(f"there is no store at {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not new:
            check_header(path)
        database = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
    except OSError as error:
        raise UsageError(f"the store {path} cannot be used: {error.filename}: {error.strerror}: {advice}") from None
    except sqlite3.Error as error:
        raise UsageError(f"the store {path} cannot be used: {error}: {advice}") from None
    try:
        _prepare(database, path)
    except (*FAILURES, UsageError) as error:
        database.close()
        kind_of_error = Locked if is_busy(error) else UsageError
        raise kind_of_error(f"the store {path} cannot be used: {error}: {advice}") from None
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA foreign_keys = ON")
    with transaction(database):
        if not database.execute("PRAGMA application_id").fetchone()[0]:
            for statement in SCHEMA.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION}")
            database.execute(f"PRAGMA user_version = {FORMAT}")
        check_tables(database, path)
        if not has_checksums(database):
            database.execute(CHECKED)
    if database.execute("PRAGMA journal_mode").fetchone()[0] == "wal":  # of an earlier version
        database.execute("PRAGMA busy_timeout = 0")
        try:
            database.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:  # another process has it open: a later run will convert it
            if not is_busy(error):
                raise
        database.execute(f"PRAGMA busy_timeout = {int(1000 * WAIT_SECONDS)}")


def check_header(path: Path) -> None:
    """`UsageError` unless the first bytes are those of a store that this version can read."""
    with path.open("rb") as file:
        header = file.read(100)
    advice = "it is left as it is; give another one with --store FILE, or --store none"
    if header[:16] != b"SQLite format 3\0" or len(header) < 100 or header[68:72] != APPLICATION.to_bytes(4):
        raise UsageError(f"{path} is no store of scores: {advice}")
    if (written := int.from_bytes(header[60:64])) > FORMAT:
        raise UsageError(f"the store {path} is of format {written}, newer than {FORMAT}, the last one known: {advice}")


def check_tables(database: sqlite3.Connection, path: Path) -> None:
    """`UsageError` where there are other tables than the store's, or a part of the file is missing; other damage shows
    when it is read."""
    schema = {sql for (sql,) in database.execute("SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")}
    contexts, scores = (statement.strip() for statement in SCHEMA.split(";")[:2])
    checked = scores.replace(" PRIMARY KEY", " checksum INTEGER, PRIMARY KEY")
    if schema not in ({contexts, scores}, {contexts, checked}):
        raise UsageError("it has other tables than a store")
    pages, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if path.stat().st_size < pages * size:  # damaged, or the rest is in a write-ahead log
        (answer,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise UsageError(f"it is damaged ({' '.join(str(answer).split())})")


def has_checksums(database: sqlite3.Connection) -> bool:
    return any(name == "checksum" for _, name, *_ in database.execute("PRAGMA table_info(scores)"))


def checksum(row: Row) -> int:
    """The CRC-32 of a row and its setting, which any single changed bit changes."""
    key, arch, value, status, reason, seconds = row
    return zlib.crc32(f"{arch}\0{value!r}\0{status}\0{reason}\0{seconds!r}".encode(), zlib.crc32(key.encode()))


def is_whole(row: Row, stored: object) -> bool:
    """Whether a row is as it was written; a row of an earlier version cannot be checked, and is trusted."""
    return stored is None or stored == checksum(row)


def context_id(database: sqlite3.Connection, key: str, day: str) -> int:
    """The id of a context, which is marked as used."""
    database.execute(USE, (key, day))
    return int(database.execute("SELECT id FROM contexts WHERE key = ?", (key,)).fetchone()[0])


def has_lost(database: sqlite3.Connection, context: int, key: str, arch: str) -> bool:
    """Whether a row that was written is gone though its setting was not deleted: the file has an earlier content, as
    where a copy was put back."""
    context_row = database.execute("SELECT key FROM contexts WHERE id = ?", (context,)).fetchone()
    if context_row is None:
        latest = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'contexts'").fetchone()
        return latest is None or latest[0] < context
    return context_row[0] != key or database.execute(FIND, (key, arch)).fetchone() is None


def is_busy(error: Exception) -> bool:
    """Whether another process has locked the file for longer than the wait."""
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def is_another(error: Exception) -> bool:
    """Whether the file may have been replaced since it was opened."""
    name = getattr(error, "sqlite_errorname", "")
    return (
        isinstance(error, UnicodeDecodeError)
        or name in ("SQLITE_NOTADB", "SQLITE_READONLY_DBMOVED", "SQLITE_ERROR")
        or name.startswith("SQLITE_CORRUPT")
    )


@contextmanager
def transaction(database: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All or nothing, and one process at a time; with ``DEFERRED`` only once it writes to the file."""
    database.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
