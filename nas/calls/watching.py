"""Progress: a bar in a terminal and in a notebook, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from nas.scoring.scorer import Watch

SECONDS = 10.0
"""Between two lines of progress where there is neither a terminal nor a notebook."""

Given = ParamSpec("Given")
Result = TypeVar("Result")


def in_notebook() -> bool:
    """Whether this process is the kernel of a Jupyter notebook."""
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter


def shown_in_notebooks(what: str) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Gives a call that takes a ``watch`` a bar in a notebook, where none is handed over; ``what`` is written before
    it."""

    def decorate(call: Callable[Given, Result]) -> Callable[Given, Result]:
        @wraps(call)
        def watched(*given: Given.args, **named: Given.kwargs) -> Result:
            if named.get("watch") is not None or not in_notebook():
                return call(*given, **named)
            with progress(what, quiet=False) as watch:
                named["watch"] = watch
                return call(*given, **named)

        return watched

    return decorate


@contextmanager
def progress(what: str, quiet: bool) -> Iterator[Watch]:
    """A watch that shows how far it is, at which rate, and for how much longer."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    start = time.perf_counter()
    console = Console() if in_notebook() else Console(stderr=True)
    if quiet or not (console.is_terminal or console.is_jupyter):
        yield _silent if quiet else _lines(what, start)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
               TimeRemainingColumn(), TextColumn("{task.fields[note]}"))  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None, rate="", note="")

        def advance(done: int, total: int, note: str) -> None:
            bar.update(task, completed=done, total=total, note=note, rate=_rate(done, start))

        yield advance


def _silent(done: int, total: int, note: str) -> None:
    """Shows nothing."""


def _lines(what: str, start: float) -> Watch:
    last = start

    def line(done: int, total: int, note: str) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= SECONDS:
            last = now
            parts = [f"{what}: {done} of {total}", _rate(done, start), *([note] if note else [])]
            print(", ".join(parts), file=sys.stderr, flush=True)

    return line


def _rate(done: int, start: float) -> str:
    return f"{done / max(time.perf_counter() - start, 1e-9):.1f}/s"
