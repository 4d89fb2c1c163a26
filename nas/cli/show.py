"""The command ``nas show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Unpack

import typer

from nas.calls.options import ELSEWHERE, SetupOptions
from nas.cli.options import Config, Space, takes_setup
from nas.cli.printing import plain_console, print_mapping
from nas.errors import UsageError
from nas.files import replacing


@takes_setup("batch_size", "seed", *ELSEWHERE)
def show(
    arch: Annotated[
        str | None, typer.Argument(help="An architecture in any notation of the space; without one, data are shown.")
    ] = None,
    space: Space = "nasbench201",
    out: Annotated[
        Path | None, typer.Option(help="Draw it to this file: .svg, .png, .pdf, .tex (TikZ), .dot (Graphviz).")
    ] = None,
    config: Config = None,
    **options: Unpack[SetupOptions],
) -> None:
    """Show an architecture: its parameters, FLOPs, latency and memory, its cell as text and picture; or without one,
    the data."""
    from nas.calls.bench import in_use
    from nas.calls.settings import checked_settings, parse
    from nas.data.description import describe
    from nas.data.minibatch import minibatch
    from nas.graph import described
    from nas.report.networks import pictured
    from nas.scoring.measurer import costs
    from nas.space import make_space

    if arch is None:
        if out is not None:
            raise UsageError("data cannot be drawn: --out takes an architecture")
        print_mapping(plain_console(), describe(str(options["data"])))
        return
    search_space = make_space(space, checked_settings(options["settings"] or {}))
    parsed = parse(search_space, arch)
    batch = minibatch(options["data"], 4, predicts=search_space.predicts)
    console = plain_console()
    canonical = search_space.canonical(parsed)
    print_mapping(
        console,
        {"arch": search_space.text(parsed)}
        | ({} if canonical == parsed else {"same as": search_space.text(canonical)})
        | costs(search_space, parsed, batch)
        | in_use(search_space, parsed, batch, options)
        | {"task": str(batch.task).replace(" and images of", ",")},
    )
    graph = pictured(search_space, parsed, batch.task)
    for line in described(graph):
        console.print(line)
    if out is not None:
        from nas.report.cells import FORMATS, draw

        if out.suffix.lower() not in FORMATS or not out.absolute().parent.is_dir():
            endings = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
            raise UsageError(f"{out} cannot be drawn to: name a {endings} file in a folder that exists")
        with replacing(out) as temporary:
            draw(graph, temporary, search_space.text(parsed), out.suffix)
        console.print(f"drawn to {out}")
