"""What a user asks for, checked: names, options, numbers; and how a run records them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from nas.errors import UsageError, unknown
from nas.proxy import PROXIES
from nas.registry import Settings, check_number, checked_options, normal, options
from nas.runs.folder import plugin_source
from nas.searcher import SEARCHERS, Searcher
from nas.space import SPACES, Arch, Space, is_leaf
from nas.studies import STUDIES


def parse(space: Space, text: str) -> Arch:
    """An architecture from its notation; `UsageError` where it is none, or leaves options open of which the space can
    build no supernet."""
    try:
        arch = space.parse(text)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None
    if not is_leaf(arch) and not space.supernet:
        raise UsageError(f"{text!r} leaves options open, and this space has no supernet: name one option each")
    return arch


def proxy_names(given: Sequence[str] | str) -> list[str]:
    """Names of proxies and combinations as registered, each once; ``all`` is every one."""
    names = given.split(",") if isinstance(given, str) else [str(name) for name in given or ()]
    if names == ["all"]:
        return list(PROXIES)
    if not any(name.strip() for name in names):
        raise UsageError(f"no proxy was named: known are {', '.join(PROXIES)}")
    return list(dict.fromkeys("+".join(PROXIES[part].name for part in name.split("+")) for name in names))


def several(given: Any) -> Any:
    """One text or path as a list of one."""
    return [given] if isinstance(given, str | Path) else given


def draw(rows: Sequence[int], count: int | str, seed: int, keep: Callable[[int], bool] | None = None) -> list[int]:
    """``count`` of ``rows`` in their order, or ``all`` of them; `UsageError` for fewer than two or too many.

    Args:
        keep: whether a row may be drawn; asked of each row once, in the order of the draw, until there are enough.
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
    kept = list(islice(filter(keep, Random(seed).sample(rows, len(rows))), count))
    if len(kept) < (2 if count == len(rows) else count):
        raise UsageError(
            f"{count} architectures cannot be drawn: of the table's {len(rows)}, {len(kept)} keep the limits "
            "and are no repetitions"
        )
    return sorted(kept)


def checked_settings(settings: Settings) -> dict[str, dict[str, Any]]:
    """Settings by registered name; `UsageError` for a plug-in, or an option, that does not exist."""
    checked = {}
    for name, given in settings.items():
        owner = normal(str(name))
        if not isinstance(given, Mapping):
            raise UsageError(f"the options of {name} are 'name: value' pairs, not {given!r}")
        if owner in SEARCHERS:
            function: Callable[..., Any] = SEARCHERS[owner].function
        elif owner in SPACES:
            function = SPACES[owner]
        elif owner in STUDIES:
            function = STUDIES[owner].function
        elif owner in PROXIES:
            PROXIES[owner].with_options(dict(given))
            function = PROXIES[owner].function or (lambda: None)
        else:
            raise unknown("plug-in", name, [*SEARCHERS, *SPACES, *PROXIES, *STUDIES])
        checked[owner] = checked_options(owner, function, given)
    return checked


def with_batch(settings: Settings, searcher: Searcher, batch: int | None) -> dict[str, Any]:
    """``settings`` with the searcher's ``batch``; None leaves it as it is. `UsageError` for a searcher without one."""
    if batch is None:
        return dict(settings)
    check_number("batch", batch, 1)
    if "batch" not in options(searcher.function):
        raise UsageError(f"{searcher.name} proposes in rounds of its own size, so it takes no batch: leave it out")
    before = next((given for name, given in settings.items() if normal(str(name)) == searcher.name), {})
    others = {name: given for name, given in settings.items() if normal(str(name)) != searcher.name}
    return others | {searcher.name: {**before, "batch": batch}}


def plain_config(**settings: Any) -> dict[str, Any]:
    """The settings of a run under their names on the command line, as plain values for YAML."""
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=_plain))
    if plain.get("plugin"):
        plain["plugin_source"] = plugin_source(plain["plugin"])
    return plain | {"proxies": ",".join(plain["proxies"])} if "proxies" in plain else plain


def _plain(value: Any) -> Any:
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else str(value)
