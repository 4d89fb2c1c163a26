"""What this installation can do here: versions, machine, store, extras, plug-ins."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "gradalign-nas"
NEEDED = ("torch", "numpy", "scipy", "pandas", "matplotlib", "networkx")
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "networks": ("timm",),
    "parquet": ("pyarrow",),
    "ray": ("ray",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "optuna": ("optuna",),
    "tensorboard": ("tensorboard",),
}
"""The modules that each extra brings."""


def doctor() -> dict[str, dict[str, str]]:
    """Section -> name -> what there is of it, in words: ``versions``, ``machine``, ``store``, ``extras`` (with the
    reason where an installed one does not import) and ``plug-ins``."""
    return {
        "versions": {"gradalign-nas": _version(DISTRIBUTION), "python": platform.python_version()}
        | {name: _version(name) for name in NEEDED},
        "machine": _machine(),
        "store": _store(),
        "extras": {extra: _extra(extra, modules) for extra, modules in EXTRAS.items()},
        "plug-ins": _plugins(),
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed (run from its sources)" if distribution == DISTRIBUTION else "not installed"


def _machine() -> dict[str, str]:
    import torch

    from nas.scoring.machine import machine

    cards = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {"cpu": machine(torch.device("cpu")), "cuda": ", ".join(cards) or "no card that torch can use"}


def _store() -> dict[str, str]:
    from nas.errors import UsageError
    from nas.store import packs
    from nas.store.store import default_store

    place = str(default_store())
    if place == "none":
        return {"file": "none: scores are not kept (NAS_STORE names a file)"}
    path = Path(place)
    if not path.exists():
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        able = "will be made with the first score" if os.access(parent, os.W_OK) else f"{parent} cannot be written"
        return {"file": f"{path}: {able}"}
    try:
        frame = packs.info(path)
    except UsageError as error:
        return {"file": str(error)}
    return {"file": str(path), "scores": f"{int(frame['scores'].sum()):,}"}


def _extra(extra: str, modules: tuple[str, ...]) -> str:
    """Whether the modules can be imported; the reason is that of the module that fails, which may be another one."""
    states = []
    for name in modules:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name == name:
                return f"not installed: pip install 'gradalign-nas[{extra}]'"
            states.append(f"{name} {_version(name)} does not import: {_line(error)}")
        except Exception as error:  # whatever a broken installation raises
            states.append(f"{name} {_version(name)} does not import: {_line(error)}")
        else:
            states.append(f"{name} {_version(name)}")
    return ", ".join(states)


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _plugins() -> dict[str, str]:
    from nas import plugins
    from nas.proxy import PROXIES
    from nas.searcher import SEARCHERS
    from nas.space import SPACES

    entries = [f"{entry.name} ({entry.value})" for entry in metadata.entry_points(group=plugins.GROUP)]
    counts = f"{len(SPACES)} spaces, {len(PROXIES)} proxies, {len(SEARCHERS)} searchers"
    return {"registered": counts, "from other packages": ", ".join(entries) or "none"}
