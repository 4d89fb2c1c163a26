"""The command that makes a run, from its recorded settings."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

NOT_OPTIONS = ("machine", "minibatch", "images", "plugin_source", "versions")
"""Entries of ``config.yaml`` that are not options."""


def command(name: str, config: Mapping[str, Any], arguments: Sequence[str] = ()) -> str:
    """``nas NAME`` with its ``arguments`` and the options that ``config`` holds, as a shell takes it."""
    words = ["nas", name, *arguments]
    for key, value in config.items():
        if key in NOT_OPTIONS or value is None or value is False:
            continue
        flag = f"--{key.replace('_', '-')}"
        if key == "set":
            for plugin, options in value.items():
                for option, value_set in options.items():
                    words += [flag, f"{plugin}.{option}={json.dumps(value_set, default=str)}"]
        elif value is True:
            words.append(flag)
        else:
            for part in value if isinstance(value, list | tuple) else [value]:
                words += [flag, str(part)]
    return shlex.join(words)
