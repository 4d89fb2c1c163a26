"""The command ``nas doctor``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from nas.cli.printing import plain_console


def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say what this installation can do here: versions, devices, threads, store, missing extras."""
    from nas.calls.doctor import doctor

    sections = doctor()
    if as_json:
        typer.echo(json.dumps(sections, indent=2, ensure_ascii=False))
        return
    console = plain_console()
    for title, facts in sections.items():
        console.print(title, style="bold")
        for name, fact in facts.items():
            console.print(f"  {name:<20} {fact}")
