"""The command line: ``nas search | compare | score | train | export | bench | study | run | show | …``.

One file for each command; torch is imported when a command runs, not before.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from nas import plugins
from nas.cli.bench import bench
from nas.cli.compare import compare
from nas.cli.convert import convert
from nas.cli.doctor import doctor
from nas.cli.export import export
from nas.cli.list import list_
from nas.cli.run import run
from nas.cli.score import score
from nas.cli.search import search
from nas.cli.show import show
from nas.cli.store import app as store
from nas.cli.study import study
from nas.cli.table import app as table
from nas.cli.train import train
from nas.errors import UsageError

INTERRUPTED = 130
MAX_MESSAGE = 2000
"""Characters of a message to the user, who may have given a very long text."""


class Interrupted(Exception):
    """Ctrl-C, or a signal that ends the process."""


class Commands(TyperGroup):
    """The commands; an interruption becomes `Interrupted`."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # versions of typer handle it in different ways
            raise Interrupted from None


app = typer.Typer(
    cls=Commands, help="Neural architecture search without training.", pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(store, name="store")
app.add_typer(table, name="table")
for command in (search, compare, score, train, export, bench):
    app.command()(command)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(run)
for command in (study, show, convert, doctor):
    app.command()(command)
app.command(name="list")(list_)


def main() -> None:
    """Runs the command line: exit code 0 done, 2 wrong use (one line on standard error), 130 interrupted, 143 and 129
    ended by SIGTERM and SIGHUP."""
    warnings.showwarning = lambda message, *_, **__: say(str(message))
    with ended_gently() as signals:
        code = _run()
        if code == INTERRUPTED and signals:
            code = 128 + signals[0]
    sys.exit(code)


def _run() -> int:
    try:
        plugins.check_packages()  # before torch, and what may fail for that reason, is imported
        return app(sys.argv[1:] or ["--help"], prog_name="nas", standalone_mode=False) or 0
    except UsageError as error:
        return _refuse(str(error))
    except typer.TyperException as error:
        return _refuse(error.format_message())
    except BrokenPipeError:  # whoever read the output has read enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (open until the end: what is left would fail again)
        return 0
    except OSError as error:
        return _refuse(f"{error.filename or 'output'}: {error.strerror}")
    except MemoryError as error:
        return _refuse(f"not enough memory: {error}")
    except SystemExit as error:
        if _ended_by_ours(error):
            return 0
        return _refuse(f"a plug-in would have ended the program: SystemExit: {error.code}")
    except (Interrupted, KeyboardInterrupt):
        say("interrupted; the same command continues where it stopped")
        return INTERRUPTED


def _ended_by_ours(error: SystemExit) -> bool:
    """Whether it was raised by typer, which has completed a name for the shell, or by rich, whose output nobody reads
    any more; else it was a plug-in, and would pass for the end of the command."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("typer", "rich")


@contextmanager
def ended_gently() -> Iterator[list[int]]:
    """A context, with the signals received so far, in which SIGTERM and SIGHUP interrupt as Ctrl-C does: records are
    complete and on the disk, and workers are ended. A second signal changes nothing. One that is ignored already, as by
    ``nohup``, stays ignored."""
    signals: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        if len(signals) == 1:
            raise KeyboardInterrupt

    kinds = [kind for name in ("SIGTERM", "SIGHUP") if (kind := getattr(signal, name, None)) is not None]
    replaced = [kind for kind in kinds if signal.getsignal(kind) is signal.SIG_DFL]
    for kind in replaced:
        signal.signal(kind, interrupt)
    try:
        yield signals
    finally:
        for kind in replaced:
            signal.signal(kind, signal.SIG_DFL)


def say(message: str) -> None:
    """Prints a message on standard error, unless nobody reads it any more: a terminal may have been closed."""
    try:
        typer.echo(f"nas: {message}", err=True)
    except OSError:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (open until the end: nothing can be flushed)


def _refuse(message: str) -> int:
    line = " ".join(message.split())
    say(line if len(line) <= MAX_MESSAGE else f"{line[:MAX_MESSAGE]} …")
    return 2
