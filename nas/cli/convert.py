"""The command ``nas convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Unpack

import typer

from nas.calls.options import ELSEWHERE, SetupOptions
from nas.cli.options import Config, Space, takes_setup
from nas.cli.printing import plain_console, print_mapping
from nas.errors import UsageError, unknown


@takes_setup("data", "batch_size", "seed", "device", "precision", *ELSEWHERE)
def convert(
    arch: Annotated[str, typer.Argument(help="An architecture in any notation of the space.")],
    space: Space = "nasbench201",
    to: Annotated[str | None, typer.Option(help="The notation to write; all of them when not given.")] = None,
    table: Annotated[Path | None, typer.Option(help="Table that looks up 'hash:…' in its column 'hash'.")] = None,
    config: Config = None,
    **options: Unpack[SetupOptions],
) -> None:
    """Write an architecture in another notation of its space."""
    from nas.calls.settings import checked_settings, parse
    from nas.data.table import Table
    from nas.space import is_leaf, make_space

    search_space = make_space(space, checked_settings(options["settings"] or {}))
    column, _, value = arch.partition(":")
    parsed = (
        parse(search_space, arch) if table is None else Table(table, search_space).find(column.strip(), value.strip())
    )
    if not is_leaf(parsed):
        raise UsageError(f"{arch!r} leaves operations open: only a single network has other notations")
    notations = search_space.notations(parsed)
    if to is not None and to not in notations:
        raise unknown(f"notation of {space}", to, notations)
    if to is not None:
        typer.echo(notations[to])
    else:
        print_mapping(plain_console(), notations)
