"""The architecture, enforced: rooms and their doors, what stands at the top level, and a stranger's package."""

import ast
import os
import re
import subprocess
import sys
from types import ModuleType

import networkx as nx
import pytest
from cases import ROOT

import nas
from nas import plugins
from nas.errors import UsageError

FOLDERS = ("spaces", "proxies", "searchers")
LOBBY = ("errors", "files", "registry", "space", "choices", "graph", "proxy", "probe", "searcher", "plugins")
"""What plug-ins import. Its modules, and the package `nas.choices`, lie in nas/ itself, every other one in a room."""
FLOORS = (
    ("errors",),
    ("passes",),
    ("lobby",),
    ("data",),
    ("scoring",),
    ("statistics", "store"),
    ("engines",),
    ("runs",),
    ("training", "formats"),
    ("report",),
    ("studies",),
    ("calls",),
    ("cli", "testing"),
)
"""The rooms, from the ground up. No room imports one above it, or another one on its own floor."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def modules():
    """Every module of the engine by its dotted name, with its file."""
    files = sorted((ROOT / "nas").rglob("*.py"))
    names = (".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files)
    return dict(zip(names, files, strict=True))


MODULES = modules()


def imports(file):
    """The project's own modules that a file imports, wherever in it."""
    met = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            within = {name for name in names if name in MODULES or node.module in FOLDERS}
            met |= within | ({node.module} if len(within) < len(names) else set())
        elif isinstance(node, ast.Import):
            met |= {alias.name for alias in node.names}
    return {name for name in met if name.split(".")[0] in ("nas", *FOLDERS)}


def room(module):
    """``nas.scoring.limits`` lies in ``scoring``, ``nas.space`` in the lobby."""
    first = module.split(".")[1]
    return "lobby" if first in LOBBY and first not in FLOOR else first


def files(folder):
    return sorted((ROOT / folder).glob("*.py"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_plugins_import_the_lobby_and_their_own(folder):
    doors = {f"nas.{name}" for name in LOBBY if name != "plugins"}
    for file in files(folder):
        strangers = {name for name in imports(file) if name not in doors and not name.startswith(f"{folder}.")}
        assert not strangers, f"{file.name} imports {strangers}"


def test_only_plugins_imports_the_folders():
    for module, file in MODULES.items():
        if module != "nas.plugins":
            assert not {name for name in imports(file) if name.startswith(FOLDERS)}, module


def test_every_module_lies_in_a_room():
    assert {room(module) for module in MODULES if module != "nas"} == set(FLOOR)


def test_rooms_import_downwards_only():
    for module, file in MODULES.items():
        if module == "nas":
            continue
        for name in imports(file) - {"nas"}:
            here, there = room(module), room(name)
            assert here == there or FLOOR[there] < FLOOR[here], f"{module} imports {name}"


def test_no_files_import_in_a_circle():
    graph = nx.DiGraph((module, name) for module, file in MODULES.items() for name in imports(file) if module != "nas")
    assert not list(nx.simple_cycles(graph))


def test_searchers_and_proxies_see_only_what_they_may():
    for file in files("searchers"):
        assert "torch" not in file.read_text(), f"{file.name}: a searcher never sees a network"
    for file in files("proxies"):
        assert not imports(file) & {"nas.space", "nas.searcher"}, f"{file.name}: a proxy never sees an architecture"


def test_functions_fit_on_a_screen():
    for module, file in MODULES.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = node.end_lineno - node.lineno + 1
                assert length <= 60, f"{module}.{node.name} has {length} lines"


def test_the_lobby_is_there_after_import_nas_alone():
    code = "import nas; print(nas.space.SPACES['nasbench201'].__name__, nas.proxy.PROXIES['params'].name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["nasbench201", "params"]
    assert set(nas.LOBBY) == set(LOBBY)


def test_importing_the_probe_tunes_no_process():
    code = (
        "import gc, sys, nas.probe, nas.plugins; nas.plugins.load();"
        "print(gc.get_freeze_count(), 'nas.scoring.memory' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "0"


def test_nothing_else_lies_at_the_top():
    agreed = {
        "nas", "searchers", "spaces", "proxies", "tests", "runs", "setup.cfg", "README.md", "pyproject.toml", "LICENSE",
        "CHANGELOG.md", "CITATION.cff", "SECURITY.md", "constraints.txt", "benchmarks", "docs", "build", "dist",
        "mkdocs.yml", "MANIFEST.in",
    }  # fmt: skip
    names = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.suffix != ".egg-info"}
    assert names <= agreed | {"__pycache__"}


def test_files_stay_readable():
    for file in (*MODULES.values(), *(file for folder in FOLDERS for file in files(folder))):
        assert len(file.read_text().splitlines()) <= 450, file.name


def test_a_proxys_tests_lie_under_its_familys_name():
    families = [file.stem for file in files("proxies") if "@proxy(" in file.read_text()]
    assert not [name for name in families if not (ROOT / "tests" / "proxies" / f"test_{name}.py").exists()]


def test_tests_lie_in_rooms():
    rooms = {*FLOOR, *FOLDERS} - {"lobby", "errors"}
    folders = {file.parent.relative_to(ROOT / "tests").parts[0] for file in (ROOT / "tests").glob("*/**/test_*.py")}
    assert folders <= rooms, f"{folders - rooms} are no rooms"


def test_a_strangers_package_is_refused(tmp_path, monkeypatch):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spaces")
    monkeypatch.setattr(plugins, "_is_loaded", False)
    with pytest.raises(
        UsageError, match=rf"'spaces' was found in {tmp_path}/spaces instead of in .*environment of its own"
    ):
        plugins.load()


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("kind", ["a package", "a file"])
def test_a_strangers_package_is_met_before_anything_is_imported(tmp_path, name, kind):
    """By the command line, in one sentence: neither the stranger's code nor our other packages are run."""
    place = tmp_path / f"{name}.py" if kind == "a file" else tmp_path / name / "__init__.py"
    place.parent.mkdir(exist_ok=True)
    place.write_text("print('the stranger ran')")
    code = (
        "import sys; sys.argv[1:] = ['list', 'searchers']; from nas import cli\n"
        "try: cli.main()\n"
        "finally: print([name for name in sys.modules if name.startswith(('spaces', 'proxies', 'searchers', 'torch'))])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert done.stdout == "[]\n"
    assert re.fullmatch(
        rf"nas: the package '{name}' was found in {re.escape(str(tmp_path))}\S+ instead of in \S+: gradalign-nas needs "
        r"this name; rename what is yours, or install gradalign-nas in an environment of its own\n", done.stderr,
    )  # fmt: skip


def test_a_package_that_was_made_by_hand_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "searchers", ModuleType("searchers"))  # whose __spec__ is None
    monkeypatch.setattr(plugins, "_is_loaded", False)
    with pytest.raises(UsageError, match="the package 'searchers' was found nowhere instead of in"):
        plugins.load()


def test_entry_points_are_loaded(monkeypatch):
    loaded = []

    class Entry:
        def load(self):
            loaded.append(1)

    monkeypatch.setattr(plugins, "_is_loaded", False)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [Entry()] if group == "nas.plugins" else [])
    plugins.load()
    assert loaded == [1]
