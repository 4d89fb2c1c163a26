"""A plug-in for the tests of faults: a proxy that does what proxies must not, on a third of the networks."""

import os
import signal
import time
from pathlib import Path

import torch

from nas.probe import Probe
from nas.proxy import proxy


def once(mark: str) -> bool:
    """Whether this is the first call, of all processes, with this file."""
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def use_up_memory() -> None:
    torch.empty(2**50)


FAULTS = {
    "raises": lambda: 1 / 0,
    "hangs": lambda: time.sleep(600),
    "dies": die,
    "memory": use_up_memory,
    "nan": lambda: float("nan"),
    "complex": lambda: 1j,
    "shape": lambda: torch.ones(2, 3),
}


@proxy("faulty", larger_is_better=True)
def faulty(probe: Probe, *, fault: str = "", mark: str = "", pause: float = 0.0) -> float:
    """The parameters. With a ``fault``, that instead on a third of the networks; with a ``mark``, only the first time.
    ``pause`` seconds are slept in any case."""
    time.sleep(pause)
    if fault and probe.params % 3 == 0 and (not mark or once(mark)):
        return FAULTS[fault]()
    return probe.params
