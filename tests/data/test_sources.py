"""Kinds of data: how a source is named, and what a stranger's kind may do."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nas import plugins
from nas.data.minibatch import minibatch
from nas.data.opening import place, source_name
from nas.data.sources import SOURCES, Source
from nas.errors import UsageError
from nas.space import Task

DOCS = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A file of the kind of data in the docs, which is one file too; the kind is forgotten afterwards."""
    monkeypatch.setattr(SOURCES, "_plugins", dict(SOURCES._plugins))
    monkeypatch.setattr(SOURCES, "_origins", dict(SOURCES._origins))
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL)
    (tmp_path / "my_data.py").write_text(code)
    plugins.load([tmp_path / "my_data.py"])
    np.concatenate([np.arange(40)[:, None] % 2, PIXELS], axis=1).astype(np.uint8).tofile(tmp_path / "images.raw")
    yield tmp_path / "images.raw"
    del sys.modules["nas_plugin_my_data"]


PIXELS = np.random.default_rng(0).integers(0, 128, (40, 64))


def test_a_strangers_kind_is_used_as_ours(raw):
    data = minibatch(str(raw), 40)
    assert data.task == Task(2, 1, 8)
    whole = (PIXELS - PIXELS.mean()) / PIXELS.std()
    order = [int(np.abs(whole - image.flatten().numpy()).max(1).argmin()) for image in data.images]
    assert sorted(order) == list(range(40))
    assert data.labels.tolist() == [number % 2 for number in order]
    assert minibatch(f"raw:{raw}:size=8,signed=true", 40).images.allclose(data.images, atol=1e-6)
    assert minibatch(f"RAW:{raw}", 40).fingerprint == data.fingerprint
    with pytest.raises(UsageError, match=r"raw\.size is at least 1, not 0"):
        minibatch(f"{raw}:size=0", 40)
    with pytest.raises(UsageError, match=r"images\.raw:size=9: cannot be read as a \.raw file: cannot reshape"):
        minibatch(f"{raw}:size=9", 40)
    with pytest.raises(UsageError, match=r"unknown option of raw 'sise': .*did you mean 'size'"):
        minibatch(f"{raw}:sise=3", 40)
    with pytest.raises(UsageError, match=r"a \.npz file, a \.raw file, a text, 'synthetic' or 'tokens'"):
        minibatch("nowhere", 40)


def test_a_strangers_kind_works_on_the_command_line(raw, nas):
    code, out, err = nas("score", "--plugin", raw.parent / "my_data.py", "--data", f"raw:{raw}", "--proxies",
                         "params", "--batch-size", 8, "--store", "none", "nats:0,0,0,0,0,0")  # fmt: skip
    assert (code, "params" in out) == (0, True), err


def register(monkeypatch, **declared):
    from nas.data.sources import source

    monkeypatch.setattr(SOURCES, "_plugins", dict(SOURCES._plugins))
    monkeypatch.setattr(SOURCES, "_origins", dict(SOURCES._origins))
    good = {
        "labels": np.arange(20) % 2,
        "classes": ("a", "b"),
        "task": Task(2, 1, 1),
        "read": lambda places: np.ones((len(places), 1, 1, 1)),
    }

    @source("bad", reads="a bad file", recognises=lambda path: path.suffix == ".bad")
    def bad(path: Path) -> Source:
        return Source(**good | declared)


def fails(places):
    raise RuntimeError("the disk\nis on fire")


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"labels": [0, 1]}, "labels that are not an array of whole numbers"),
        ({"labels": np.zeros(20)}, "labels that are not an array of whole numbers"),
        ({"labels": np.arange(20) % 3}, "names 2 classes, gives labels from 0 to 2 and a task of 2 classes"),
        ({"classes": ("a",)}, "names 1 classes"),
        ({"task": Task(3, 1, 1)}, "a task of 3 classes"),
        ({"task": Task(2, 3, 1)}, r"images must be numbers \[1, 3, 1, 1\], not float64 \[1, 1, 1, 1\]"),
        ({"read": lambda places: [1]}, "images must be numbers .* not list"),
        ({"read": lambda places: np.full((len(places), 1, 1, 1), np.nan)}, "no numbers"),
        ({"read": fails}, "cannot be read as images: the disk$"),
        ({"read": None}, "cannot be read as images"),
        ({"pages": 3}, "cannot be read as a bad file: .*pages"),
    ],
)
def test_a_strangers_kind_that_breaks_its_promise_is_named(tmp_path, monkeypatch, declared, sentence):
    register(monkeypatch, **declared)
    (tmp_path / "x.bad").write_text("")
    with pytest.raises(UsageError, match=rf"x\.bad: .*{sentence}"):
        minibatch(str(tmp_path / "x.bad"), 8)


def test_a_path_that_two_kinds_recognise_is_named_with_its_kind(tmp_path, monkeypatch, images):
    from nas.data.sources import source

    register(monkeypatch)

    @source("other", reads="another file", recognises=lambda path: path.suffix == ".npz")
    def other(path: Path) -> Source:
        return SOURCES["bad"].function(path)

    with pytest.raises(UsageError, match=rf"a \.npz file or another file: write npz:{images} or other:{images}"):
        minibatch(str(images), 8)
    assert minibatch(f"npz:{images}", 8).classes == 3
    assert minibatch(f"other:{images}", 8).classes == 2


@pytest.mark.parametrize(
    "name", ["a:b=c", "a=b,c", "x:size=8", "synthetic.npz", "folder:npz", "with space ", "~tilde", "$HOME"]
)
def test_names_with_signs_of_ours_are_paths(tmp_path, monkeypatch, images, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    images.rename(tmp_path / name / "y:z=1.npz")
    for given in (
        f"{name}/y:z=1.npz",
        f"npz:{name}/y:z=1.npz",
        Path(name) / "y:z=1.npz",
        tmp_path / name / "y:z=1.npz",
    ):
        assert place(given).path.samefile(tmp_path / name / "y:z=1.npz")
        assert minibatch(given, 12).classes == 3
    assert minibatch(f"{name}/y:z=1.npz:classes=5", 12).classes == 5
    assert minibatch(f"npz:{name}/y:z=1.npz:classes=5", 12).classes == 5


def test_a_path_is_never_looked_at_for_options(images):
    with pytest.raises(UsageError, match=r"images\.npz:classes=5 does not exist"):
        minibatch(Path(f"{images}:classes=5"), 12)


def test_variables_and_home_are_expanded(images, monkeypatch):
    monkeypatch.setenv("HERE", str(images.parent))
    monkeypatch.setenv("HOME", str(images.parent))
    assert minibatch("$HERE/images.npz", 12).fingerprint == minibatch(str(images), 12).fingerprint
    assert minibatch("npz:~/images.npz:classes=4", 12).classes == 4
    assert minibatch(Path("~/images.npz"), 12).classes == 3


def test_the_name_of_a_source_finds_it_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "synthetic").mkdir()
    for given in (Path("synthetic"), tmp_path / "synthetic", "folder:synthetic"):
        assert place(source_name(given)).path.samefile(tmp_path / "synthetic")
    assert source_name("synthetic:size=8") == "synthetic:size=8"
    assert source_name(minibatch("synthetic", 8)) is None
    assert source_name((np.zeros(3), np.zeros(3))) is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "no data source was named"),
        ("x" * 5000, "does not exist"),
        ("a\0b", "does not exist"),
        (" ", "no data source was named"),
        ("synthetic:", None),
        ("synthetic:size", "the options of synthetic are written synthetic:name=value"),
        ("synthetic:size=8:classes=3", "the options of synthetic are written"),
        ("synthetic:size=8,size=9", "gives size twice"),
        ("synthetic:size=", "takes a whole number, not ''"),
        ("synthetic:size=8.5", "takes a whole number, not"),
        ("synthetic:size=1e400", "takes a whole number"),
        ("synthetic:size=100001", "at most 100000"),
        ("synthetic:size=-1", "at least 1"),
        ("npz:", "npz: names no path: write npz:PATH"),
        ("npz:nowhere.npz", "nowhere.npz does not exist: data are"),
        ("nowhere:size=8", "nowhere does not exist"),
        ("{images}:size=8", "unknown option of npz 'size'"),
        ("{images}:clas", "does not exist.*options are written PATH:name=value"),
        ("nzp:{images}", "unknown kind of data 'nzp': .*did you mean 'npz'"),
        ("cifar:{images}", "holds no CIFAR batches"),
        ("folder:{images}", "cannot be listed: Not a directory"),
        ("/dev/null", "is none of the kinds of data"),
        (None, "not NoneType"),
        (7, "not int"),
        ({"images": 1, "labels": 2}, "not dict"),
        (("a", "b", "c"), "not tuple"),
    ],
)  # fmt: skip
def test_what_names_no_source_is_said_in_a_sentence(images, given, sentence):
    given = given.format(images=images) if isinstance(given, str) else given
    if sentence is None:
        assert minibatch(given, 8).fingerprint == minibatch("synthetic", 8).fingerprint
        return
    with pytest.raises(UsageError, match=sentence) as refused:
        minibatch(given, 8)
    assert "\n" not in str(refused.value)


def test_a_minibatch_is_drawn_before_plugins_are_loaded():
    code = "from nas.data.minibatch import minibatch; assert len(minibatch('synthetic:size=4', 8).labels) == 8"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
