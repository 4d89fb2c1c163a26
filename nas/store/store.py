"""Scores on disk, shared by runs and by processes: an SQLite file, keyed by everything that determines a score."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
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
from nas.store.database import (
    ADD,
    FAILURES,
    FIND,
    WAIT_SECONDS,
    Locked,
    Row,
    checksum,
    connect,
    context_id,
    has_lost,
    is_another,
    is_busy,
    is_whole,
    transaction,
)
from nas.store.versions import version

ENGINE_VERSION = 4
"""Counts the changes of the engine that give an unchanged proxy another number for an unchanged network."""

KEPT = ("ok", "failed", "saturated")
"""Statuses that are a network's. Any other, like that of a lost worker, is the machine's and is not kept."""
MACHINE = re.compile(r"memory|alloc|cuda|cudnn|cublas|nccl|OSError|No space left|Interrupt", re.IGNORECASE)
"""Reasons of failures that are the machine's. A false match costs a score that is measured again; a missed one would be
trusted for ever."""

PAUSE_SECONDS = 0.5
"""Seconds between writes when scores come fast."""
PAUSE_RATIO = 20
"""The pause after a write as a multiple of its time, so that many processes on one file wait little."""
MAX_REOPENED = 5
"""How often a file that cannot be read is opened again, within about a second, since a copy may be in progress; and how
often in a run."""


def default_store() -> str | Path:
    """The value of ``NAS_STORE``, a file or ``none``; without it a file in the user's cache directory, or ``none``
    where the user has no home."""
    if location := os.environ.get("NAS_STORE"):
        return location
    folder = platformdirs.user_cache_path("gradalign-nas")
    return folder / "scores.sqlite" if folder.is_absolute() else "none"


def worth_keeping(score: Score) -> bool:
    """Whether the score is about the network and not about the machine it was measured on."""
    return score.status in KEPT and not (score.status == "failed" and MACHINE.search(score.reason))


WITHOUT = ": the run goes on without it"
THERE = ": the scores of this run go to what is there now"
MOVED = "was removed or replaced while it was in use"


@final
class Store:
    """The scores in a file, which is made where it does not exist. Use it as a context manager.

    A new score is written at once, or, when scores come fast, within half a second. One that is there is never
    replaced, unless its checksum shows that it is damaged. Where the file is removed or replaced while it is open, the
    new one gets the scores of this run. If it fails (a full disk, say), it warns once, and from then on finds and keeps
    nothing; while another process locks it for long, it finds nothing, and new scores wait.

    Args:
        path: None for the default, without which a run goes on if it cannot be used; ``none`` for no file: nothing is
            found and nothing kept.
        create: whether to make a file where there is none.

    Raises:
        UsageError: (on entering) the named file is damaged, no store, of a newer version or cannot be written.
    """

    def __init__(self, path: str | Path | None = None, *, create: bool = True) -> None:
        location = default_store() if path is None else path
        self.path = None if str(location) == "none" else Path(os.path.expanduser(os.path.expandvars(location)))
        self.create = create
        self._named = path is not None
        self._database: sqlite3.Connection | None = None
        self._waiting: dict[tuple[str, str], Row] = {}
        self._own: dict[tuple[str, str], Row] = {}
        self._damaged: set[tuple[str, str]] = set()
        self._used: set[str] = set()
        self._last: tuple[int, str, str] | None = None
        self._next = self._busy = 0.0  # when to write, and when to ask again
        self._said: set[str] = set()
        self._reopened = 0
        self._homeless = path is None and self.path is None and not os.environ.get("NAS_STORE")

    def __enter__(self) -> Store:
        if self._homeless:
            self._say("there is no home folder here, so scores are not kept: --store FILE, or NAS_STORE, names a file")
        if self.path is None:
            return self
        try:
            self._open()
        except Locked as error:
            self._say(f"{error}{WITHOUT}")
        except UsageError as error:
            if self._named:
                raise
            self._say(f"{error}{WITHOUT}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._write()
        if self._waiting:
            self._say(f"the store {self.path} is in use by another process: {len(self._waiting)} scores are not kept")
        self._close()

    def shelf(self, space: str, settings: Mapping[str, Mapping[str, Any]]) -> Callable[[Measurer], StoreShelf] | None:
        """Gives a `nas.scoring.scorer.Scorer` its shelf, for the registered space of that name and its options."""
        if self.path is None:
            return None
        own_options = checked_options(normal(space), SPACES[space], settings.get(normal(space), {}))
        return lambda measurer: StoreShelf(self, measurer, normal(space), options(SPACES[space]) | own_options)

    def find(self, key: str, arch: str) -> Score | None:
        """The score of an architecture, in its space's notation."""
        if (key, arch) in self._waiting:
            return Score(*self._waiting[key, arch][2:])
        if self._database is None or time.monotonic() < self._busy:
            return None
        try:
            row = self._database.execute(FIND, (key, arch)).fetchone()
        except FAILURES as error:
            if is_busy(error):
                self._busy = time.monotonic() + WAIT_SECONDS
                return None
            if not (is_another(error) and self._reopen(f"could not be read ({error})")):
                self._fail(error)
            return None
        if row is None or not sound(row[:-1]):
            return None
        if not is_whole((key, arch, *row[:-1]), row[-1]):
            self._damaged.add((key, arch))
            self._say(
                f"the store {self.path} holds scores that are damaged, by their checksums: they are measured again"
            )
            return None
        self._used.add(key)
        return Score(*row[:-1])

    def put(self, key: str, arch: str, score: Score) -> None:
        """Keeps a score that is `worth_keeping`."""
        if self._database is None or not worth_keeping(score):
            return
        self._own[key, arch] = self._waiting[key, arch] = (key, arch, *score)
        if time.monotonic() > self._next:
            self._write()

    def _write(self) -> None:
        start = time.monotonic()
        if not (self._waiting or self._used or self._own):
            return
        if self._database is None or (self._is_elsewhere() and not self._reopen(MOVED)):
            return
        try:
            self._write_rows()
        except FAILURES as error:
            if is_busy(error):
                self._next = self._busy = time.monotonic() + WAIT_SECONDS
                return
            if not (is_another(error) and self._reopen(f"could not be written ({error})")):
                self._fail(error)
                return
            try:
                self._write_rows()
            except FAILURES as again:
                self._fail(again)
                return
        self._waiting.clear()
        self._used.clear()
        self._next = time.monotonic() + max(PAUSE_SECONDS, PAUSE_RATIO * (time.monotonic() - start))

    def _write_rows(self) -> None:
        database, today = self._database, time.strftime("%Y-%m-%d")
        assert database is not None
        with transaction(database):
            if self._last is not None and has_lost(database, *self._last):
                self._waiting = self._own | self._waiting
                self._say(f"the store {self.path} {MOVED}{THERE}")
            ids = {key: context_id(database, key, today) for key in self._used | {key for key, _ in self._waiting}}
            for place, row in self._waiting.items():
                how = "INSERT OR REPLACE " if place in self._damaged else "INSERT OR IGNORE "
                database.execute(how + ADD, (ids[row[0]], *row[1:], checksum(row)))
        for key, arch in list(self._waiting)[-1:]:
            self._last = ids[key], key, arch

    def _open(self) -> None:
        assert self.path is not None
        self._database = connect(self.path, self.create)
        place = self.path.stat()
        self._place = place.st_dev, place.st_ino

    def _is_elsewhere(self) -> bool:
        """Whether the file that is open is no longer the one at its path."""
        assert self.path is not None
        try:
            place = self.path.stat()
        except OSError:
            return True
        return (place.st_dev, place.st_ino) != self._place

    def _reopen(self, why: str) -> bool:
        """Opens the file now at the path, and writes all scores of this run to it again; False where that fails, with a
        warning, or was done too often."""
        self._close()
        self._last = None
        self._reopened += why != MOVED
        if self._reopened > MAX_REOPENED:
            self._waiting.clear()
            return False
        for attempt in range(1, MAX_REOPENED + 1):
            try:
                self._open()
            except UsageError as error:
                if attempt == MAX_REOPENED or isinstance(error, Locked):
                    self._say(f"{error}{WITHOUT}")
                    self._waiting.clear()
                    return False
                time.sleep(0.05 * attempt)
            else:
                break
        self._waiting = self._own | self._waiting
        self._say(f"the store {self.path} {why}{THERE}")
        return True

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None

    def _fail(self, error: Exception) -> None:
        self._close()
        self._waiting.clear()
        if not any(sentence.endswith(WITHOUT) for sentence in self._said):
            self._say(f"the store {self.path} failed ({error}){WITHOUT}")

    def _say(self, sentence: str) -> None:
        """Warns, with each sentence once."""
        if sentence not in self._said:
            self._said.add(sentence)
            warnings.warn(sentence, stacklevel=3)


def sound(row: Sequence[Any]) -> bool:
    """Whether (value, status, reason, seconds) are as the store writes them: files may be from others."""
    value, status, reason, seconds = row
    numbers = (value, seconds) if status == "ok" else (seconds,)
    return (
        all(isinstance(number, float) and isfinite(number) for number in numbers)
        and seconds >= 0
        and (status == "ok" or value is None)
        and isinstance(reason, str)
        and status in KEPT
    )


@final
class StoreShelf:
    """The scores of one space with its options, on one minibatch, with one seed, precision and kind of device."""

    def __init__(self, store: Store, measurer: Measurer, space: str, space_options: Mapping[str, Any]) -> None:
        self.store, self.space = store, measurer.space
        factory = version(SPACES[space])
        self._setting = {
            "space": space,
            "space_options": plain(space_options),
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
        """The notation, written once for look-ups by several proxies and the following put."""
        if self._last[0] != arch:
            self._last = arch, self.space.text(arch)
        return self._last[1]

    def key(self, arch: Arch, proxy: Proxy) -> str | None:
        """Everything that determines a score besides the architecture, as JSON; None where there is no source to tell
        versions apart."""
        maker = (proxy.setting, tuple(map(version, self.space.origins(arch))))
        if maker not in self._keys:
            self._keys[maker] = self._key(proxy, maker[1])
        return self._keys[maker]

    def _key(self, proxy: Proxy, origins: tuple[str | None, ...]) -> str | None:
        assert proxy.function is not None, "a combination has no value of its own"
        key = self._setting | {
            "origins": list(origins),
            "proxy": proxy.name,
            "proxy_options": plain(proxy.every_option),
            "proxy_version": version(proxy.function),
        }
        return None if None in (key["space_version"], key["proxy_version"], *origins) else as_text(key)


FIELDS: dict[str, type] = {
    "space": str, "space_options": dict, "space_version": str, "origins": list, "task": list, "proxy": str,
    "proxy_options": dict, "proxy_version": str, "minibatch": str, "seed": int, "precision": str, "device": str,
    "engine": int, "torch": str,
}  # fmt: skip
"""The fields of a key."""


def as_text(key: Mapping[str, Any]) -> str:
    """A key as it is in the file: equal keys are equal texts."""
    return json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options as values of JSON; what JSON cannot express as its ``repr``."""
    return {name: json.loads(json.dumps(value, default=repr)) for name, value in values.items()}


def torch_release() -> str:
    """Torch's version without its last part: how it draws weights may change from one release to the next."""
    return ".".join(torch.__version__.split(".")[:2])
