"""The command ``nas list``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from nas.cli.options import Plugin
from nas.cli.printing import plain_console
from nas.errors import UsageError, unknown

NARROWEST = 40
"""Columns that a text is given at least."""


def list_(
    kind: Annotated[str | None, typer.Argument(help="'spaces', 'proxies', 'searchers', 'studies' or 'data'.")] = None,
    family: Annotated[str | None, typer.Option(help="With 'proxies': those of one family only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    plugin: Plugin = None,
) -> None:
    """List what is registered, with its options."""
    from nas import plugins
    from nas.data.sources import SOURCES
    from nas.registry import options
    from nas.searcher import SEARCHERS
    from nas.space import SPACES
    from nas.studies import STUDIES

    plugins.load(plugin or ())
    kinds: dict[str, list[dict[str, Any]]] = {
        "spaces": [_entry(name, SPACES[name], options(SPACES[name])) for name in SPACES],
        "proxies": list(_proxies(family)),
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
    if family is not None and list(kinds) != ["proxies"]:
        raise UsageError(f"only proxies have families: nas list proxies --family {family}")
    if as_json:
        typer.echo(json.dumps(kinds if kind is None else next(iter(kinds.values())), indent=2, ensure_ascii=False))
        return
    console = plain_console()
    for title, entries in kinds.items():
        (_print_proxies if title == "proxies" else _print)(console, title, entries)


def _proxies(family: str | None) -> Iterator[dict[str, Any]]:
    """The proxies, family by family; of one ``family`` only where it is given."""
    from nas.proxy import FAMILIES, PROXIES
    from nas.registry import normal, options

    if family is not None and normal(family) not in map(normal, FAMILIES):
        raise unknown("family of proxies", family, FAMILIES)
    for of in (own for own in FAMILIES if family is None or normal(own) == normal(family)):
        for proxy in (PROXIES[name] for name in PROXIES if PROXIES[name].family == of):
            entry = _entry(proxy.name, proxy.function, options(proxy.function or (lambda: None)))
            if proxy.parts:
                entry["summary"] = f"Rank sum of {', '.join(proxy.parts[:-1])} and {proxy.parts[-1]}."
            yield entry | {
                "larger_is_better": proxy.larger_is_better, "family": proxy.family, "needs": list(proxy.needs),
                "passes": proxy.passes, "paper": proxy.paper, "parts": list(proxy.parts), "static": proxy.static,
                "machine": proxy.machine, "initialisation": proxy.initialisation,
                "initialisations": proxy.initialisations,
            }  # fmt: skip


def _print_proxies(console: Console, title: str, entries: list[dict[str, Any]]) -> None:
    """Family by family; of each proxy its cost, what it needs and its paper, then what it is and its options."""
    from nas.proxy import FAMILIES

    console.print(title)
    _print_wrapped(console, "passes: what it costs in plain forward and backward passes of as many images", indent=0)
    widths = [max((len(cell) for cell in column), default=0) for column in zip(*map(_columns, entries), strict=True)]
    families: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        families.setdefault(entry["family"], []).append(entry)
    for family, members in families.items():
        console.print()
        _print_wrapped(console, f"{family}: {FAMILIES[family]}", indent=0)  # type: ignore[index]
        for entry in members:
            cells = [cell.ljust(width) for cell, width in zip(_columns(entry), widths, strict=True)]
            columns = "  ".join(cells).rstrip()
            beside = f"{'  '.join(cells)}  {entry['paper']}".rstrip()
            lines = [beside] if len(beside) + 2 <= console.width else [columns, f"    {entry['paper']}"]
            for line in lines:
                _print_wrapped(console, line, indent=2)
            direction = "" if entry["larger_is_better"] or "smaller is better" in entry["summary"] else SMALLER
            _print_wrapped(console, entry["summary"] + direction, indent=6)
            _print_wrapped(console, _options(entry), indent=6)


SMALLER = " (smaller is better)"


def _columns(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    passes, needs = entry["passes"], ", ".join(entry["needs"])
    return entry["name"], "" if passes is None else f"{passes:g} passes", f"needs {needs}" if needs else ""


def _print(console: Console, title: str, entries: list[dict[str, Any]]) -> None:
    console.print(title)
    for entry in entries:
        console.print(f"\n  {entry['name']}")
        for text in (entry["summary"], _options(entry), entry.get("paper", "")):
            _print_wrapped(console, text, indent=6)
    console.print()


def _print_wrapped(console: Console, text: str, indent: int) -> None:
    """``text`` in lines as wide as the terminal that break between words only; nothing for no text."""
    indent += len(text) - len(text.lstrip())
    wrapped = textwrap.wrap(
        text.lstrip(), max(console.width, NARROWEST) - indent, break_long_words=False, break_on_hyphens=False,
        subsequent_indent="  ",
    )  # fmt: skip
    for line in wrapped:
        console.print(" " * indent + line)


def _options(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in entry["options"].items())


def _entry(name: str, function: Callable[..., Any] | None, options: dict[str, Any]) -> dict[str, Any]:
    summary = ((function and function.__doc__) or "").strip().partition("\n\n")[0]
    return {"name": name, "summary": " ".join(summary.split()), "options": options}


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
