"""Imports the plug-ins: our folders, other distributions' entry points, and files that the user names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from nas.errors import UsageError
from nas.files import check_file, check_may_run

__all__ = ["load"]

FOLDERS = ("spaces", "proxies", "searchers", "nas.data.sources")
GROUP = "nas.plugins"
"""The entry-point group: each entry names a module that registers plug-ins when it is imported."""


def load(files: Iterable[str | Path] = ()) -> None:
    """Imports everything that registers plug-ins. Calling it again imports only files that are new or have changed:
    what is installed is looked up once in a process.

    Args:
        files: the user's Python files; importing them runs them.

    Raises:
        UsageError: another distribution's package has the name of one of ours, or a file cannot be imported.
    """
    if not _is_loaded:
        _load_registered()
    for file in files:
        _import_file(Path(os.path.expanduser(file)))


_is_loaded = False


def _load_registered() -> None:
    global _is_loaded
    _is_loaded = True  # first, since what is imported here may look into a registry
    try:
        _import_registered()
    except BaseException:
        _is_loaded = False
        raise


def _import_registered() -> None:
    check_packages()
    for folder in FOLDERS:
        load_folder(folder)
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except (Exception, SystemExit) as error:  # third-party code: say whose it is, in one line
            raise UsageError(f"the plug-in {entry.name} ({entry.value}) cannot be imported: {_short(error)}") from error


def load_folder(folder: str) -> None:
    """Imports the modules of one folder."""
    package = importlib.import_module(folder)
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{folder}.{module.name}")


def check_packages() -> None:
    """`UsageError` where a package of another's has the name of one of ours; nothing of either is run."""
    for folder in FOLDERS:
        _check_ours(folder)


def _check_ours(folder: str) -> None:
    """`UsageError` unless ``folder`` is our package: all are installed side by side, so ours lies beside this one."""
    ours = Path(__file__).resolve().parent.parent.joinpath(*folder.split("."))
    try:
        spec = importlib.util.find_spec(folder)
    except ValueError:  # imported already, and made by hand
        spec = None
    places = [Path(place).resolve() for place in (spec.submodule_search_locations or [])] if spec else []
    if ours not in places:
        where = f"in {places[0] if places else spec.origin}" if spec else "nowhere"
        raise UsageError(
            f"the package {folder!r} was found {where} instead of in {ours}: gradalign-nas needs this name; rename "
            "what is yours, or install gradalign-nas in an environment of its own"
        )


def _import_file(path: Path) -> None:
    check_file(path, "plug-in file")
    name = f"nas_plugin_{path.stem}"
    if name in sys.modules and _run[name][0] != path.resolve():  # another folder's file of the same name
        name += "_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    text = path.read_bytes()
    if name in sys.modules and _run.get(name) == (path.resolve(), text):
        return
    check_may_run(path)
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"plug-in file {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        exec(compile(text, path.resolve(), "exec"), vars(module))  # cached bytecode may be out of date by a second
    except (Exception, SystemExit) as error:  # whatever the user's file raises is the user's to read, in one line
        del sys.modules[name]
        raise UsageError(f"plug-in file {path} cannot be imported: {_short(error)}") from error
    _run[name] = path.resolve(), text


_run: dict[str, tuple[Path, bytes]] = {}
"""The plug-in files that were run, by the name of the module: path and content."""


def module_of(file: str | Path) -> ModuleType | None:
    """The module that a plug-in file was run as; None where it was not."""
    path = Path(os.path.expanduser(file)).resolve()
    return next((sys.modules.get(name) for name, (place, _) in _run.items() if place == path), None)


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
