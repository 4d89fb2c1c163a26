"""Detects random numbers that are drawn while a network runs, by the states of their generators."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nas.passes.state import GENERATORS


class Draws:
    """The states of generators: torch's, NumPy's and Python's global ones, and ``others``."""

    def __init__(self, device: torch.device, others: Iterable[Any]) -> None:
        self._sources = [
            _Source(torch.default_generator.get_state, torch.default_generator.set_state),
            _Source(np.random.get_state, np.random.set_state),
            _Source(random.getstate, random.setstate),
            *({id(generator): _source(generator) for generator in others}.values()),
        ]
        if device.type not in ("cpu", "meta"):
            own = torch.get_device_module(device)
            self._sources.append(_Source(lambda: own.get_rng_state(device), lambda s: own.set_rng_state(s, device)))
        self._states = [source.read() for source in self._sources]

    def undo(self) -> bool:
        """Returns whether anything was drawn, and restores the states."""
        drawn = False
        for source, state in zip(self._sources, self._states, strict=True):
            if not _equal(source.read(), state):
                source.write(state)
                drawn = True
        return drawn


def generators_of_files(net: nn.Module) -> list[Any]:
    """Generators that are global in the files that define the modules of ``net``."""
    files = {type(module).__module__ for module in net.modules()}
    namespaces = [vars(sys.modules[file]) for file in files if not file.startswith("torch.") and file in sys.modules]
    return [value for names in namespaces for value in names.values() if isinstance(value, GENERATORS)]


class _Source(NamedTuple):
    """Reads and writes the state of a generator."""

    read: Callable[[], Any]
    write: Callable[[Any], object]


def _source(generator: Any) -> _Source:
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        return _Source(lambda: bits.state, lambda state: setattr(bits, "state", state))
    if isinstance(generator, random.Random):
        return _Source(generator.getstate, generator.setstate)
    return _Source(generator.get_state, generator.set_state)


def _equal(a: Any, b: Any) -> bool:
    """Whether two states of one generator are the same."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, tuple) and not isinstance(a[0], int):
        return all(map(_equal, a, b))
    return bool(a == b)
