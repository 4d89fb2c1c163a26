"""The version of a plug-in: a digest of its source, by which scores of other versions are told apart."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

PLUGINS = ("spaces", "proxies")
"""Packages whose modules always count, wherever they are imported."""
ENGINE = ("nas", "torch", "numpy", "scipy", "networkx")
"""Packages whose versions do not count here: the store has a constant for the engine, and keeps torch's version."""
INSTALLED = tuple(Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib"))

_known: WeakKeyDictionary[Any, str | None] = WeakKeyDictionary()


def version(maker: Callable[..., Any] | ModuleType) -> str | None:
    """A digest of the module that ``maker`` is, or is defined in, and of all that it imports from beside it.

    Beside it means in its folder or below, in its package, or among our own plug-ins. Of other distributions that any
    of these import, only the version counts; and of ``maker`` itself too, where that is an installed package. None
    where there is no source, as for code typed into a notebook.

    A change on disk is seen when the module is run again, not before: until then the old code computes the scores.
    """
    if maker not in _known:
        module = maker if isinstance(maker, ModuleType) else sys.modules.get(maker.__module__)
        _known[maker] = None if module is None else _digest(module)
    return _known[maker]


def _digest(module: ModuleType) -> str | None:
    if hasattr(module, "__path__") and hasattr(module, "__version__"):
        return f"{module.__name__} {module.__version__}"
    if not getattr(module, "__file__", None):
        return None
    root = Path(str(module.__file__)).resolve()
    texts = {root: _read(root)}
    others: set[str] = set()
    waiting = [(module.__name__, root)]
    while waiting:
        name, path = waiting.pop()
        for imported in _imports(name, path.name == "__init__.py", texts[path]):
            file = _file(imported)
            if file is not None and _beside(imported, file, module.__name__, root):
                if file not in texts:
                    texts[file] = _text(file)
                    waiting.append((imported, file))
            else:
                others.add(imported.partition(".")[0])
    digest = hashlib.sha256()
    for release in sorted(filter(None, map(_release, others))):
        digest.update(release.encode() + b"\0")
    for name, text in sorted((path.name, text) for path, text in texts.items()):
        digest.update(f"{name} {len(text)}\n".encode() + text)
    return digest.hexdigest()[:16]


def _imports(name: str, is_package: bool, text: bytes) -> Iterator[str]:
    """The full names of a module's imports, wherever they are; for ``from a import b`` both ``a`` and ``a.b``."""
    package = name.split(".") if is_package else name.split(".")[:-1]
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # not Python: whoever imports it goes on without, or fails
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            if source:
                yield source
            yield from (".".join(filter(None, [source, alias.name])) for alias in node.names if alias.name != "*")


@cache
def _file(name: str) -> Path | None:
    """The file of a module, without importing anything; None for what is no module or is not written in Python."""
    top, *rest = name.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or (rest and not spec.submodule_search_locations):
        return None
    if not rest:
        return Path(spec.origin).resolve() if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        for path in (Path(folder, *rest).with_name(f"{rest[-1]}.py"), Path(folder, *rest, "__init__.py")):
            if path.is_file():
                return path.resolve()
    return None


def _read(path: Path) -> bytes:
    """The content of a file, the same on every system."""
    return path.read_bytes().replace(b"\r\n", b"\n")


_text = cache(_read)
"""The content of a file when it was first read: imported modules are not run again."""


def _beside(name: str, file: Path, root_name: str, root: Path) -> bool:
    top = name.partition(".")[0]
    if top == "nas":
        return False
    if top in PLUGINS or top == root_name.partition(".")[0]:
        return True
    return file.is_relative_to(root.parent) and not any(file.is_relative_to(folder) for folder in INSTALLED)


@cache
def _release(package: str) -> str:
    """A package with its version; the name alone for the standard library and for what has none."""
    if package in ENGINE or package in sys.stdlib_module_names:
        return ""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package
