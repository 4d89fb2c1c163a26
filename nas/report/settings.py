"""What made a run, on its page: the command, its options, and the versions of what the numbers depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nas.report.page import Section, Sheet

WORDS = {
    "minibatch": "digest of the minibatch",
    "images": "digest of the images",
    "plugin_source": "digest of the plug-ins",
    "set": "options of plug-ins",
    "constraint": "limits",
}
"""Entries of ``config.yaml`` that are called otherwise on a page."""


def settings_section(settings: Mapping[str, Any], command: str = "") -> Section:
    """The section of ``settings``, the content of ``config.yaml``; what is empty is left out."""
    rows = [
        (WORDS.get(name, name.replace("_", " ")), _text(name, value))
        for name, value in settings.items()
        if name != "versions" and value is not None and value is not False and value not in ("", [], (), {})
    ]
    tables = [Sheet(pd.DataFrame(rows, columns=["what", "value"]), sortable=False)]
    if versions := settings.get("versions"):
        frame = pd.DataFrame([(name, str(version)) for name, version in versions.items()], columns=["of", "version"])
        tables.append(Sheet(frame, "Versions, or digests of the source", folded=True, sortable=False))
    return Section("Settings", f"The command that makes this run:\n\n{command}" if command else "", tables=tables)


def _text(name: str, value: Any) -> str:
    if name == "set":
        return ", ".join(
            f"{plugin}.{option}={json.dumps(given, default=str)}"
            for plugin, options in value.items()
            for option, given in options.items()
        )
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
