"""Recipes: YAML files that reproduce a table or a figure, each a list of commands with their options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nas.errors import UsageError, unknown
from nas.runs.folder import read_yaml

COMMANDS = ("search", "compare", "score", "train", "bench", "study")
OUTPUTS = {
    "search": "--run",
    "compare": "--run",
    "study": "--run",
    "train": "--out",
    "score": "--csv",
    "bench": "--json",
}
"""The option that says where a command's results go."""

ABOUT = ("command", "name", "quick")
"""What a recipe says beside the options of its command."""


class Step(NamedTuple):
    """One command of a recipe.

    Attributes:
        output: the file or folder of its results, under the recipe's folder.
    """

    command: str
    output: Path
    arguments: list[str]


def steps(file: Path, folder: Path, *, quick: bool = False) -> list[Step]:
    """The commands of a recipe, in order.

    A recipe is a mapping: ``command``, its options by name, and under ``quick`` those that differ in a quick run. Where
    it has ``steps``, each is such a mapping with a ``name`` of its own, and what stands outside holds for all of them.

    Args:
        folder: for the results.

    Raises:
        UsageError: the file is no recipe; the message names what is wrong.
    """
    recipe = read_yaml(file)
    common = {key: value for key, value in recipe.items() if key != "steps"}
    parts = recipe.get("steps", [{}])
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise UsageError(f"{file}: 'steps' is a list of commands with their options, not {parts!r}")
    planned: list[Step] = []
    taken: set[str] = set()
    for part in parts:
        step = common | part | {"quick": _quick(file, common) | _quick(file, part)}
        command = str(step.get("command"))
        if command not in COMMANDS:
            raise unknown(f"command in {file}", command, COMMANDS)
        name = str(step.get("name", ""))
        if "steps" in recipe and (Path(name).name != name or name in {"", "..", *taken}):
            raise UsageError(f"{file}: each step has a name of its own, without slashes, not {name!r}")
        taken.add(name)
        options = {key: value for key, value in step.items() if key not in ABOUT} | (step["quick"] if quick else {})
        suffix = {"score": ".csv", "bench": ".json"}.get(command, "")
        output = folder / f"{name or command}{suffix}" if name or suffix else folder
        planned.append(Step(command, output, _arguments(file, options)))
    return planned


def _quick(file: Path, part: Mapping[str, Any]) -> dict[str, Any]:
    quick = part.get("quick", {})
    if not isinstance(quick, dict):
        raise UsageError(f"{file}: 'quick' holds options as 'name: value' lines, not {quick!r}")
    return quick


def _arguments(file: Path, options: Mapping[str, Any]) -> list[str]:
    """Options as they would stand on the command line."""
    arguments: list[str] = []
    for key, value in options.items():
        flag = f"--{str(key).replace('_', '-')}"
        if key == "study":
            arguments.insert(0, str(value))
        elif key == "set":
            arguments += [part for text in set_texts(file, value) for part in ("--set", text)]
        elif key == "archs" and isinstance(value, list):
            arguments += map(str, value)
        elif value is True:
            arguments.append(flag)
        elif value is not False and value is not None:
            values = [",".join(map(str, value))] if key == "proxies" and isinstance(value, list) else value
            for item in values if isinstance(values, list) else [values]:
                arguments += [flag, str(item)]
    return arguments


def set_texts(file: Path, settings: Any) -> list[str]:
    """Options by plug-in as the texts that ``--set`` takes."""
    if not isinstance(settings, dict):
        return [str(text) for text in (settings if isinstance(settings, list) else [settings])]
    texts = []
    for plugin, options in settings.items():
        if not isinstance(options, dict):
            raise UsageError(f"{file}: the options of {plugin} under 'set' are 'name: value' pairs, not {options!r}")
        texts += [f"{plugin}.{option}={json.dumps(value, default=str)}" for option, value in options.items()]
    return texts
