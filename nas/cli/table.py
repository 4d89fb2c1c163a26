"""The command line's ``nas table``: tables of trained accuracies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.printing import plain_console

INTERRUPTED = 130
TARGET = re.compile(r"\w+_(valid|test|validtest)_(\d+ep_mean|naslib)")

app = typer.Typer(help="Tables of trained accuracies.")


@app.command(name="import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="OFFICIAL_FILE", help="The file or folder of a benchmark.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The table: .parquet, .csv or .csv.gz.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Make a plain table of a benchmark's official file, without running anything in the file."""
    from nas.calls.watching import progress
    from nas.data.official.table import import_table

    try:
        with progress("reading", quiet) as watch:
            done = import_table(source, out, watch)
    except KeyboardInterrupt:  # unlike a search this cannot be continued
        typer.echo(f"nas: interrupted; {out} was not written", err=True)
        raise typer.Exit(INTERRUPTED) from None
    targets = [name for name in done.columns if TARGET.fullmatch(name)]
    console = plain_console()
    console.print(
        f"{done.rows} architectures and {len(done.columns)} columns in {out}; accuracies to compare with are "
        f"{', '.join(targets)}",
    )
