"""The command ``nas compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Unpack

import typer

from nas.calls.options import SetupOptions
from nas.cli.options import Config, Proxies, Quiet, Run, takes_setup
from nas.cli.printing import plain_console, print_agreement, print_comparison


@takes_setup()
def compare(
    space: Annotated[str, typer.Option(help="Search space; see 'nas list spaces'.")],
    table: Annotated[
        Path | None,
        typer.Option(help="CSV, .csv.gz or Parquet with a column 'arch' and the target. Without one, and without "
                      "--evaluate, proxies are compared with each other."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Column of the table; larger is better, of --target=-COLUMN smaller.")
    ] = None,
    evaluate: Annotated[
        int | None, typer.Option(metavar="N", help="Without a table: train so many random architectures on --data.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="With --evaluate: how often every image is shown.")] = 12,
    proxies: Proxies = "gradalign_i,gradalign_ii",
    archs: Annotated[
        str, typer.Option(help="How many of the table's architectures, or 'all'; without a table how many are drawn.")
    ] = "all",
    seeds: Annotated[
        int | None,
        typer.Option(help="Repeats with another minibatch and initialisation; default: 1, and 3 without a table."),
    ] = None,
    unique: Annotated[bool, typer.Option("--unique", help="Of isomorphic architectures take only the first.")] = False,
    within: Annotated[str | None, typer.Option(help="Column of the table: correlate within its groups, too.")] = None,
    run: Run = None,
    config: Config = None,
    quiet: Quiet = False,
    **options: Unpack[SetupOptions],
) -> None:  # fmt: skip
    """Rank proxies by their correlation with trained accuracy."""
    from nas.calls.compare import compare as call
    from nas.calls.watching import progress

    with progress("scoring", quiet) as watch:
        result = call(
            space, table, target, proxies, archs, seeds, evaluate=evaluate, epochs=epochs, unique=unique, within=within,
            run_folder=run or "auto", watch=watch, **options,
        )  # fmt: skip
    console = plain_console()
    if result.verdict is None:
        print_agreement(console, result, space)
    else:
        print_comparison(console, result, target or "test_accuracy", space)
    console.print(f"results in {result.folder}")
