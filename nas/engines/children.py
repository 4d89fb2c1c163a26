"""Processes that work for this one: begun without its signals, ended with it, and how one of them ended."""

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
    """Has this process, where it is a worker, end with its parent. A worker whose parent was killed would finish its
    job, and hang for ever where the job hangs."""
    threading.Thread(target=_wait_and_end, daemon=True).start()


def end_with(home: tuple[str, int]) -> None:
    """Has this process, on whatever machine, end when the process that listens at ``home`` ends: a connection to it is
    held open, which its system closes then. Where none can be made, this process goes on without."""
    try:
        connection = socket.create_connection(home, timeout=10)
    except OSError:
        return
    connection.settimeout(None)
    threading.Thread(target=_hold_and_end, args=(connection,), daemon=True).start()


def _hold_and_end(connection: socket.socket) -> None:
    with suppress(OSError):  # it is reset, as by the end of a process that never took the connection
        connection.recv(1)
    os._exit(1)


def _wait_and_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Within it Ctrl-C and SIGHUP wait, and what is started there, threads and their processes, is never told of them:
    the main process ends its workers itself."""
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
    """What the exit code of a process says."""
    if code >= 0:
        return f"exit code {code}"
    why = ", perhaps out of memory" if -code == getattr(signal, "SIGKILL", None) else ""
    return f"signal {-code}{why}"
