"""The command line's ``nas study``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.options import (
    BatchSize,
    Config,
    Data,
    Device,
    Plugin,
    Precision,
    Proxies,
    Quiet,
    Run,
    Seed,
    Set,
    Space,
    parse_settings,
)  # fmt: skip
from nas.cli.printing import plain_console, print_frame, progress

INTERRUPTED = 130


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
    data: Data = "synthetic",
    batch_size: BatchSize = 64,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "float32",
    run: Run = None,
    config: Config = None,
    set_: Set = None,
    plugin: Plugin = None,
    quiet: Quiet = False,
) -> None:
    """Measure again what is said of scores: tables, figures and a text."""
    from nas.calls.study import study as call
    from nas.runs.folder import default_run

    settings, start = parse_settings(set_), time.perf_counter()
    chosen: list[str] | str = archs_given or archs
    targets = [column.strip() for column in target.split(",")] if target else []
    given: dict[str, Any] = {
        "study": study, "space": space, "archs": chosen, "proxies": proxies, "table": table, "target": target,
        "data": data, "batch_size": batch_size, "seed": seed, "device": device, "precision": precision,
        "set": settings, "plugin": plugin or [],
    }  # fmt: skip
    folder = run or default_run("study", given)
    try:
        with progress("studying", quiet) as watch:
            found = call(
                study, space, chosen, proxies, data=data, batch_size=batch_size, seed=seed, device=device,
                precision=precision, table=table, target=targets, settings=settings, plugin=plugin or (),
                run_folder=folder, watch=watch,
            )  # fmt: skip
    except KeyboardInterrupt:  # unlike a search this does not go on where it stopped
        typer.echo("nas: interrupted; the same command starts the study again", err=True)
        raise SystemExit(INTERRUPTED) from None
    console = plain_console()
    title, frame = next(iter(found.frames.items()))
    print_frame(console, frame, f"{study}: {title}")
    console.print(found.text)
    console.print(f"\n{time.perf_counter() - start:.0f} s; results in {folder}")
