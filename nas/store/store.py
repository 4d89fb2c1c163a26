"""Scores on disk, shared by runs and by processes: an SQLite file, keyed by everything that determines a score."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, final

import platformdirs
import torch

from nas.errors import UsageError
from nas.proxy import Proxy
from nas.registry import checked_options, normal, options
from nas.scoring.measurer import Measurer, Score
from nas.space import SPACES, Arch
from nas.store.versions import version

ENGINE_VERSION = 2
"""Counts the changes of the engine after which an unchanged proxy gives another number for an unchanged network."""

KEPT = ("ok", "failed", "saturated")
"""Statuses that tell of a network. Any other, like that of a lost worker, tells of the machine and is not kept."""
MACHINE = re.compile(r"memory|alloc|cuda|cudnn|cublas|nccl|OSError|No space left|Interrupt", re.IGNORECASE)
"""Reasons of failures that tell of the machine. One too many costs a score that is measured again, one too few would
be believed for ever."""

APPLICATION = int.from_bytes(b"GANS")
FORMAT = 1
SCHEMA = """
CREATE TABLE contexts (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, used TEXT NOT NULL);
CREATE TABLE scores (
    context INTEGER NOT NULL REFERENCES contexts (id) ON DELETE CASCADE, arch TEXT NOT NULL,
    value REAL, status TEXT NOT NULL, reason TEXT NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (context, arch)
) WITHOUT ROWID;
"""
"""What all scores of one proxy in one setting share, as JSON, with the day on which a run last used it (which `prune`
goes by); and the scores. An id is never given twice, so a context that is deleted while a run knows it stays empty."""

WAIT = 30.0
"""Seconds to wait for another process that is writing."""
PAUSE = 0.5
"""Seconds between writes where scores come fast; each transaction takes milliseconds."""

Row = tuple[str, str, float | None, str, str, float]
"""(key, architecture, value, status, reason, seconds)"""


def default_store() -> str | Path:
    """What ``NAS_STORE`` says, a file or ``none``; without it a file in the user's cache directory."""
    return os.environ.get("NAS_STORE") or platformdirs.user_cache_path("gradalign-nas") / "scores.sqlite"


def worth_keeping(score: Score) -> bool:
    """Whether the score tells of the network and not of the machine it was measured on."""
    return score.status in KEPT and not (score.status == "failed" and MACHINE.search(score.reason))


@final
class Store:
    """The scores in a file, which is made where it does not exist. Use it as a context manager.

    A score that is put is written at once, or where scores come fast within half a second. One that is there is never
    replaced. Should the file fail while it is open (a full disk, say), a warning says so once, and from
    then on nothing is found and nothing is kept.

    Args:
        path: None for the default; ``none`` for no file, nothing found and nothing kept.
        create: whether to make a file where there is none.

    Raises:
        UsageError: (on entering) the file is damaged, no store, of a newer version or cannot be written.
    """

    def __init__(self, path: str | Path | None = None, *, create: bool = True) -> None:
        given = default_store() if path is None else path
        self.path = None if str(given) == "none" else Path(os.path.expanduser(os.path.expandvars(given)))
        self.create = create
        self._database: sqlite3.Connection | None = None
        self._waiting: dict[tuple[str, str], Row] = {}
        self._used: set[str] = set()
        self._ids: dict[str, int] = {}
        self._written = 0.0

    def __enter__(self) -> Store:
        if self.path is not None:
            self._database = connect(self.path, self.create)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._database is not None:
            self._write()
        if self._database is not None:
            self._database.close()
        self._database = None

    def shelf(self, space: str, settings: Mapping[str, Mapping[str, Any]]) -> Callable[[Measurer], StoreShelf] | None:
        """What gives a `nas.scoring.scorer.Scorer` its shelf, for the registered space of that name and its options."""
        if self.path is None:
            return None
        given = checked_options(normal(space), SPACES[space], settings.get(normal(space), {}))
        return lambda measurer: StoreShelf(self, measurer, normal(space), options(SPACES[space]) | given)

    def find(self, key: str, arch: str) -> Score | None:
        """The score of an architecture, in its space's notation."""
        if self._database is None:
            return None
        if (key, arch) in self._waiting:
            return Score(*self._waiting[key, arch][2:])
        try:
            if key not in self._ids:
                known = self._database.execute("SELECT id FROM contexts WHERE key = ?", (key,)).fetchone()
                if known is None:
                    return None
                self._ids[key] = known[0]
            row = self._database.execute(FIND, (self._ids[key], arch)).fetchone()
        except sqlite3.Error as error:
            self._fail(error)
            return None
        if row is None or not sound(row):
            return None
        self._used.add(key)
        return Score(*row)

    def put(self, key: str, arch: str, score: Score) -> None:
        """Keeps a score that is `worth_keeping`."""
        if self._database is None or not worth_keeping(score):
            return
        self._waiting[key, arch] = (key, arch, *score)
        if time.monotonic() > self._written + PAUSE:
            self._write()

    def _write(self) -> None:
        database, today = self._database, time.strftime("%Y-%m-%d")
        if database is None:
            return
        try:
            with transaction(database):
                for key in self._used | {key for key, _ in self._waiting}:
                    self._ids[key] = context_id(database, key, today)
                database.executemany(ADD, ((self._ids[row[0]], *row[1:]) for row in self._waiting.values()))
        except sqlite3.Error as error:
            self._fail(error)
        self._waiting.clear()
        self._used.clear()
        self._written = time.monotonic()

    def _fail(self, error: sqlite3.Error) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None
        warnings.warn(f"the store {self.path} failed ({error}): the run goes on without it", stacklevel=3)


def sound(row: Sequence[Any]) -> bool:
    """Whether (value, status, reason, seconds) are what the store writes: files come from others, too."""
    value, status, reason, seconds = row
    numbers = (value, seconds) if status == "ok" else (seconds,)
    return (
        all(isinstance(number, float) and isfinite(number) for number in numbers)
        and seconds >= 0
        and (status == "ok" or value is None)
        and isinstance(reason, str)
        and status in KEPT
    )


FIND = "SELECT value, status, reason, seconds FROM scores WHERE context = ? AND arch = ?"
ADD = "INSERT OR IGNORE INTO scores (context, arch, value, status, reason, seconds) VALUES (?, ?, ?, ?, ?, ?)"
USE = "INSERT INTO contexts (key, used) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET used = max(used, excluded.used)"


def context_id(database: sqlite3.Connection, key: str, day: str) -> int:
    """The number of a context, which is now used."""
    database.execute(USE, (key, day))
    return int(database.execute("SELECT id FROM contexts WHERE key = ?", (key,)).fetchone()[0])


@final
class StoreShelf:
    """The scores of one space with its options, on one minibatch, with one seed, precision and kind of device."""

    def __init__(self, store: Store, measurer: Measurer, space: str, given: Mapping[str, Any]) -> None:
        self.store, self.space = store, measurer.space
        factory = version(SPACES[space])
        self._setting = {
            "space": space,
            "space_options": plain(given),
            "space_version": factory,
            "task": list(measurer.data.task),
            "minibatch": measurer.data.fingerprint,
            "seed": measurer.seed,
            "precision": str(measurer.precision).removeprefix("torch."),
            "device": measurer.device.type,
            "engine": ENGINE_VERSION,
            "torch": torch_release(),
        }
        self._keys: dict[tuple[str, tuple[str | None, ...]], str | None] = {}
        self._last: tuple[Arch, str] = (), ""

    def get(self, arch: Arch, proxy: Proxy) -> Score | None:
        key = self.key(arch, proxy)
        return None if key is None else self.store.find(key, self._text(arch))

    def put(self, arch: Arch, scores: Sequence[tuple[Proxy, Score]]) -> None:
        for proxy, score in scores:
            key = self.key(arch, proxy)
            if key is not None:
                self.store.put(key, self._text(arch), score)

    def _text(self, arch: Arch) -> str:
        """The notation; what is looked up by several proxies and then put is written once."""
        if self._last[0] != arch:
            self._last = arch, self.space.text(arch)
        return self._last[1]

    def key(self, arch: Arch, proxy: Proxy) -> str | None:
        """What determines a score beside the architecture, as JSON; None where there is no source to tell versions
        apart by."""
        maker = (proxy.setting, tuple(map(version, self.space.origins(arch))))
        if maker not in self._keys:
            self._keys[maker] = self._key(proxy, maker[1])
        return self._keys[maker]

    def _key(self, proxy: Proxy, origins: tuple[str | None, ...]) -> str | None:
        assert proxy.function is not None, "a combination has no value of its own"
        key = self._setting | {
            "origins": list(origins),
            "proxy": proxy.name,
            "proxy_options": plain(options(proxy.function) | proxy.options),
            "proxy_version": version(proxy.function),
        }
        return None if None in (key["space_version"], key["proxy_version"], *origins) else as_text(key)


FIELDS: dict[str, type] = {
    "space": str, "space_options": dict, "space_version": str, "origins": list, "task": list, "proxy": str,
    "proxy_options": dict, "proxy_version": str, "minibatch": str, "seed": int, "precision": str, "device": str,
    "engine": int, "torch": str,
}  # fmt: skip
"""What a key consists of."""


def as_text(key: Mapping[str, Any]) -> str:
    """A key as it stands in the file: equal keys are equal texts."""
    return json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON has them; what JSON cannot say as its text."""
    return {name: json.loads(json.dumps(value, default=repr)) for name, value in values.items()}


def torch_release() -> str:
    """Torch's version without its last part: how it draws weights may change from one release to the next."""
    return ".".join(torch.__version__.split(".")[:2])


def connect(path: Path, create: bool) -> sqlite3.Connection:
    """The store in a file, opened; `UsageError` for anything that is none. Nothing but a store is ever written to."""
    advice = "give another one with --store FILE, or --store none"
    try:
        new = not path.exists() or not path.stat().st_size
        if new and not create:
            raise UsageError(f"there is no store at {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not new:
            check_header(path)
        database = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
    except OSError as error:
        raise UsageError(f"the store {path} cannot be used: {error.filename}: {error.strerror}: {advice}") from None
    except sqlite3.Error as error:
        raise UsageError(f"the store {path} cannot be used: {error}: {advice}") from None
    try:
        database.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last scores, never the file
        database.execute("PRAGMA foreign_keys = ON")
        with transaction(database):
            if not database.execute("PRAGMA application_id").fetchone()[0]:
                for statement in SCHEMA.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {APPLICATION}")
                database.execute(f"PRAGMA user_version = {FORMAT}")
            check_tables(database, path)
        database.execute("PRAGMA journal_mode = WAL")
    except (sqlite3.Error, UsageError) as error:
        database.close()
        raise UsageError(f"the store {path} cannot be used: {error}: {advice}") from None
    return database


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
    """`UsageError` where there are other tables than the store's, or a part of the file is missing; what else may be
    damaged is found when it is read."""
    schema = {sql for (sql,) in database.execute("SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")}
    if schema != {statement.strip() for statement in SCHEMA.split(";") if statement.strip()}:
        raise UsageError("it has other tables than a store")
    pages, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if path.stat().st_size < pages * size:  # damaged, or what is missing is in the write-ahead log
        (answer,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise UsageError(f"it is damaged ({' '.join(str(answer).split())})")


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
