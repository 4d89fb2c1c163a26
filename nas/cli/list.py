"""The command ``nas list``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.table import Table as RichTable

from nas.cli.options import Plugin
from nas.cli.printing import plain_console
from nas.errors import unknown


def list_(
    kind: Annotated[str | None, typer.Argument(help="'spaces', 'proxies', 'searchers', 'studies' or 'data'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    plugin: Plugin = None,
) -> None:
    """List what is registered, with its options."""
    from nas import plugins
    from nas.data.sources import SOURCES
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
        "data": [_entry(name, SOURCES[name].function, options(SOURCES[name].function)) for name in SOURCES],
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
