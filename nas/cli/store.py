"""The command line's ``nas store``: scores that are kept from one run to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Plugin, Store
from nas.cli.printing import plain_console, print_frame

Space = Annotated[str, typer.Option(help="Only of this space.")]
Proxy = Annotated[str, typer.Option(help="Only of this proxy.")]

app = typer.Typer(help="Scores that are kept from one run to the next.")


@app.command()
def info(store: Store = None) -> None:
    """Count what is there, by space and proxy."""
    from nas.store import packs as stored

    console = plain_console()
    frame = stored.info(store)
    if not frame.empty:
        print_frame(console, frame)
    size = frame.attrs["bytes"] / 1e6
    console.print(f"{frame['scores'].sum():,} scores, {size:.1f} MB in {frame.attrs['path']}")


@app.command()
def export(
    pack: Annotated[Path, typer.Argument(metavar="PACK.parquet", help="The file to write.")],
    space: Space = "",
    proxy: Proxy = "",
    store: Store = None,
) -> None:
    """Write scores to a Parquet file, for others to import."""
    from nas.store import packs as stored

    count = stored.export(pack, space, proxy, store)
    plain_console().print(f"{count:,} scores in {pack}")


@app.command(name="import")
def import_(
    pack: Annotated[Path, typer.Argument(metavar="PACK.parquet", help="A file that 'nas store export' wrote.")],
    store: Store = None,
) -> None:
    """Add the scores of a pack; what is there already stays. A pack is believed, so take it from whom you trust."""
    from nas.store import packs as stored

    done = stored.import_pack(pack, store)
    plain_console().print(f"{done.scores:,} scores in {pack}, {done.added:,} of them new")


@app.command()
def prune(
    space: Space = "",
    proxy: Proxy = "",
    unused: Annotated[int | None, typer.Option(metavar="DAYS", help="Only what no run has used for so long.")] = None,
    stale: Annotated[bool, typer.Option("--stale", help="Only of versions that are not the present ones.")] = False,
    plugin: Plugin = None,
    store: Store = None,
) -> None:
    """Delete scores: of a space, of a proxy, long unused, or of versions that are gone."""
    from nas import plugins
    from nas.store import packs as stored

    plugins.load(plugin or ())
    count = stored.prune(space, proxy, unused, stale, store)
    plain_console().print(f"{count:,} scores deleted")
