"""The architecture, enforced: who may import whom, what stands at the top level, and a stranger's package."""

import ast
import sys
from pathlib import Path

import pytest

from nas import plugins
from nas.errors import UsageError

ROOT = Path(__file__).parent.parent
FOLDERS = ("spaces", "proxies", "searchers")
PROTOCOL = {"nas.space", "nas.proxy", "nas.probe", "nas.searcher", "nas.graph", "nas.registry"}
OWN = "nas.studies._"
LAYERS = [  # each module of the engine imports only from layers above its own
    {"errors", "allocator", "blocks", "layers", "svg"},
    {"registry", "intercept", "curvature", "logits", "graph", "folder", "official_rows", "unpickle", "sources"},
    {"charts", "page"},
    {
        "apart",
        "imagewise",
        "drawing",
        "recipe",
        "official_nats",
        "official_nasbench101",
        "official_nds",
        "official_suite_zero",
    },
    {"gradients", "passes", "trace", "space", "initialisation"},
    {"probe", "data", "searcher", "ancestry"},
    {"proxy", "table"},
    {"measurer", "stats", "official"},
    {"scorer", "limits", "store"},
    {"objective", "cost", "stored", "findings"},
    {"settings"},
    {"loop", "comparison", "plugins"},
    {"resume", "crew", "report_search", "report_compare"},
    {"engine_processes", "engine_ray"},
    {"engine"},
    {"calls", "space_checks"},
    {"compare_call", "study_call", "cli_options", "testing", "printing"},
    {"__init__"},
    {"cli_run", "cli_show", "cli_store", "cli_study", "cli_table"},
    {"cli"},
]


def imports(file):
    """The project's own modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module in ("nas", *FOLDERS) else set()
            )
            found |= names or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("nas", *FOLDERS)}


def files(folder):
    return sorted((ROOT / folder).glob("*.py"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_plugins_import_the_protocol_and_their_own(folder):
    for file in files(folder):
        strangers = {name for name in imports(file) if name not in PROTOCOL and not name.startswith(f"{folder}.")}
        assert not strangers, f"{file.name} imports {strangers}"


def test_only_plugins_imports_the_folders():
    for file in files("nas"):
        if file.name != "plugins.py":
            assert not {name for name in imports(file) if name.startswith(plugins.FOLDERS)}, file.name


def test_studies_import_the_engine_below_its_settings_and_their_own():
    below = {f"nas.{name}" for layer in LAYERS[: LAYERS.index({"settings"})] for name in layer}
    for file in files("nas/studies"):
        strangers = {n for n in imports(file) if f"nas.{n.split('.')[1]}" not in below and not n.startswith(OWN)}
        assert not strangers, f"{file.name} imports {strangers}"


def test_the_engine_imports_one_way():
    level = {name: index for index, layer in enumerate(LAYERS) for name in layer}
    assert set(level) == {file.stem for file in files("nas")}, "every module has its layer"
    for file in files("nas"):
        for name in imports(file):
            other = name.split(".")[1]
            if file.stem == "__init__" or other not in level:
                continue
            assert level[other] < level[file.stem], f"nas.{file.stem} imports nas.{other}"


def test_searchers_and_proxies_see_only_what_they_may():
    for file in files("searchers"):
        assert "torch" not in file.read_text(), f"{file.name}: a searcher never sees a network"
    for file in files("proxies"):
        assert not imports(file) & {"nas.space", "nas.searcher"}, f"{file.name}: a proxy never sees an architecture"


def test_files_stay_readable():
    for folder in ("nas", "nas/studies", *FOLDERS):
        for file in files(folder):
            assert len(file.read_text().splitlines()) <= 450, file.name


def test_a_strangers_package_is_refused(tmp_path, monkeypatch):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spaces")
    with pytest.raises(
        UsageError, match=rf"'spaces' was found in {tmp_path}/spaces instead of in .*environment of its own"
    ):
        plugins.load()


def test_entry_points_are_loaded(monkeypatch):
    loaded = []

    class Entry:
        def load(self):
            loaded.append(1)

    monkeypatch.setattr(plugins, "entry_points", lambda group: [Entry()] if group == "nas.plugins" else [])
    plugins.load()
    assert loaded == [1]
