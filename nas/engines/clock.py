"""A clock for time limits, which counts only while this process runs."""

from __future__ import annotations

import time

POLL = 0.2
"""Seconds between two readings of the clock while something has a time limit."""


class RunningClock:
    """Seconds since it was made, without those during which the process was stopped or the machine slept: the time
    between two readings counts for `POLL` at most. So it is right if it is read that often, and slow if not."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._seconds = 0.0

    def __call__(self) -> float:
        now = time.monotonic()
        self._seconds += min(now - self._last, POLL)
        self._last = now
        return self._seconds
