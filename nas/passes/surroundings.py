"""Process-wide settings that a plug-in's code may change, restored when it has run.

A proxy or the code that builds a network may be anybody's. Whatever it changes, torch's modes, random generators,
signal handlers, the working directory, must not affect what runs after it; and whatever it raises, even `SystemExit`,
is a failure of its own and no reason to end the run, unless the user has pressed Ctrl-C.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import overrides
from torch.nn.modules import module as modules
from torch.utils import _python_dispatch as dispatch

from nas.passes.initialisation import seeded

Setting = tuple[Callable[[], Any], Callable[[Any], object]]
"""A function that reads a setting, and one that restores it."""


def _attribute(owner: Any, name: str) -> Setting:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _copied(values: Any) -> Setting:
    """A dictionary or list that is restored in place, since others refer to it."""

    def put(before: Any) -> None:
        values.clear()
        values.update(before) if hasattr(values, "update") else values.extend(before)

    return values.copy, put


def _autocast_depth() -> int:
    """How many contexts of autocast are entered."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


def _put_autocast_depth(before: int) -> None:
    """Leaves contexts of autocast that were entered and never left, which would keep weights in lower precision, as
    they once were, for all contexts within."""
    surplus = _autocast_depth() - before
    for _ in range(abs(surplus)):
        (torch.autocast_decrement_nesting if surplus > 0 else torch.autocast_increment_nesting)()
    torch.clear_autocast_cache()


TORCH_MODES: tuple[Setting, ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (lambda: torch.is_autocast_enabled("cpu"), lambda value: torch.set_autocast_enabled("cpu", value)),
    (lambda: torch.is_autocast_enabled("cuda"), lambda value: torch.set_autocast_enabled("cuda", value)),
    (lambda: torch.get_autocast_dtype("cpu"), lambda value: torch.set_autocast_dtype("cpu", value)),
    (lambda: torch.get_autocast_dtype("cuda"), lambda value: torch.set_autocast_dtype("cuda", value)),
    (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    (_autocast_depth, _put_autocast_depth),
    *(_attribute(torch.backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic")),
    *(
        _copied(getattr(modules, f"_global_{kind}_hooks"))
        for kind in ("forward", "forward_pre", "backward", "backward_pre")
    ),
)
"""Torch's modes, except autograd's, which its own context managers restore; see `modes_put_back`."""


MODE_STACKS: tuple[tuple[Callable[[], int], Callable[[], object]], ...] = (
    (overrides._len_torch_function_stack, overrides._pop_mode),  # type: ignore[attr-defined]
    (dispatch._len_torch_dispatch_stack, dispatch._pop_mode),  # type: ignore[attr-defined]
)
"""The depth of the stacks of modes that intercept torch's functions and operators, and how one is popped."""


def _directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed; there is none to go back to
        return ""


def _put_directory(path: str) -> None:
    if path:
        os.chdir(path)


SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGPIPE", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)


def _handlers() -> dict[signal.Signals, Any]:
    """The signal handlers that were set from Python, which only the main thread may change."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: handler for number, handler in handlers.items() if handler is not None}


def _put_handlers(before: dict[signal.Signals, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)


def _put_filters(before: list[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters.extend(before)  # type: ignore[attr-defined]


PYTHON_MODES: tuple[Setting, ...] = (
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (np.geterr, lambda before: np.seterr(**before)),
    (lambda: list(warnings.filters), _put_filters),
    _attribute(warnings, "showwarning"),
)
PROCESS: tuple[Setting, ...] = (
    (_directory, _put_directory),
    _copied(os.environ),
    *(_attribute(sys, name) for name in ("stdin", "stdout", "stderr", "excepthook")),
    _copied(sys.path),
    (_handlers, _put_handlers),
    (lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0, lambda _: signal.setitimer(signal.ITIMER_REAL, 0)),
    (sys.getswitchinterval, sys.setswitchinterval),
    (sys.gettrace, sys.settrace),
    (sys.getprofile, sys.setprofile),
    (gc.isenabled, lambda enabled: gc.enable() if enabled else gc.disable()),
    (gc.get_threshold, lambda before: gc.set_threshold(*before)),
)


@contextmanager
def put_back() -> Iterator[None]:
    """A context after which the process, torch's modes and Python's and numpy's generators are as they were before."""
    numbers, numpy_numbers = random.getstate(), np.random.get_state()
    try:
        with _restored(PROCESS), modes_put_back():
            yield
    finally:
        random.setstate(numbers)
        np.random.set_state(numpy_numbers)


@contextmanager
def started(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """A context, used within `put_back`, in which torch's, numpy's and Python's generators start from ``seed``.

    Afterwards the modes are as they were, and torch's generators as if nothing had been drawn.
    """
    random.seed(seed)
    np.random.seed(seed)
    with seeded(seed, device), modes_put_back():
        yield


@contextmanager
def _restored(what: Iterable[Setting]) -> Iterator[None]:
    before = [(read, put, read()) for read, put in what]
    try:
        yield
    finally:
        for read, put, value in before:
            if read() != value:
                put(value)


@contextmanager
def modes_put_back() -> Iterator[None]:
    """A context after which the modes of torch, numpy and Python are as they were before it."""
    depths = [depth() for depth, _ in MODE_STACKS]
    gradients = torch.is_grad_enabled()
    try:
        with (
            _restored((*TORCH_MODES, *PYTHON_MODES)),
            torch.inference_mode(torch.is_inference_mode_enabled()),
            torch.set_grad_enabled(gradients),
        ):
            yield
    finally:
        for (depth, pop), before in zip(MODE_STACKS, depths, strict=True):
            while depth() > before:
                pop()


@contextmanager
def standard_modes() -> Iterator[None]:
    """A context with torch's standard modes: gradients are recorded, in float32, without autocast."""
    dtype = torch.get_default_dtype()
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        torch.set_default_dtype(torch.float32)
        try:
            if torch.is_autocast_enabled("cuda"):
                with torch.autocast("cuda", enabled=False):
                    yield
            else:
                yield
        finally:
            torch.set_default_dtype(dtype)


_arrived: list[list[int]] = []
"""The signals received in each `interrupts_noticed` that is entered."""


INTERRUPTS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that may interrupt a run; the last two only where they have a handler."""


@contextmanager
def interrupts_noticed() -> Iterator[None]:
    """A context in which `is_failure` tells a user's Ctrl-C from a `KeyboardInterrupt` that a plug-in raises itself."""
    signals: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    before = {kind: handler for kind in INTERRUPTS if main and callable(handler := signal.getsignal(kind))}

    def notice(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        before[number](number, frame)

    for kind in before:
        signal.signal(kind, notice)
    _arrived.append(signals)
    try:
        yield
    finally:
        _arrived.pop()
        for kind, handler in before.items():
            signal.signal(kind, handler)


def is_failure(error: BaseException) -> bool:
    """Whether what a plug-in raised is a failure of its own: any `Exception`, and within `interrupts_noticed` anything
    else (`SystemExit`, any `BaseException`) except the user's Ctrl-C."""
    return isinstance(error, Exception) or (bool(_arrived) and not any(_arrived))
