"""The command line: ``nas search | compare | score | train | export | bench | study | run | show | …``.

One file for each command; torch is imported when a command runs, not before.
"""

from __future__ import annotations

import sys
import warnings

import typer

from nas.cli.bench import bench
from nas.cli.compare import compare
from nas.cli.convert import convert
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
"""Characters of what is said to a user, who may have given a very long text."""

app = typer.Typer(
    help="Neural architecture search without training.", pretty_exceptions_enable=False, add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(store, name="store")
app.add_typer(table, name="table")
for command in (search, compare, score, train, export, bench):
    app.command()(command)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(run)
for command in (study, show, convert):
    app.command()(command)
app.command(name="list")(list_)


def main() -> None:
    """Runs the command line: exit code 0 done, 2 wrong use (one line on standard error), 130 interrupted."""
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"nas: {message}", err=True)
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except UsageError as error:
        code = _refuse(str(error))
    except typer.TyperException as error:
        code = _refuse(error.format_message())
    except OSError as error:
        code = _refuse(f"{error.filename or 'output'}: {error.strerror}")
    except MemoryError as error:
        code = _refuse(f"not enough memory: {error}")
    except SystemExit as error:  # none of ours: a plug-in's, which would else pass for the end of the command
        code = _refuse(f"a plug-in would have ended the program: SystemExit: {error.code}")
    except KeyboardInterrupt:
        code = INTERRUPTED
        typer.echo("nas: interrupted; the same command continues where it stopped", err=True)
    sys.exit(code or 0)


def _refuse(message: str) -> int:
    line = " ".join(message.split())
    typer.echo(f"nas: {line if len(line) <= MAX_MESSAGE else f'{line[:MAX_MESSAGE]} …'}", err=True)
    return 2
