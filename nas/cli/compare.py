"""The command ``nas compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Unpack

import typer

from nas.calls.options import SetupOptions
from nas.cli.options import Config, Proxies, Quiet, Run, Seeds, takes_setup
from nas.cli.printing import plain_console, print_comparison, progress


@takes_setup()
def compare(
    space: Annotated[str, typer.Option(help="Search space; see 'nas list spaces'.")],
    table: Annotated[Path, typer.Option(help="CSV, .csv.gz or Parquet with a column 'arch' and the target.")],
    target: Annotated[str, typer.Option(help="Column of the table; larger is better, of --target=-COLUMN smaller.")],
    proxies: Proxies = "gradalign_i,gradalign_ii",
    archs: Annotated[str, typer.Option(help="How many of the table's architectures, or 'all'.")] = "all",
    seeds: Seeds = 1,
    unique: Annotated[bool, typer.Option("--unique", help="Of isomorphic architectures take only the first.")] = False,
    within: Annotated[str | None, typer.Option(help="Column of the table: correlate within its groups, too.")] = None,
    run: Run = None,
    config: Config = None,
    quiet: Quiet = False,
    **options: Unpack[SetupOptions],
) -> None:
    """Rank proxies by their correlation with trained accuracy."""
    from nas.calls.compare import compare as call

    with progress("scoring", quiet) as watch:
        result = call(
            space,
            table,
            target,
            proxies,
            archs,
            seeds,
            unique=unique,
            within=within,
            run_folder=run or "auto",
            watch=watch,
            **options,
        )
    console = plain_console()
    print_comparison(console, result, target, space)
    console.print(f"results in {result.folder}")
