"""Child processes: started without this one's signals, ended with it, and how one of them ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker


def end_with_parent() -> None:
    """Makes this process, if it is a worker, end with its parent. A worker whose parent was killed would otherwise
    finish its job, or hang for ever with it."""
    threading.Thread(target=_wait_and_end, daemon=True).start()


def end_with(home: tuple[str, int]) -> None:
    """Makes this process, on whatever machine, end when the process that listens at ``home`` ends: it holds a
    connection open, which the other's system closes then. Where none can be made, it goes on without."""
    try:
        connection = socket.create_connection(home, timeout=10)
    except OSError:
        return
    connection.settimeout(None)
    threading.Thread(target=_hold_and_end, args=(connection,), daemon=True).start()


def _hold_and_end(connection: socket.socket) -> None:
    with suppress(OSError):  # the connection was reset, as by a process that ended before it accepted it
        connection.recv(1)
    os._exit(1)


def _wait_and_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A context in which Ctrl-C and SIGHUP wait; threads and processes that are started in it never receive them: the
    main process ends its workers itself."""
    if not hasattr(signal, "pthread_sigmask"):  # not a POSIX system
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    resource_tracker.ensure_running()  # starting it would let Ctrl-C through again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def how_it_ended(code: int) -> str:
    """What a process's exit code says about its end."""
    if code >= 0:
        return f"exit code {code}"
    why = ", perhaps out of memory" if -code == getattr(signal, "SIGKILL", None) else ""
    return f"signal {-code}{why}"
