"""What the command line prints: progress, tables, reasons."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def progress(what: str, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar with rate and remaining time on standard error; nothing where that is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
               TimeRemainingColumn(), TextColumn("{task.fields[note]}"))  # fmt: skip
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None, rate="", note="")
        start = time.perf_counter()

        def advance(done: int, total: int, note: str) -> None:
            rate = f"{done / (time.perf_counter() - start):.1f}/s"
            bar.update(task, completed=done, total=total, note=note, rate=rate)

        yield advance


def print_frame(console: Console, frame: pd.DataFrame, title: str = "") -> None:
    """A table as plain text: numbers to the right, text to the left, no line broken, so that it can be copied."""
    if title:
        console.print(title, style="bold", soft_wrap=True, markup=False)
    columns = []
    for name in frame:
        cells = [str(name), *(f"{v:.6g}" if isinstance(v, float) else str(v) for v in frame[name])]
        width, left = max(map(len, cells)), name in ("arch", "proxy")
        columns.append([cell.ljust(width) if left else cell.rjust(width) for cell in cells])
    for line in zip(*columns, strict=True):
        console.print("  ".join(line).rstrip(), soft_wrap=True, markup=False)
    console.print()


def print_mapping(console: Console, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {number}" for key, number in value.items())
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)
        console.print(f"{name:<22} {shown}", soft_wrap=True)


def print_failures(console: Console, rows: pd.DataFrame) -> None:
    """How many scores failed for what reason, and whose."""
    failed = rows[rows["status"] != "ok"]
    for reason, count in failed["reason"].value_counts().items():
        whose = failed.loc[failed["reason"] == reason, "proxy"] if "proxy" in failed else ()
        names = f" ({', '.join(dict.fromkeys(whose))})" if len(whose) else ""
        console.print(f"{count} without a score{names}: {reason}", soft_wrap=True)
