"""Name -> plug-in, and the options of a plug-in, read from its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from nas import plugins
from nas.errors import UsageError, unknown

__all__ = ["Range", "Registry", "Settings", "checked_options", "normal", "options"]

Plugin = TypeVar("Plugin")

Settings = Mapping[str, Mapping[str, Any]]
"""Options by plug-in name: ``{"evolution": {"population": 100}}``."""


def normal(name: str) -> str:
    """A name as the registries compare it: in lower case, with ``_`` for ``-``."""
    return name.strip().lower().replace("-", "_")


class Registry(Generic[Plugin]):
    """The plug-ins of one kind by name.

    Looking up an unknown name raises `UsageError` with the known names and the nearest match; so does registering one
    name from two places. Registering it again from the same place (a reloaded file) replaces it. The first look-up in
    any registry loads the plug-ins.

    Args:
        kind: what they are, in messages.
        folder: a package that few commands need; its modules are imported at the first look-up here.
    """

    def __init__(self, kind: str, folder: str | None = None) -> None:
        self.kind = kind
        self._folder = folder
        self._plugins: dict[str, Plugin] = {}
        self._origins: dict[str, str] = {}

    def add(self, name: str, plugin: Plugin, origin: str) -> None:
        key = normal(name)
        if key in self._plugins and self._origins[key] != origin:
            raise UsageError(f"two {self.kind}s are called {key!r}: one in {self._origins[key]}, one in {origin}")
        self._plugins[key], self._origins[key] = plugin, origin

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """A context: what is registered in it is gone afterwards."""
        plugins, origins = dict(self._plugins), dict(self._origins)
        try:
            yield
        finally:
            self._plugins, self._origins = plugins, origins

    def __getitem__(self, name: str) -> Plugin:
        self._load()
        if normal(name) not in self._plugins:
            raise unknown(self.kind, name, self._plugins)
        return self._plugins[normal(name)]

    def __contains__(self, name: object) -> bool:
        self._load()
        return isinstance(name, str) and normal(name) in self._plugins

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._plugins))

    def __len__(self) -> int:
        self._load()
        return len(self._plugins)

    def _load(self) -> None:
        plugins.load()
        if self._folder:
            folder, self._folder = self._folder, None  # first, since what is imported there may look here
            plugins.load_folder(folder)


def origin(function: Callable[..., Any]) -> str:
    """The file that a plug-in was written in, by which two of one name are told apart."""
    return inspect.getsourcefile(function) or function.__module__


@dataclass(frozen=True)
class Range:
    """The numbers that an option takes: ``images: Annotated[int, Range(1)] = 16``; for a list, each of its numbers.

    Attributes:
        least: the smallest one.
        most: the largest one.
        above: they are larger than this.
    """

    least: float = -inf
    most: float = inf
    above: float = -inf

    def __contains__(self, value: float) -> bool:
        return isfinite(value) and self.above < value and self.least <= value <= self.most

    def __str__(self) -> str:
        bounds = {"more than": self.above, "at least": self.least, "at most": self.most}
        return " and ".join(f"{words} {bound:g}" for words, bound in bounds.items() if isfinite(bound))


def options(function: Callable[..., Any]) -> dict[str, Any]:
    """The options of a plug-in with their defaults: its keyword-only arguments."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def checked_options(plugin: str, function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """``values``, checked against the names, the types of the defaults and the annotations of ``function``: `Literal`
    and `Range`.

    Raises:
        UsageError: an option that ``function`` does not have, a value of another type than its default, or one that the
            annotation does not allow.
    """
    defaults = options(function)
    accepted = {}
    for name, value in values.items():
        if normal(name) not in defaults:
            raise unknown(f"option of {plugin}", name, defaults)
        accepted[normal(name)] = _converted(f"{plugin}.{normal(name)}", function, normal(name), value)
    return accepted


def _converted(label: str, function: Callable[..., Any], name: str, value: Any) -> Any:
    default = options(function)[name]
    hint = get_type_hints(function).get(name)
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise unknown(f"value for {label}", value, map(str, get_args(hint)))
    converted = _of_type(default, value, label)
    annotations = getattr(get_type_hints(function, include_extras=True).get(name), "__metadata__", ())
    for allowed in (annotation for annotation in annotations if isinstance(annotation, Range)):
        for number in converted if isinstance(default, tuple) else (converted,):
            if number not in allowed:
                raise UsageError(f"{label} is {allowed}, not {number!r}")
    return converted


def _of_type(default: Any, value: Any, label: str) -> Any:
    if isinstance(default, tuple):
        values = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if isinstance(values, int | float):
            values = [values]
        if not isinstance(values, list | tuple) or not values:
            raise UsageError(f"{label} takes a list like {','.join(map(str, default))}, not {value!r}")
        return tuple(_like(default[0], part, label) for part in values) if default else tuple(values)
    return _like(default, value, label)


def _like(default: Any, value: Any, label: str) -> Any:
    """``value`` as the type of ``default``, where it fits; numbers may come as text (``1e-3`` is text in YAML)."""
    if default is None or isinstance(default, inspect.Parameter | type):
        return value
    kind = type(default)
    if kind in (int, float) and isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise UsageError(f"{label} takes {_article(kind)}, not {value!r}") from None
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise UsageError(f"{label} takes {_article(kind)}, not {value!r}")
    return value


def _article(kind: type) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(kind, f"a {kind.__name__}")


def check_number(name: str, value: Any, least: int) -> None:
    """`UsageError` for anything but a whole number from ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**32:
        raise UsageError(f"{name} is a whole number: give at least {least} and less than 2^32, not {value!r}")
