"""A time limit counts the time in which something ran."""

from nas.engines import clock as module
from nas.engines.clock import POLL, RunningClock


def test_a_stop_counts_one_poll_at_most(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    clock = RunningClock()
    for _ in range(10):
        now[0] += POLL / 2
        clock()
    assert abs(clock() - 5 * POLL) < 1e-9
    now[0] += 3600  # SIGSTOP, or a machine that slept
    assert abs(clock() - 6 * POLL) < 1e-9
    now[0] += POLL
    assert abs(clock() - 7 * POLL) < 1e-9
