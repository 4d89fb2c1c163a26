"""The store's key, field by field."""

import json
import sys

import pandas as pd
import pytest
import torch
from stores import OPTIONS, SETTINGS, score

import nas
from nas import plugins
from nas.data.minibatch import minibatch
from nas.proxy import PROXIES
from nas.scoring.measurer import Measurer
from nas.space import make_space
from nas.store import store
from nas.store import versions as sources
from nas.store.store import Store


def test_what_is_there_is_not_measured_again(file, visits):
    first = score(file)
    assert len(visits) == 3
    again = score(file)
    assert len(visits) == 3
    pd.testing.assert_frame_equal(first, again)
    assert (again["seconds"] > 0).all()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"precision": "float64"},
        {"batch_size": 16},
        {"data": "synthetic:classes=4,size=8"},
        {"data": "synthetic:classes=3,size=16"},
        {"settings": SETTINGS | {"nasbench201": {"widths": (4, 8), "repeats": 2}}},
        {"proxies": "grad_norm"},
        {"proxies": "gradalign_ii", "settings": SETTINGS | {"gradalign_ii": {"eps": 0.1}}},
        {"archs": ["100", "200", "300"]},
    ],
    ids=str,
)
def test_whatever_determines_a_score_keeps_it_apart(file, visits, change):
    score(file)
    score(file, proxies="gradalign_ii")
    before = len(visits)
    score(file, **change)
    assert len(visits) == before + 3
    score(file, **change)
    score(file)
    assert len(visits) == before + 3


def test_options_that_are_the_defaults_change_nothing(file, visits):
    score(file, proxies="gradalign_ii")
    score(file, proxies="GradAlign-II", settings=SETTINGS | {"gradalign_ii": {"eps": "1e-3"}})
    assert len(visits) == 3


def key_of(proxy="gradsign", settings=SETTINGS, seed=0, precision="float32", data="synthetic:classes=3,size=8"):
    space = make_space("nasbench201", settings)
    measurer = Measurer(space, minibatch(data, 12, 0), seed=seed, device="cpu", precision=precision)
    shelf = Store("unused").shelf("nasbench201", settings)(measurer)
    return json.loads(shelf.key(space.full(), PROXIES[proxy]))


def another_device(monkeypatch):
    monkeypatch.setattr(Measurer, "__init__", with_device(Measurer.__init__))


def with_device(original):
    def init(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.device = torch.device("cuda:1")

    return init


def another_text(name):
    """The source of a module that others import is another one."""

    def change(monkeypatch):
        known = sources._text
        monkeypatch.setattr(sources, "_known", type(sources._known)())
        monkeypatch.setattr(sources, "_text", lambda path: known(path) + b"#" * (path.name == name))

    return change


def another_root(name):
    """The source of the module that a plug-in is defined in is another one."""

    def change(monkeypatch):
        known = sources._read
        monkeypatch.setattr(sources, "_known", type(sources._known)())
        monkeypatch.setattr(sources, "_read", lambda path: known(path) + b"#" * (path.name == name))

    return change


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("seed", {"seed": 3}),
        ("precision", {"precision": "bfloat16"}),
        ("minibatch", {"data": "synthetic:classes=4,size=8"}),
        ("task", {"data": "synthetic:classes=4,size=8"}),
        ("space_options", {"settings": {}}),
        ("proxy", {"proxy": "naswot"}),
        ("device", another_device),
        ("engine", lambda monkeypatch: monkeypatch.setattr(store, "ENGINE_VERSION", store.ENGINE_VERSION + 1)),
        ("torch", lambda monkeypatch: monkeypatch.setattr(store, "torch_release", lambda: "1.13")),
        ("space_version", another_root("nasbench201.py")),
        ("space_version", another_text("_cell.py")),
        ("space_version", another_text("cells.py")),
        ("proxy_version", another_root("gradsign.py")),
    ],
)
def test_each_field_of_the_key(monkeypatch, field, change):
    before = key_of()
    if callable(change):
        change(monkeypatch)
        after = key_of()
    else:
        after = key_of(**change)
    assert set(before) == set(store.FIELDS)
    assert before[field] != after[field]
    same = {"proxy": {"proxy_version"}, "minibatch": {"task"}, "task": {"minibatch"}}.get(field, set())
    assert {name for name in before if before[name] != after[name]} <= {field} | same


def test_a_device_of_the_same_kind_is_the_same(monkeypatch):
    another_device(monkeypatch)
    assert key_of()["device"] == "cuda"


def test_a_module_that_does_not_matter_changes_nothing(monkeypatch):
    before = key_of()
    another_text("_genotype.py")(monkeypatch)
    another_root("darts.py")(monkeypatch)
    assert key_of() == before


PLUGIN = """
from nas.proxy import proxy
{imports}

@proxy("from_a_file")
def from_a_file(probe):
    return {value}
"""


def test_a_plug_in_file_is_run_again_when_it_changes_and_old_scores_are_not_found(file, tmp_path, visits):
    plugin = tmp_path / "mine.py"
    for value, measured in ((1.0, 3), (2.0, 6), (2.0, 6), (1.0, 6)):
        plugin.write_text(PLUGIN.format(imports="", value=value))
        assert score(file, proxies="from_a_file", plugin=[plugin])["value"].tolist() == [value] * 3
        assert len(visits) == measured


def test_what_a_plug_in_file_imports_from_beside_it_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    plugin, beside = tmp_path / "mine_too.py", tmp_path / "beside_mine.py"
    text = PLUGIN.format(imports="import beside_mine, json, torch", value="beside_mine.VALUE")
    plugin.write_text(text.replace("from_a_file", "from_beside"))
    beside.write_text("VALUE = 1")
    plugins.load([plugin])
    versions = []
    for text in ("VALUE = 1", "VALUE = 2"):
        beside.write_text(text)
        sources._text.cache_clear()  # as in a new process
        versions.append(sources._digest(sys.modules["nas_plugin_mine_too"]))
    assert versions[0] != versions[1]


def test_what_has_no_source_is_not_kept(file, visits):
    typed = PLUGIN.format(imports="", value=1.0).replace("from_a_file", "typed_in")
    exec(compile(typed, "<typed in>", "exec"), {"__name__": "nowhere"})
    score(file, proxies="typed_in")
    score(file, proxies="typed_in")
    assert len(visits) == 6


NETWORK = """
from torch import nn

def small(classes, channels):
    return nn.Sequential(nn.Conv2d(channels, {width}, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear({width}, classes))
"""


def test_the_file_of_a_users_network_counts(file, tmp_path, visits):
    networks = tmp_path / "own_networks.py"
    for width, measured in ((4, 1), (8, 2), (8, 2), (4, 2)):
        networks.write_text(NETWORK.format(width=width))
        found = nas.score("networks", [f"{networks}:small"], "params", store=file, **OPTIONS)
        assert found["value"].tolist() == [27 * width + width + 3 * width + 3]
        assert len(visits) == measured


def test_the_version_of_an_installed_package_counts(monkeypatch):
    package = type(sys)("some_models")
    package.__path__, package.__version__ = [], "1.2"
    assert sources.version(package) == "some_models 1.2"
