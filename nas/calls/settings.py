"""Checks of what a user asks for: names, options, numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from nas.errors import UsageError, unknown
from nas.proxy import PROXIES, Proxy, ProxyFn, as_proxy, is_registered
from nas.registry import Settings, check_number, checked_options, normal, options
from nas.searcher import SEARCHERS, Searcher
from nas.space import SPACES, Arch, Space, is_leaf
from nas.studies import STUDIES


def parse(space: Space, text: str) -> Arch:
    """An architecture from its notation; `UsageError` where it cannot be read, or leaves options open in a space that
    has no supernet."""
    try:
        arch = space.parse(text)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None
    if not is_leaf(arch) and not space.supernet:
        raise UsageError(f"{text!r} leaves options open, and this space has no supernet: name one option each")
    return arch


def proxy_list(proxies: Sequence[str | Proxy | ProxyFn] | str | ProxyFn) -> dict[str, str | Proxy | ProxyFn]:
    """What `nas.scoring.objective.Objective` takes, a name or a function, by registered name, each once.

    Args:
        proxies: names, joined with commas or in a list, ``all`` for every one registered that does not depend on the
            machine, or functions of a probe.

    Raises:
        UsageError: a name is unknown, or two functions have one name.
    """
    if isinstance(proxies, str):
        proxies = proxies.split(",")
    entries = list(proxies or ()) if isinstance(proxies, Sequence | None) else [proxies]
    if entries == ["all"]:
        return {name: name for name in PROXIES if not PROXIES[name].machine}
    if not any(not isinstance(entry, str) or entry.strip() for entry in entries):
        raise UsageError(f"no proxy was named: known are {', '.join(PROXIES)}")
    named: dict[str, str | Proxy | ProxyFn] = {}
    for entry in entries:
        name = proxy_expression(entry)
        if not is_registered_name(name, entry) and (name in named or name in PROXIES):
            raise UsageError(f"two proxies are called {name!r}: give the function another name")
        named.setdefault(name, name if is_registered_name(name, entry) else entry)
    return named


def is_registered_name(name: str, entry: str | Proxy | ProxyFn) -> bool:
    """Whether ``entry`` stands for the registered proxy ``name``."""
    return isinstance(entry, str) or is_registered(as_proxy(entry))


def proxy_expression(proxy: str | Proxy | ProxyFn) -> str:
    """The registered name of a proxy, or names joined with ``+``; for a function its name."""
    if isinstance(proxy, str):
        return "+".join(PROXIES[part].name for part in proxy.split("+"))
    return as_proxy(proxy).name


def as_list(value: Any) -> Any:
    """One text or path as a list of one."""
    return [value] if isinstance(value, str | Path) else value


def draw(rows: Sequence[int], count: int | str, seed: int, keep: Callable[[int], bool] | None = None) -> list[int]:
    """``count`` of ``rows`` in their order, or ``all`` of them; `UsageError` for fewer than two or too many.

    Args:
        keep: whether a row may be drawn; called once for each row, in the order of the draw, until there are enough.
    """
    if isinstance(count, str):
        if normal(count) != "all" and not re.fullmatch(r"\s*[0-9]{1,9}\s*", count):
            raise UsageError(f"--archs takes a number or 'all', not {count!r}")
        count = len(rows) if normal(count) == "all" else int(count)
    if not 2 <= count <= len(rows):
        raise UsageError(
            f"{count} architectures cannot be compared: the table has a target for {len(rows)}, and it takes 2 or more"
        )
    if keep is None:
        return sorted(Random(seed).sample(rows, count)) if count < len(rows) else list(rows)
    sample = list(islice(filter(keep, Random(seed).sample(rows, len(rows))), count))
    if len(sample) < (2 if count == len(rows) else count):
        raise UsageError(
            f"{count} architectures cannot be drawn: of the table's {len(rows)}, {len(sample)} are within the limits "
            "and are no repetitions"
        )
    return sorted(sample)


def checked_settings(settings: Settings) -> dict[str, dict[str, Any]]:
    """Settings by registered name; `UsageError` for a plug-in, or an option, that does not exist."""
    if not isinstance(settings, Mapping):
        raise UsageError(
            f"settings are options by plug-in, like {{'evolution': {{'population': 100}}}}, not {settings!r}"
        )
    checked = {}
    for name, values in settings.items():
        owner = normal(str(name))
        if not isinstance(values, Mapping):
            raise UsageError(f"the options of {name} are 'name: value' pairs, not {values!r}")
        if owner in SEARCHERS:
            function: Callable[..., Any] = SEARCHERS[owner].function
        elif owner in SPACES:
            function = SPACES[owner]
        elif owner in PROXIES:
            checked[owner] = PROXIES[owner].checked(values)
            continue
        elif owner in STUDIES:
            function = STUDIES[owner].function
        else:
            raise unknown("plug-in", name, [*SEARCHERS, *SPACES, *PROXIES, *STUDIES])
        checked[owner] = checked_options(owner, function, values)
    return checked


def with_batch(settings: Settings, searcher: Searcher, batch: int | None) -> dict[str, Any]:
    """``settings`` with the searcher's ``batch``; None leaves it as it is. `UsageError` for a searcher without one."""
    if batch is None:
        return dict(settings)
    check_number("batch", batch, 1)
    if "batch" not in options(searcher.function):
        raise UsageError(f"{searcher.name} proposes in rounds of its own size, so it takes no batch: leave it out")
    before = next((values for name, values in settings.items() if normal(str(name)) == searcher.name), {})
    others = {name: values for name, values in settings.items() if normal(str(name)) != searcher.name}
    return others | {searcher.name: {**before, "batch": batch}}
