"""What a file may not decide for the user: which code runs, which cluster to connect to, where to write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nas.errors import UsageError
from nas.registry import normal
from nas.runs.folder import load_yaml

OWN_CLUSTERS = ("auto", "local")
"""Ray clusters of this machine; another one's answers are unpickled, and could run anything."""
OUTPUTS = ("csv", "json", "out")
"""Options that name a file to write, which replaces an existing one."""


class Question(NamedTuple):
    """Something in a file that takes the user's consent.

    Attributes:
        option: the one whose value it is.
        what: as a clause: "names the plug-in p.py, whose code would run".
        code: the file that would run, if one would.
    """

    option: str
    what: str
    code: str = ""


def questions(options: Mapping[str, Any]) -> list[Question]:
    """Everything in these options of a file, by name, that takes consent."""
    pending = [
        Question("plugin", f"names the plug-in {file}, whose code would run", file)
        for file in _texts(options.get("plugin"))
    ]
    pending += [
        Question("set", f"names the network {name}, whose code would run", _code(name))
        for name in network_names(options.get("set"))
    ]
    for option in ("archs", "archs_given", "arch"):
        codes = {name: _code(name) for name in _texts(options.get(option))}
        pending += [
            Question(option, f"names the network {name}, whose code would run", code)
            for name, code in codes.items()
            if code.endswith(".py") or (code and _is_networks(options.get("space")))
        ]
    ray, store = options.get("ray"), options.get("store")
    if ray is not None and ray not in OWN_CLUSTERS:
        pending.append(Question("ray", f"names the Ray cluster {ray}, whose answers could run any code"))
    if store is not None and store != "none":
        pending.append(Question("store", f"names a store, {store}, to write to"))
    pending += [Question(name, f"names a file, {options[name]}, to write") for name in OUTPUTS if options.get(name)]
    run = options.get("run")
    if run is not None and (os.path.isabs(str(run)) or ".." in Path(str(run)).parts or str(run).startswith("~")):
        pending.append(Question("run", f"names a folder outside of this one, {run}, to write to"))
    return pending


def ask(file: Path, pending: Iterable[Question], named: Iterable[str] = ()) -> None:
    """`UsageError` for the first of ``pending`` that has no consent.

    Args:
        named: the user's own arguments on the command line; code that they name may run.
    """
    named_files = {_resolved(part) for text in named for part in _mentioned(text)}
    named_options = {text.partition("=")[0] for text in named}
    for question in pending:
        flag = f"--{question.option.replace('_', '-')}"
        if _resolved(question.code) not in named_files if question.code else flag not in named_options:
            raise UsageError(
                f"{file} {question.what}: say so yourself, with {flag} or as an argument, or say with --trust that you "
                "trust this file"
            )


def network_names(settings: Any) -> list[str]:
    """The networks in the user's files that options by plug-in name: options as in a YAML file, or as texts of
    ``--set``."""
    values: list[Any] = []
    if isinstance(settings, Mapping):
        for plugin, options in settings.items():
            if _is_networks(plugin) and isinstance(options, Mapping):
                values += options.values()
    else:
        for text in _texts(settings):
            plugin, _, option = text.partition(".")
            if _is_networks(plugin):
                values.append(_value(option.partition("=")[2]))
    names = [part.strip() for value in values for text in _texts(value) for part in text.split(",")]
    return [name for name in names if _code(name)]


def _value(text: str) -> Any:
    try:
        return load_yaml(text)
    except ValueError:  # it is refused where it is used
        return None


def _is_networks(name: Any) -> bool:
    return normal(str(name)) == "networks"


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(part) for part in value] if isinstance(value, list | tuple) else [str(value)]


def _code(network: str) -> str:
    """The file of a network; empty for one of timm's."""
    return "" if network.strip().startswith("timm:") else network.strip().rpartition(":")[0]


def _mentioned(argument: str) -> list[str]:
    """The files that an argument may name: ``--plugin=p.py``, ``networks.names=n.py:A,m.py:B``, ``n.py:A``."""
    values = [argument, argument.partition("=")[2], argument.rpartition("=")[2]]
    parts = [part.strip() for value in values for part in value.split(",")]
    return [name for part in parts for name in (part, part.rpartition(":")[0]) if name]


def _resolved(file: str) -> str:
    return os.path.realpath(os.path.expanduser(file))
