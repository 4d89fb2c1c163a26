"""Recipes: YAML files that reproduce a table or a figure, each a list of commands with their options."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.cli.consent import Question, questions
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
"""What a recipe holds beside the options of its command."""
USERS_OWN = ("run", "csv", "json", "out", "config", "trust", "help")
"""Options that a recipe may not set: they are the user's."""
MAX_NAME_BYTES = 100
"""Bytes of a step's name."""


@dataclass(frozen=True)
class Step:
    """One command of a recipe.

    Attributes:
        output: the file or folder of its results, under the recipe's folder.
        options: by name, as they are in the recipe.
    """

    command: str
    output: Path
    arguments: list[str]
    options: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def questions(self) -> list[Question]:
        """Everything in it that takes the user's consent."""
        return questions(self.options)

    def check(self, flags: Iterable[str], file: Path) -> None:
        """`UsageError` where a flag has a value other than true or false, or another option is true or false.

        Args:
            flags: the options of the command that take no value.
        """
        for key, value in self.options.items():
            name = str(key).replace("_", "-")
            if value is not None and isinstance(value, bool) != (f"--{name}" in set(flags)):
                takes = "is true or false" if f"--{name}" in set(flags) else "takes a value"
                raise UsageError(f"{file}: {key} {takes}, not {str(value)[:200]!r}")


def steps(file: Path, folder: Path, *, quick: bool = False) -> list[Step]:
    """The commands of a recipe, in order.

    A recipe is a mapping: ``command``, its options by name, and under ``quick`` those that differ in a quick run. Where
    it has ``steps``, each is such a mapping with a ``name`` of its own, and what is outside holds for all of them.

    Args:
        folder: for the results.

    Raises:
        UsageError: the file is not a recipe; the message says what is wrong.
    """
    recipe = read_yaml(file)
    common = {key: value for key, value in recipe.items() if key != "steps"}
    parts = recipe.get("steps", [{}])
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise UsageError(f"{file}: 'steps' is a list of commands with their options, not {parts!r}")
    planned: list[Step] = []
    names: set[str] = set()
    for part in parts:
        step = common | part | {"quick": _quick(file, common) | _quick(file, part)}
        command = str(step.get("command"))
        if command not in COMMANDS:
            raise unknown(f"command in {file}", command, COMMANDS)
        name = _name(file, step, has_steps="steps" in recipe, names=names)
        options = {key: value for key, value in step.items() if key not in ABOUT} | (step["quick"] if quick else {})
        suffix = {"score": ".csv", "bench": ".json"}.get(command, "")
        output = folder / f"{name or command}{suffix}" if name or suffix else folder
        if output in {step.output for step in planned}:
            raise UsageError(f"{file}: two steps write to {output}: give them other names")
        planned.append(Step(command, output, _arguments(file, options), options))
    return planned


def _name(file: Path, step: Mapping[str, Any], *, has_steps: bool, names: set[str]) -> str:
    """The name of a step, which becomes that of its file or folder; empty where there is only one step."""
    name = str(step.get("name", ""))
    wrong = Path(name).name != name or name in {".", ".."} or not name.isprintable() or "\\" in name
    if wrong or (has_steps and name in {"", *names}):
        raise UsageError(f"{file}: each step has a name of its own, without slashes, not {name[:200]!r}")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise UsageError(f"{file}: the name of a step has at most {MAX_NAME_BYTES} bytes, not {len(name.encode())}")
    names.add(name)
    return name


def _quick(file: Path, part: Mapping[str, Any]) -> dict[str, Any]:
    quick = part.get("quick", {})
    if not isinstance(quick, dict):
        raise UsageError(f"{file}: 'quick' holds options as 'name: value' lines, not {quick!r}")
    return quick


def _arguments(file: Path, options: Mapping[str, Any]) -> list[str]:
    """Options as arguments of the command line."""
    arguments: list[str] = []
    for key, value in options.items():
        if not re.fullmatch(r"[A-Za-z]\w*(-\w+)*", str(key)) or str(key) in USERS_OWN:
            raise UsageError(f"{file}: {str(key)[:200]!r} is no option that a recipe gives to a command")
        flag = f"--{str(key).replace('_', '-')}"
        if key == "study":
            arguments.insert(0, _positional(file, value))
        elif key == "set":
            arguments += [part for text in set_texts(file, value) for part in ("--set", text)]
        elif key == "archs" and isinstance(value, list):
            arguments += [_positional(file, part) for part in value]
        elif value is True:
            arguments.append(flag)
        elif value is not False and value is not None:
            values = [",".join(map(str, value))] if key == "proxies" and isinstance(value, list) else value
            for item in values if isinstance(values, list) else [values]:
                arguments += [flag, str(item)]
    return arguments


def _positional(file: Path, value: Any) -> str:
    """A value that is on the command line without its name."""
    text = str(value)
    if text.startswith("-"):
        raise UsageError(f"{file}: {text[:200]!r} would be taken for an option")
    return text


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
