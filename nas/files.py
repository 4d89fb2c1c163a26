"""Reading and writing files: only regular files are read, and what is written appears once it is complete.

A file that the user did not write may name code. `only_data` marks what is read as coming from such a file, and
`check_may_run` is called before any code is run.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

from nas.errors import UsageError

__all__ = ["check_file", "check_may_run", "open_file", "read_file", "replacing", "trusting", "write_file"]

KINDS: dict[str, Callable[[int], bool]] = {
    "a folder": stat.S_ISDIR, "a named pipe": stat.S_ISFIFO, "a device": stat.S_ISCHR, "a disk": stat.S_ISBLK,
    "a socket": stat.S_ISSOCK,
}  # fmt: skip
"""Things that are not files: reading one may block for ever, or never end; writing to one may do anything."""

AnyPath = str | os.PathLike[str]


def kind_of(mode: int) -> str | None:
    """The kind of thing with this mode, with its article; None for a file."""
    if stat.S_ISREG(mode):
        return None
    return next((name for name, is_one in KINDS.items() if is_one(mode)), "something else")


def open_file(path: AnyPath, buffering: int = -1) -> BinaryIO:
    """A file opened for reading, in pieces of ``buffering`` bytes.

    Raises:
        OSError: it cannot be opened, or is not a file; ``strerror`` says why.
    """
    check_kind(path, _stat(path).st_mode)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        check_kind(path, os.fstat(descriptor).st_mode)  # it may have been replaced since
        return os.fdopen(descriptor, "rb", buffering=buffering)
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: AnyPath, most: int) -> bytes:
    """The content of a file of at most ``most`` bytes; `OSError` as for `open_file`, and where there are more."""
    with open_file(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", os.fspath(path))
    return content


def check_file(path: Path, what: str) -> None:
    """`UsageError` unless ``path``, which the message calls ``what``, is a file that exists."""
    try:
        kind = kind_of(_stat(path).st_mode)
    except FileNotFoundError:
        raise UsageError(f"{what} {path} does not exist") from None
    except OSError as error:
        raise UsageError(f"{what} {path} cannot be read: {error.strerror}") from None
    if kind is not None:
        raise UsageError(f"{what} {path} is not a file but {kind}")


def check_writable(path: Path) -> None:
    """`UsageError` where ``path`` cannot be written as a file, before anything is computed for it."""
    try:
        kind = kind_of(_stat(path).st_mode)
        exists = True
    except FileNotFoundError:
        kind, exists = None, False
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    folder = path.absolute().parent
    if kind is not None:
        reason = f"it is {kind}"
    elif not folder.is_dir():
        reason = f"no folder {path.parent}"
    elif exists and not os.access(path, os.W_OK):
        reason = "no permission to write it"
    elif not os.access(folder, os.W_OK):
        reason = f"no permission to write to the folder {folder}"
    else:
        return
    raise UsageError(f"{path} cannot be written: {reason}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path``, with the same suffix: at the end of the context it replaces ``path``, or is
    removed after an error. The old file stays intact until then."""
    _check_place(path)
    target = Path(os.path.realpath(path))  # a link stays a link
    temporary = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        yield temporary
        _put_in_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_file(path: Path, content: bytes) -> None:
    """Writes a file that appears, or is replaced, once it is complete and on the disk, by way of ``NAME.new``.

    If two processes write the same file this way, one may fail: they need a lock, or `replacing`.
    """
    _check_place(path)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)  # left by a run that was killed, or a link that somebody planted
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    _put_in_place(temporary, path)


def _check_place(path: Path) -> None:
    if os.path.lexists(path):
        check_kind(path, _stat(path).st_mode)


def _put_in_place(temporary: Path, path: Path) -> None:
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flushes to the disk which files are in a folder, on systems that can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _stat(path: AnyPath) -> os.stat_result:
    try:
        return os.stat(path)
    except ValueError as error:  # a zero byte in its name
        raise OSError(errno.EINVAL, f"its name is not one of a file: {error}", os.fspath(path)) from None


def check_kind(path: AnyPath, mode: int) -> None:
    """`OSError` unless this is the mode of a file."""
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if kind := kind_of(mode):
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", os.fspath(path))


_source: ContextVar[str | None] = ContextVar("source", default=None)
_trusted: ContextVar[bool] = ContextVar("trusted", default=False)


@contextmanager
def only_data(source: object) -> Iterator[None]:
    """A context in which everything is read from the file ``source``: no code that it names is run."""
    token = _source.set(str(source))
    try:
        yield
    finally:
        _source.reset(token)


@contextmanager
def trusting(trust: bool = True) -> Iterator[None]:
    """A context in which files may name code that is run: the user knows where they come from."""
    token = _trusted.set(trust)
    try:
        yield
    finally:
        _trusted.reset(token)


def check_may_run(file: object) -> None:
    """`UsageError` where a file that is only data names ``file``, whose code would run."""
    source = _source.get()
    if source is not None and not _trusted.get():
        raise UsageError(
            f"{source} names {file}, whose code would run: name {file} yourself, or say with --trust (in Python: with "
            "nas.files.trusting()) that files may do so"
        )
