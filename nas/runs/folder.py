"""The folder of a run: its settings, its trials as they happen, its result."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from nas.errors import UsageError
from nas.files import write_file
from nas.runs.lock import LOCK, FolderLock
from nas.runs.made import MADE
from nas.runs.records import Appender, parse_record, read_lines, say_what_was_cut
from nas.runs.yaml_file import load_yaml as load_yaml  # what others know from here
from nas.runs.yaml_file import read_yaml as read_yaml
from nas.runs.yaml_file import yaml_text
from nas.scoring.objective import REFERENCE

CONFIG = "config.yaml"
RECORDS = (
    "trials.jsonl", "reference.jsonl", "random.jsonl", "machine.jsonl", "scores.csv", "archs.jsonl",
    "evaluations.jsonl",
)  # fmt: skip
"""Files of measurements and decisions; all others in a folder are derived from them."""
DERIVED = (
    "best.yaml", "front.csv", "report.html", "correlations.csv", "pairs.csv", "selection.csv", "targets.csv",
    "table.csv", "groups.csv", "agreement.csv", "verdict.yaml", "evaluations.csv",
)  # fmt: skip
NETWORKS = "networks"
"""The folder within a run's own of the networks that it trains, a run of `nas.train`."""
SINCE = ("versions", "plugin_source")
"""Settings that folders of earlier versions may lack, and that are not compared then. They stand first in the file, so
that one that was cut short lacks others, which are compared."""


UNRECORDED = {REFERENCE: "1"}
"""The versions of what folders of earlier versions did not record."""


class RunFolder:
    """A folder that one run at a time writes to, and that a later run with the same settings continues.

    Opening it writes ``config.yaml``, or only compares with the one that is there. Use it as a context manager. A
    folder in which nothing may be written, such as another user's or one on a read-only disk, is opened for reading:
    adding something to it is an error.

    Args:
        path: created where it does not exist.
        config: everything that determines the run.
        free: settings that may differ from those recorded.
        normalised: makes recorded settings comparable with ``config``.
        option: the one that names the folder on the command line.
        compares: whether some records are measured again where nothing says what they were measured with.
        made: what makes the records that are added now, see `nas.runs.made.made_here`.

    Attributes:
        unsure: ``config.yaml`` is missing, so that nothing says what the records were measured with; it is written by
            `settle`, after they have been compared.

    Raises:
        UsageError: another run is writing to it, it holds a run with other settings, or it is no run folder.
    """

    def __init__(
        self,
        path: Path,
        config: Mapping[str, Any],
        free: Iterable[str] = (),
        normalised: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
        option: str = "--run",
        *,
        compares: bool = True,
        made: Mapping[str, str] | None = None,
    ) -> None:
        self.path, self._option, self._compares = path, option, compares
        self._made = made
        self._why_not = ""
        self.unsure = _prepared(path)
        if self.unsure and not compares:
            raise UsageError(
                f"{path} has no {CONFIG}, which says what it holds was made with: give another folder with {option}"
            )
        self._lock = self._locked()
        try:
            with _writing(path):
                self._settle(dict(config), set(free), normalised)
        except BaseException:
            self._unlock()
            raise

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._unlock()
        if isinstance(error, OSError):
            with _writing(self.path):
                raise error

    def records(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """The records of a ``.jsonl`` file, each with its place there."""
        path = self.path / name
        return [(f"{path}: line {number}", parse_record(path, number, text)) for number, text in self.lines(name)]

    def lines(self, name: str) -> list[tuple[int, str]]:
        """The lines of a file that was appended to, with their numbers; a last one that was not written to its end is
        removed from the file."""
        path = self.path / name
        lines, whole, cut = read_lines(path)
        if cut:
            say_what_was_cut(path, cut)
            if self._lock is not None:
                with path.open("r+b") as file:
                    file.truncate(whole)
        return lines

    def appender(self, name: str) -> Appender:
        """A context manager that adds lines to a file."""
        return Appender(self.path / name, self.note_made)

    @property
    def made(self) -> list[dict[str, Any]]:
        """What made the records, one entry for each machine or version that it was continued with."""
        return [record for _, record in self.records(MADE)]

    def note_made(self) -> None:
        """Writes down what makes records from here on, where it does not stand there yet; `UsageError` where nothing
        may be written in the folder."""
        self._check_writable()
        made, self._made = self._made, None
        if made is not None and dict(made) not in self.made:
            with Appender(self.path / MADE, self._check_writable) as file:
                file.add_record(made)

    def write(self, name: str, text: str) -> None:
        """Writes a file that is derived from the records; one that is the same already is left alone. Warns where
        nothing may be written in the folder."""
        path, content = self.path / name, text.encode()
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return
        if self._lock is None:
            warnings.warn(f"{path} cannot be written ({self._why_not}): it is left as it is", stacklevel=2)
            return
        self._check_writable()
        write_file(path, content)

    def write_yaml(self, name: str, value: Any) -> None:
        """Writes ``value`` as YAML, as `write` does."""
        self.write(name, yaml_text(value))

    def settle(self, config: Mapping[str, Any]) -> None:
        """Writes the settings, after the records have been read; a file with the same settings is left alone. They
        differ only where the budget has grown or an earlier version wrote them."""
        path = self.path / CONFIG
        recorded = read_yaml(path) if path.exists() else {}
        settled = recorded | dict(config)
        if isinstance(versions := recorded.get("versions"), dict):  # those of earlier commands too
            self._check_versions(versions, settled["versions"])
            settled["versions"] = versions | settled["versions"]
        if recorded != settled and self._lock is not None:
            self._write_settings(settled)

    def _write_settings(self, config: Mapping[str, Any]) -> None:
        self.write_yaml(CONFIG, {key: config[key] for key in SINCE if key in config} | dict(config))

    def _check_versions(self, recorded: Any, now: Mapping[str, str]) -> None:
        if name := changed_version(recorded, now):
            raise UsageError(
                f"{self.path} holds a run with another version of {name}, which is not mixed with this one: give "
                f"another folder with {self._option}"
            )

    def _locked(self) -> FolderLock | None:
        try:
            return FolderLock(self.path, self._option)
        except OSError as error:
            if error.errno not in READ_ONLY or not (self.path / CONFIG).is_file():
                raise UsageError(f"run folder {self.path} cannot be made: {error.strerror}") from None
            self._why_not = str(error.strerror)
            return None

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def _check_writable(self) -> None:
        if self._lock is None:
            raise UsageError(
                f"{self.path} holds a run that is not finished, and cannot be written ({self._why_not}): copy it, and "
                f"name the copy with {self._option}"
            )
        self._lock.check()

    def _settle(
        self, config: dict[str, Any], free: set[str], normalised: Callable[[Mapping[str, Any]], dict[str, Any]]
    ) -> None:
        path = self.path / CONFIG
        if not path.exists():
            if not self.unsure:
                self._write_settings(config)
            return
        try:
            recorded = normalised(read_yaml(path))
        except UsageError as error:
            advice = f"give another folder with {self._option}"
            if self._compares:
                advice = (
                    f"if the records beside it are from this very command, remove {CONFIG} and give the command "
                    f"again, which then measures some of them again to compare; else {advice}"
                )
            raise UsageError(f"{error}: {advice}") from None
        for key in [*config, *recorded]:
            if key in free or (key in SINCE and (key not in recorded or key not in config)):
                continue
            if key == "versions":
                self._check_versions(recorded[key], config[key])
            elif config.get(key) != recorded.get(key):
                raise UsageError(
                    f"{self.path} holds a run with {key} {recorded.get(key)!r}, not {config.get(key)!r}: give "
                    f"another folder with {self._option}"
                )


def _prepared(path: Path) -> bool:
    """Makes the folder, and returns whether it holds records without the settings that they were measured with.

    Raises:
        UsageError: it cannot be made, or is not a run folder.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise UsageError(f"run folder {path} cannot be made: {error.strerror}") from None
    if CONFIG in names:
        return False
    own = {LOCK, NETWORKS, MADE, *RECORDS, *DERIVED}
    if others := sorted(name for name in names - own if name.removesuffix(".new") not in {CONFIG, *own}):
        raise UsageError(f"{path} is no run folder: it has no {CONFIG}, but {others[0]}")
    return bool(names & set(RECORDS))


def changed_version(recorded: Any, now: Mapping[str, str]) -> str | None:
    """The first thing behind the scores whose version has changed; what was not recorded is not compared, but for what
    is known to have been of another version then."""
    before = UNRECORDED | dict(recorded if isinstance(recorded, Mapping) else {})
    return next((name for name, version in now.items() if name in before and before[name] != version), None)


READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
UNWRITABLE = {getattr(errno, name) for name in ("ENOSPC", "EFBIG", "EDQUOT", "EROFS", "EIO") if hasattr(errno, name)}


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """A context in which a disk that is full, or cannot be written for another reason, is a `UsageError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise UsageError(
            f"{path} cannot be written ({error.strerror}): what is recorded there stays, and the same command "
            "continues it when there is room"
        ) from error


MAX_LABEL_BYTES = 150
"""Bytes of the readable part of a folder's name, so that it stays valid; the digest after it tells runs apart."""


def default_run(command: str, config: Mapping[str, Any], versions: Mapping[str, str] | None = None) -> Path:
    """The run folder for these settings where none is named: the same settings, the same folder; if that holds a run of
    other ``versions``, another one beside it."""
    if config.get("plugin"):
        config = {**config, "plugin_source": plugin_source(config["plugin"])}
    digest = _digest(config)
    label = "-".join(str(config[key]) for key in ("space", "proxy", "searcher", "target") if key in config)
    name = re.sub(r"[+/\\\0]", "_", label).encode(errors="replace")[:MAX_LABEL_BYTES].decode(errors="ignore")
    path = Path("runs") / f"{command}-{name}-{digest}"
    if versions and (path / CONFIG).is_file() and changed_version(read_yaml(path / CONFIG).get("versions"), versions):
        return path.with_name(f"{path.name}-{_digest(versions)}")
    return path


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:8]


def plugin_source(files: Sequence[str | Path]) -> str:
    """A digest of plug-in files, so that a run with another version of one is another run."""
    digest = hashlib.sha256()
    for file in map(Path, files):
        path = file.expanduser()
        digest.update(path.read_bytes() if path.is_file() else b"")  # a missing file is refused where it is loaded
    return digest.hexdigest()[:16]
