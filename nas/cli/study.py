"""The command ``nas study``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Unpack

import typer

from nas.calls.options import ELSEWHERE, SetupOptions
from nas.cli.options import Config, Proxies, Quiet, Run, Space, takes_setup
from nas.cli.printing import plain_console, print_frame

INTERRUPTED = 130


@takes_setup(*ELSEWHERE)
def study(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The study; see 'nas list studies'.")],
    archs_given: Annotated[list[str] | None, typer.Argument(metavar="[ARCH]...", help="Architectures.")] = None,
    space: Space = "nasbench201",
    archs: Annotated[
        str, typer.Option(help="How many architectures, where none are named; 'all' of the table.")
    ] = "30",
    proxies: Proxies = "gradalign_i,gradalign_ii,gradsign,naswot,synflow,linear_regions",
    table: Annotated[Path | None, typer.Option(help="Trained accuracies to draw from and compare with.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Columns of the table, joined with commas; all by default.")
    ] = None,
    run: Run = None,
    config: Config = None,
    quiet: Quiet = False,
    **options: Unpack[SetupOptions],
) -> None:
    """Test a claim about scores: tables, figures and a text."""
    from nas.calls.study import study as call
    from nas.calls.watching import progress

    start = time.perf_counter()
    targets = [column.strip() for column in target.split(",")] if target else []
    try:
        with progress("studying", quiet) as watch:
            findings = call(
                study, space, archs_given or archs, proxies, table=table, target=targets, run_folder=run or "auto",
                watch=watch, **options,
            )  # fmt: skip
    except KeyboardInterrupt:  # unlike a search this cannot be continued
        typer.echo("nas: interrupted; the same command starts the study again", err=True)
        raise typer.Exit(INTERRUPTED) from None
    console = plain_console()
    title, frame = next(iter(findings.frames.items()))
    print_frame(console, frame, f"{study}: {title}")
    console.print(findings.text)
    console.print(f"\n{time.perf_counter() - start:.0f} s; results in {findings.folder}")
