"""Keeps the memory of one network's activations for the next one's, and gives it back."""

from __future__ import annotations

import ctypes
import gc
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def tune_process() -> None:
    """Prepares a process for scoring, once, after its plug-ins are imported: it keeps freed memory, and exempts the
    objects made so far, mostly modules, from garbage collection, since scanning all of torch again and again takes long
    compared with building a network."""
    keep_freed_memory()
    if not gc.get_freeze_count():
        gc.freeze()


def keep_freed_memory() -> None:
    """Asks glibc to hold on to freed memory instead of returning it to the system.

    Probing frees hundreds of megabytes of activations and needs them again a moment later. If they are returned and
    requested again, the system zeroes every page each time, which can cost half as much as the pass itself. Does
    nothing where the C library has no `mallopt`.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_THRESHOLD, 32 * 2**20)  # the largest value that glibc takes


def return_freed_memory() -> None:
    """Gives the freed memory that glibc holds on to back to the system; nothing where there is no `malloc_trim`."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
