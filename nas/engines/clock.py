"""Time as a time limit counts it: only while this process runs."""

from __future__ import annotations

import time

POLL = 0.2
"""Seconds between two looks at the clock while something has a time limit."""


class RunningClock:
    """Seconds since it was made, but for those during which the process was stopped, or the machine slept: a step
    between two looks counts `POLL` at most. So it goes right where it is looked at that often, and late where not."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._seconds = 0.0

    def __call__(self) -> float:
        now = time.monotonic()
        self._seconds += min(now - self._last, POLL)
        self._last = now
        return self._seconds
