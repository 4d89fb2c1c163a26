"""The versions of all that made a run's scores, so that no run is continued with another network, proxy or library."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from nas.plugins import module_of
from nas.proxy import Proxy
from nas.space import SPACES, Arch, Space
from nas.store.store import ENGINE_VERSION, torch_release
from nas.store.versions import version


def run_versions(
    space: Space,
    space_name: str | None,
    archs: Iterable[Arch],
    proxies: Iterable[Proxy],
    device: str,
    plugins: Iterable[str | Path],
    **others: Callable[..., Any],
) -> dict[str, str]:
    """The versions of all that scores depend on besides the settings, by name; what has no source to tell versions
    apart is left out. The notion of a version is the store's, see `nas.store.versions.version`.

    Args:
        archs: those that may be scored, for spaces whose networks have `nas.space.Space.origins` of their own.
        device: its kind, as it was resolved.
        plugins: the user's files.
        others: further functions by their kind, such as the searcher.
    """
    makers: list[tuple[str, Any]] = []
    if space_name is not None:
        makers.append((f"the space {space_name}", SPACES[space_name]))
    modules = dict.fromkeys(module for arch in archs for module in space.origins(arch))
    makers += [(f"the networks of {_called(module)}", module) for module in modules]
    makers += [(f"the proxy {proxy.name}", proxy.function) for proxy in proxies]
    makers += [(f"the {kind}", function) for kind, function in others.items()]
    makers += [(f"the plug-in {Path(file).name}", module_of(file)) for file in plugins]
    versions: dict[str, set[str]] = {}
    for name, maker in makers:
        of = None if maker is None else version(maker)
        if of is not None:
            versions.setdefault(name, set()).add(of)
    fixed = {"the engine": str(ENGINE_VERSION), "torch": torch_release(), "the device": device}
    return {name: " ".join(sorted(digests)) for name, digests in versions.items()} | fixed


def every_option(space: Space) -> list[Arch]:
    """Leaves that together have every option of every slot; they need not be valid."""
    if not all(space.slots):
        return []
    count = max(map(len, space.slots), default=0)
    return [tuple((min(number, len(names) - 1),) for names in space.slots) for number in range(count)]


def digest(values: Mapping[str, object]) -> str:
    """A digest of values with their names, in their order."""
    text = "\n".join(f"{name} {value!r}" for name, value in values.items())
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _called(module: ModuleType) -> str:
    """A file's name, or that of a package."""
    file = getattr(module, "__file__", None)
    return module.__name__ if file is None or hasattr(module, "__path__") else Path(file).name
