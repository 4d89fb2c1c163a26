"""The lock of a run folder: one run at a time writes there, even if the lock's file is removed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

from nas.errors import UsageError

try:
    import fcntl
except ImportError:  # not a POSIX system: no locks of this kind
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
UNSUPPORTED = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


class FolderLock:
    """A lock that lasts until it is closed or the process ends, however it ends.

    Two things are locked. The folder itself cannot be removed while it holds files, so no other process of this machine
    gets in. The file ``.lock`` in it keeps out other machines on a network file system, where locks on folders do not
    reach them; as the file can be removed, `check` makes sure that it is still the one that was locked.

    Raises:
        UsageError: another run is writing there.
        OSError: nothing may be written there.
    """

    def __init__(self, folder: Path, option: str = "--run") -> None:
        self._folder, self._option = folder, option  # the option names the folder on the command line
        self._open: list[int] = []
        try:
            self._lock_folder()
            self._file = self._lock_file()
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Locks ``.lock`` again where it was removed or replaced; `UsageError` where another run has done so first."""
        try:
            if os.path.samestat(os.fstat(self._file), os.stat(self._folder / LOCK)):
                return
        except FileNotFoundError:
            pass
        self._file = self._lock_file()

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())

    def _lock_folder(self) -> None:
        if os.name != "posix":
            return
        self._open.append(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY))
        self._lock(self._open[-1])

    def _lock_file(self) -> int:
        path = self._folder / LOCK
        while True:
            if path.exists() and not stat.S_ISREG(path.stat().st_mode):
                raise UsageError(f"{path} is not a file: remove it")
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            self._open.append(descriptor)
            self._lock(descriptor)
            try:
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return descriptor
            except FileNotFoundError:  # removed between opening and locking
                continue

    def _lock(self, descriptor: int) -> None:
        lock: Any = fcntl
        if lock is None:
            return
        try:
            lock.flock(descriptor, lock.LOCK_EX | lock.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another run is writing to {self._folder}: wait for it, or give another folder with {self._option}"
            ) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
