"""Commands that show what there is: ``nas show | convert | list``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table as RichTable

from nas.cli.options import Config, Data, Plugin, Set, Space, parse_settings
from nas.cli.printing import plain_console, print_mapping
from nas.errors import UsageError, unknown


def show(
    arch: Annotated[str, typer.Argument(help="An architecture in any notation of the space.")],
    space: Space = "nasbench201",
    out: Annotated[Path | None, typer.Option(help="Draw the cell to this file (.svg, .png, .pdf).")] = None,
    data: Data = "synthetic",
    config: Config = None,
    set_: Set = None,
    plugin: Plugin = None,
) -> None:
    """Show an architecture: its parameters and FLOPs, its cell as text and picture."""
    from nas import plugins
    from nas.calls.settings import checked_settings, parse
    from nas.data.minibatch import minibatch
    from nas.graph import described
    from nas.scoring.measurer import costs
    from nas.space import make_space

    plugins.load(plugin or ())
    inside = make_space(space, checked_settings(parse_settings(set_)))
    parsed = parse(inside, arch)
    batch = minibatch(data, 4)
    console = plain_console()
    canonical = inside.canonical(parsed)
    print_mapping(
        console,
        {"arch": inside.text(parsed)}
        | ({} if canonical == parsed else {"same as": inside.text(canonical)})
        | costs(inside, parsed, batch)
        | {"task": f"{batch.task.classes} classes, {batch.task.channels} x {batch.task.size} x {batch.task.size}"},
    )
    graph = inside.graph(parsed)
    for line in described(graph) if graph is not None else ():
        console.print(line)
    if out is not None:
        from nas.report.cells import draw

        if graph is None:
            raise UsageError(f"the space {space} has no cells to draw")
        if out.suffix.lower() not in (".svg", ".png", ".pdf") or not out.absolute().parent.is_dir():
            raise UsageError(f"{out} cannot be drawn to: name a .svg, .png or .pdf file in a folder that exists")
        draw(graph, out, inside.text(parsed))
        console.print(f"drawn to {out}")


def convert(
    arch: Annotated[str, typer.Argument(help="An architecture in any notation of the space.")],
    space: Space = "nasbench201",
    to: Annotated[str | None, typer.Option(help="The notation to write; all of them when not given.")] = None,
    table: Annotated[Path | None, typer.Option(help="Table that looks up 'hash:…' in its column 'hash'.")] = None,
    config: Config = None,
    set_: Set = None,
    plugin: Plugin = None,
) -> None:
    """Write an architecture in another notation of its space."""
    from nas import plugins
    from nas.calls.settings import checked_settings, parse
    from nas.data.table import Table
    from nas.space import is_leaf, make_space

    plugins.load(plugin or ())
    inside = make_space(space, checked_settings(parse_settings(set_)))
    column, _, value = arch.partition(":")
    parsed = parse(inside, arch) if table is None else Table(table, inside).find(column.strip(), value.strip())
    if not is_leaf(parsed):
        raise UsageError(f"{arch!r} leaves operations open: only a single network has other notations")
    notations = inside.notations(parsed)
    if to is not None and to not in notations:
        raise unknown(f"notation of {space}", to, notations)
    if to is not None:
        typer.echo(notations[to])
    else:
        print_mapping(plain_console(), notations)


def list_(
    kind: Annotated[str | None, typer.Argument(help="'spaces', 'proxies', 'searchers' or 'studies'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    plugin: Plugin = None,
) -> None:
    """List what is registered, with its options."""
    from nas import plugins
    from nas.proxy import PROXIES
    from nas.registry import options
    from nas.searcher import SEARCHERS
    from nas.space import SPACES
    from nas.studies import STUDIES

    plugins.load(plugin or ())
    kinds: dict[str, list[dict[str, Any]]] = {
        "spaces": [_entry(name, SPACES[name], options(SPACES[name])) for name in SPACES],
        "proxies": [
            _entry(name, PROXIES[name].function, options(PROXIES[name].function or (lambda: None)))
            | {"larger_is_better": PROXIES[name].larger_is_better, "paper": PROXIES[name].paper}
            for name in PROXIES
        ],
        "searchers": [
            _entry(name, SEARCHERS[name].function, options(SEARCHERS[name].function)) | {"paper": SEARCHERS[name].paper}
            for name in SEARCHERS
        ],
        "studies": [_entry(name, STUDIES[name].function, options(STUDIES[name].function)) for name in STUDIES],
    }
    if kind is not None:
        if kind.lower() not in kinds:
            raise unknown("kind", kind, kinds)
        kinds = {kind.lower(): kinds[kind.lower()]}
    if as_json:
        typer.echo(json.dumps(kinds if kind is None else next(iter(kinds.values())), indent=2, ensure_ascii=False))
        return
    console = plain_console()
    for title, entries in kinds.items():
        table = RichTable("name", "what it is", "options", title=title, title_justify="left")
        for entry in entries:
            direction = "" if entry.get("larger_is_better", True) else " (smaller is better)"
            set_to = ", ".join(f"{name}={_short(value)}" for name, value in entry["options"].items())
            table.add_row(entry["name"], entry["summary"] + direction, set_to)
        console.print(table, soft_wrap=False)


def _entry(name: str, function: Callable[..., Any] | None, options: dict[str, Any]) -> dict[str, Any]:
    from nas.proxy import PROXIES

    summary = ((function and function.__doc__) or "").strip().partition("\n")[0]
    if name in PROXIES and PROXIES[name].parts:
        summary = f"Rank sum of {' and '.join(PROXIES[name].parts)}."
    return {"name": name, "summary": summary, "options": options}


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
