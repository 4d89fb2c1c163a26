"""The folder of a run: its settings, its trials as they happen, its result."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import yaml

from nas.errors import UsageError


class RunFolder:
    """A folder that one run at a time writes to, and that a later run with the same settings continues.

    Opening it writes ``config.yaml``, or only compares with the one that is there. Use it as a context manager.

    Args:
        path: created where it does not exist.
        config: everything that determines the run.
        free: settings that may differ from those recorded.
        normalised: makes recorded settings comparable with ``config``.
        option: what names the folder on the command line.

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
    ) -> None:
        self.path, self._option = path, option
        try:
            path.mkdir(parents=True, exist_ok=True)
            others = sorted(entry.name for entry in path.iterdir() if entry.name not in OURS)
        except OSError as error:
            raise UsageError(f"run folder {path} cannot be made: {error.strerror}") from None
        if others and "config.yaml" not in others:
            raise UsageError(f"{path} is no run folder: it has no config.yaml, but {others[0]}")
        self._lock = _lock(path, option)
        try:
            with _writing(path):
                self._settle(dict(config), set(free), normalised)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.close()
        if isinstance(error, OSError):
            with _writing(self.path):
                raise error

    def whole_lines(self, name: str) -> list[str]:
        """The lines of a file that was appended to; a last one that was cut off in writing is removed from the file."""
        path = self.path / name
        if not path.exists():
            return []
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        try:
            return whole.decode().splitlines()
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is damaged: {error}") from None

    def records(self, name: str) -> list[dict[str, Any]]:
        """The records of a ``.jsonl`` file."""
        records = []
        for number, line in enumerate(self.whole_lines(name), start=1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{self.path / name}: line {number} is damaged: {error}") from None
            if not isinstance(record, dict):
                raise UsageError(f"{self.path / name}: line {number} is damaged: it holds {line[:200]!r}")
            records.append(record)
        return records

    def appender(self, name: str) -> IO[str]:
        """A file to append to."""
        return (self.path / name).open("a", encoding="utf-8", newline="")

    def _settle(
        self, config: dict[str, Any], free: set[str], normalised: Callable[[Mapping[str, Any]], dict[str, Any]]
    ) -> None:
        path = self.path / "config.yaml"
        if path.exists():
            recorded = normalised(read_yaml(path))
            for key in [*config, *recorded]:
                if key not in free and config.get(key) != recorded.get(key):
                    raise UsageError(
                        f"{self.path} holds a run with {key} {recorded.get(key)!r}, not {config.get(key)!r}: give "
                        f"another folder with {self._option}"
                    )
        else:
            write_yaml(path, config)


def read_lines(path: Path) -> list[str]:
    """The whole lines of a file that was appended to; `UsageError` where it cannot be read."""
    try:
        content = path.read_bytes()
        return content[: content.rfind(b"\n") + 1].decode().splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is damaged: {error}") from None


UNWRITABLE = {getattr(errno, name) for name in ("ENOSPC", "EFBIG", "EDQUOT", "EROFS", "EIO") if hasattr(errno, name)}


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Within it, a disk that is full, or takes no more for another reason, is a `UsageError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise UsageError(
            f"{path} cannot be written ({error.strerror}): what is recorded there stays, and the same command "
            "continues it when there is room"
        ) from error


LOCK = ".lock"
OURS = (LOCK, "config.yaml.new")
"""What a run that was killed before its first settings were written leaves behind."""


def _lock(path: Path, option: str) -> IO[str]:
    """A lock that lasts until it is closed or the process ends, however it ends."""
    lock = (path / LOCK).open("w")
    try:
        import fcntl
    except ImportError:  # not a POSIX system: no lock of this kind
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise UsageError(
            f"another run is writing to {path}: wait for it, or give another folder with {option}"
        ) from None
    return lock


def write_line(file: IO[str], record: Mapping[str, Any]) -> None:
    """Appends a record as one line and hands it to the system."""
    file.write(json.dumps(record, allow_nan=False) + "\n")
    file.flush()


def write_yaml(path: Path, value: Any) -> None:
    """Writes ``value`` as YAML, as `write_text` does."""
    write_text(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def write_text(path: Path, text: str) -> None:
    """Writes through a second file, so that what was there stays whole until the new one is."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; `UsageError` for anything else."""
    try:
        value = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not whole YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} must hold settings as 'name: value' lines, not {type(value).__name__}")
    return value


MAX_YAML_VALUES = 100_000
"""Values in one YAML document; aliases within aliases can stand for more than any memory holds."""


def load_yaml(text: str) -> Any:
    """The value of a YAML document, of plain data; `ValueError` where it is none, or would be boundless."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, LookupError, AttributeError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(str(error) or type(error).__name__) from None
    waiting, count = [value], 0
    while waiting:
        part, count = waiting.pop(), count + 1
        if count > MAX_YAML_VALUES:
            raise ValueError(f"it stands for more than {MAX_YAML_VALUES:,} values")
        if isinstance(part, dict | list | set | tuple):
            waiting += [*part, *part.values()] if isinstance(part, dict) else part
    return value


def default_run(command: str, config: Mapping[str, Any]) -> Path:
    """The run folder of these settings where none is named: the same settings, the same folder."""
    if config.get("plugin"):
        config = {**config, "plugin_source": plugin_source(config["plugin"])}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:8]
    label = "-".join(str(config[key]) for key in ("space", "proxy", "searcher", "target") if key in config)
    return Path("runs") / f"{command}-{re.sub('[+/]', '_', label)}-{digest}"


def plugin_source(files: Sequence[str | Path]) -> str:
    """A digest of what stands in plug-in files, so that a run with another version of one is another run."""
    digest = hashlib.sha256()
    for file in map(Path, files):
        path = file.expanduser()
        digest.update(path.read_bytes() if path.is_file() else b"")  # what is missing is refused where it is loaded
    return digest.hexdigest()[:16]
