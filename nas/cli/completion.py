"""Names that the shell completes: read from the files of the plug-ins, without importing torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

REGISTERED = re.compile(r"^(?:\w+ = )?@?(?:space|proxy|combination|searcher)\(\s*\"(\w+)\"", re.MULTILINE)
"""A decorator or a combination with the name that it registers."""


def registered(folder: str) -> list[str]:
    """The names that the plug-ins of this project register, in ``spaces``, ``proxies`` or ``searchers``."""
    spec = find_spec(folder)
    places = map(Path, (spec.submodule_search_locations or ()) if spec is not None else ())
    texts = [file.read_text(encoding="utf-8") for place in places for file in sorted(place.glob("*.py"))]
    return sorted({name for text in texts for name in REGISTERED.findall(text)})


def spaces(incomplete: str) -> Iterator[str]:
    return (name for name in registered("spaces") if name.startswith(incomplete))


def searchers(incomplete: str) -> Iterator[str]:
    return (name for name in registered("searchers") if name.startswith(incomplete))


def proxies(incomplete: str) -> Iterator[str]:
    """The last name of some that are joined with commas or ``+``."""
    *_, last = re.split("[,+]", incomplete)
    before = incomplete[: len(incomplete) - len(last)]
    return (before + name for name in registered("proxies") if name.startswith(last))
