"""What made a run, on its page: the command, the machine, the options, the versions of what the numbers depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nas.report.page import Section, Sheet

WORDS = {
    "batch_size": "images at a time",
    "budget": "budget, evaluations",
    "seeds": "seeds, repeats",
    "archs": "architectures",
    "archs_given": "architectures",
    "evaluate": "trained or looked up",
    "cost": "costs",
    "plugin": "plug-ins",
    "minibatch": "digest of the minibatch",
    "images": "digest of the images",
    "plugin_source": "digest of the plug-ins",
    "set": "options of plug-ins",
    "constraint": "limits",
}
"""Entries of ``config.yaml`` that are called otherwise on a page."""


def settings_section(settings: Mapping[str, Any], command: str = "", made: Sequence[Mapping[str, Any]] = ()) -> Section:
    """The section on what made a page; what is empty is left out, but that there were no limits.

    Args:
        settings: the content of ``config.yaml``.
        command: the one that makes this run.
        made: the machines that made its records and their versions, see `nas.runs.folder.RunFolder.made`.
    """
    rows = _machines(made)
    rows += [
        (WORDS.get(name, name.replace("_", " ")), _text(name, value))
        for name, value in settings.items()
        if name not in ("versions", "machine") and (name == "constraint" or not _empty(value))
    ]
    tables = [Sheet(pd.DataFrame(rows, columns=["what", "value"]), sortable=False)]
    if versions := settings.get("versions"):
        frame = pd.DataFrame([(name, str(version)) for name, version in versions.items()], columns=["of", "version"])
        tables.append(Sheet(frame, "Versions, or digests of the source", folded=True, sortable=False))
    return Section("What made this", "This command:" if command else "", tables=tables, command=command)


def _machines(made: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The rows on machines and versions; of several, each quantity with all that it was, in their order."""
    if not made:
        return [("machine", "not recorded")]
    names = dict.fromkeys(name for one in made for name in one)
    each = {name: dict.fromkeys(str(one[name]) for one in made if name in one) for name in names}
    return [(name, "; then ".join(values)) for name, values in each.items()]


def _empty(value: Any) -> bool:
    return value is None or value is False or value in ("", [], (), {})


def _text(name: str, value: Any) -> str:
    if name == "set":
        return ", ".join(
            f"{plugin}.{option}={json.dumps(given, default=str)}"
            for plugin, options in value.items()
            for option, given in options.items()
        )
    if name == "constraint" and _empty(value):
        return "none"
    if name == "proxies":
        return str(value).replace(",", ", ")
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
