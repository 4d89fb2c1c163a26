"""The call `nas.export`: whose weights, which data, what is refused, and that nothing wrong is left behind."""

import json
import sys
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from exported import outputs_elsewhere, own_outputs
from torch import nn
from trainings import CELL, NARROW, OTHER, stripes, stripes_file

import nas
from nas.calls import export as export_module
from nas.errors import UsageError
from nas.formats import programs

GIVEN = {"space": "nasbench201", "settings": NARROW}
ONNX = find_spec("onnx") is not None and find_spec("onnxscript") is not None and find_spec("onnxruntime") is not None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two trained networks, in a folder beside their data."""
    folder = tmp_path_factory.mktemp("trained")
    nas.train(
        "nasbench201", [CELL, OTHER], data=stripes_file(folder), settings=NARROW, epochs=2, batch_size=16,
        out=folder / "run",
    )  # fmt: skip
    return folder


def images(count=3):
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("suffix", [".py", ".pt2", ".onnx"])
@pytest.mark.long
def test_a_trained_network_is_exported_with_its_weights(run, tmp_path, suffix):
    if suffix == ".onnx" and not ONNX:
        pytest.skip("ONNX is not installed: pip install 'gradalign-nas[onnx]'")
    trained = nas.train("nasbench201", (), data=run / "stripes.npz", settings=NARROW, epochs=2, batch_size=16,
                        out=run / "run")  # fmt: skip
    done = nas.export(OTHER, tmp_path / f"net{suffix}", run=run / "run")
    (outputs,) = outputs_elsewhere(done.files[:1], images())
    torch.testing.assert_close(outputs, own_outputs(trained.network(OTHER), images()), rtol=1e-4, atol=1e-5)
    assert done.compared == "on random images and 9 of the data"
    assert done.weights.startswith("trained, of epoch ")
    assert done.card.classes == ["0", "1", "2"]
    assert "test accuracy" in done.card.about
    best = nas.export(out=tmp_path / f"best{suffix}", run=run / "run")
    assert best.card.name == trained.best


def test_facts_are_in_every_file(run, tmp_path):
    source = nas.export(out=tmp_path / "net.py", run=run / "run")
    assert 'CLASSES = ("0", "1", "2")' in source.files[0].read_text()
    program = nas.export(out=tmp_path / "net.pt2", run=run / "run")
    with zipfile.ZipFile(program.files[0]) as file:
        (name,) = (name for name in file.namelist() if name.endswith("card.json"))
        facts = json.loads(file.read(name))
        everything = b"".join(map(file.read, file.namelist()))
    assert (json.loads(facts["classes"]), json.loads(facts["input"])) == (["0", "1", "2"], ["batch", 1, 8, 8])
    assert facts["architecture"] == source.card.name
    assert json.loads(facts["mean"]) == pytest.approx(list(source.card.mean))
    assert str(run).encode() not in everything
    assert nn.__file__.rpartition("/torch/")[0].encode() not in everything  # no paths of this machine


@pytest.mark.skipif(not ONNX, reason="ONNX is not installed: pip install 'gradalign-nas[onnx]'")
def test_onnx_names_its_dimensions_and_holds_the_facts(run, tmp_path):
    import onnx

    done = nas.export(out=tmp_path / "net.onnx", run=run / "run")
    model = onnx.load(done.files[0])
    onnx.checker.check_model(model)
    (given,) = model.graph.input
    shape = [dimension.dim_param or dimension.dim_value for dimension in given.type.tensor_type.shape.dim]
    assert (given.name, shape) == ("images", ["batch", 1, "height", "width"])
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(facts["classes"]) == ["0", "1", "2"]
    assert nn.__file__.rpartition("/torch/")[0].encode() not in done.files[0].read_bytes()


def test_initial_weights_and_weights_of_a_file(run, tmp_path):
    data = run / "stripes.npz"
    initial = nas.export(CELL, tmp_path / "a.py", data=data, **GIVEN)
    assert initial.weights == "the initial ones of seed 0"
    own = nas.build("nasbench201", CELL, 3, 1, 8, settings=NARROW).eval()
    state = torch.load(initial.files[1], weights_only=True)
    assert all(torch.equal(value, state[name]) for name, value in own.state_dict().items())
    (best,) = (run / "run").glob("1-*/best.pt")
    given = nas.export(CELL, tmp_path / "b.py", data=data, weights=best, **GIVEN)
    state = torch.load(given.files[1], weights_only=True)
    assert all(torch.equal(value, state[name]) for name, value in torch.load(best, weights_only=True).items())
    with pytest.raises(UsageError, match="holds the weights of another network than"):
        nas.export(OTHER, tmp_path / "c.py", data=data, weights=best, **GIVEN)


def test_a_search_gives_its_best_with_initial_weights(run, tmp_path):
    found = nas.search("nasbench201", "params", "random_search", 4, data=run / "stripes.npz", settings=NARROW, seed=3,
                       run_folder=tmp_path / "search")  # fmt: skip
    done = nas.export(out=tmp_path / "net.py", run=tmp_path / "search")
    (outputs,) = outputs_elsewhere(done.files[:1], images())
    assert torch.equal(outputs, own_outputs(found.network().eval(), images()))
    assert done.weights == "the initial ones of seed 3"


def test_where_the_data_are_gone_random_images_serve(tmp_path):
    nas.train("nasbench201", CELL, data=stripes_file(tmp_path), settings=NARROW, epochs=1, out=tmp_path / "run")
    (tmp_path / "stripes.npz").unlink()
    done = nas.export(out=tmp_path / "net.py", run=tmp_path / "run")
    assert done.compared == "on random images"
    assert done.card.classes == ["0", "1", "2"]
    np.savez(tmp_path / "other.npz", images=np.zeros((40, 6, 6, 3), np.uint8), labels=np.arange(40) % 4)
    with pytest.raises(
        UsageError, match="trained on 3 classes and images of 1 x 8 x 8, not on 4 classes and images of 3 x 6 x 6"
    ):
        nas.export(out=tmp_path / "net.py", run=tmp_path / "run", data=tmp_path / "other.npz")


class Pair(nn.Module):
    """Gives its features before the logits, and a dictionary."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        features = torch.relu(self.stem(x)).mean((2, 3))
        return {"features": features, "out": (features, self.head(features))}


def test_a_network_that_is_handed_over(tmp_path):
    net = Pair().eval()
    done = nas.export(net, tmp_path / "net.py", data=stripes())
    (outputs,) = outputs_elsewhere(done.files[:1], images())
    with torch.no_grad():
        assert torch.equal(outputs[:3], net(images())["out"][1])
    assert done.weights == "its own"
    program = nas.export(net, tmp_path / "net.pt2", data=stripes())
    (outputs,) = outputs_elsewhere(program.files, images())
    with torch.no_grad():
        torch.testing.assert_close(outputs[:3], net(images())["out"][1])


class OneAtATime(nn.Module):
    """Its code asks for the number of images."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 3)

    def forward(self, x):
        return self.head(torch.stack([x[number].flatten() for number in range(len(x))]))


class Asking(nn.Linear):
    """Its code asks what it is given."""

    def forward(self, x):
        return super().forward(x.flatten(1)) if float(x.sum()) > 0 else super().forward(-x.flatten(1))


def test_what_the_tracer_cannot_free_is_fixed_and_said(tmp_path):
    done = nas.export(OneAtATime(), tmp_path / "net.pt2", data=stripes())
    assert (done.free.batch, done.free.size) == (False, False)
    assert nas.export(OneAtATime(), tmp_path / "net.py", data=stripes()).free.batch
    with pytest.raises(UsageError, match=r"the network cannot be written as a program of torch\.export: "):
        nas.export(Asking(64, 3), tmp_path / "other.pt2", data=stripes())
    assert not (tmp_path / "other.pt2").exists()


@pytest.mark.parametrize("suffix", [".py", ".pt2"])
def test_nothing_is_left_behind_that_gives_other_logits(tmp_path, monkeypatch, suffix):
    for name in ("import_file", "load_program"):
        whole = getattr(export_module, name)
        monkeypatch.setattr(export_module, name, lambda file, whole=whole: Wrong(whole(file)))
    with pytest.raises(UsageError, match=r"gives other logits than the original, up to 0\.\d+ apart: nothing was"):
        nas.export(CELL, tmp_path / f"net{suffix}", data=stripes_file(tmp_path), **GIVEN)
    assert [file.name for file in tmp_path.iterdir()] == ["stripes.npz"]


class Wrong:
    """A file that was written wrongly, seen from its reader."""

    def __init__(self, made):
        self.made = made

    def network(self):
        return self.made.network()

    def load(self):
        return lambda x: self.made.load()(x) + 0.125

    def __call__(self, x):
        return self.made(x) + 0.125


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"out": "net.pth"}, r"unknown format '\.pth': known are \.onnx, \.pt2, \.py"),
        ({"out": "net"}, "unknown format 'net'"),
        ({"out": "nowhere/net.py"}, r"nowhere/net\.py cannot be written: no folder nowhere"),
        ({"out": "folder.py"}, r"folder\.py cannot be written: it is a folder"),
        ({"out": "taken.py"}, r"taken\.pt exists already, and the weights of taken\.py would replace it"),
        ({"arch": None}, "no architecture was named: name one, or the folder of a run"),
        ({"arch": "nats:9,9,9,9,9,9"}, "is not six numbers"),
        ({"arch": "|nor_conv_3x3/none~0|+|none~0|none~1|+|none~0|none~1|none~2|"}, "leaves options open"),
        ({"weights": "taken.pt"}, r"taken\.pt: cannot be read as weights"),
        ({"weights": "nowhere.pt"}, r"nowhere\.pt cannot be read: No such file"),
        ({"run": "nowhere"}, r"nowhere/config\.yaml cannot be read: No such file"),
        ({"batch_size": 3}, "unknown option of this call 'batch_size'"),
        ({"space": "autoformer", "arch": '{"depth": 12, "hidden_dim": 192, "mlp_ratio": [' + "4, " * 11 + '4], '
          '"num_heads": [' + "3, " * 11 + "3]}", "settings": {}}, "cannot be built: ValueError: patches of 16 pixels"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_sentence(tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "taken.pt").write_bytes(b"not weights")
    stripes_file(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(UsageError, match=message):
        nas.export(**{"arch": CELL, "out": "net.py", "data": "stripes.npz"} | GIVEN | given)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_without_onnx_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(UsageError, match=r"ONNX takes onnxruntime: pip install 'gradalign-nas\[onnx\]'"):
        nas.export(CELL, tmp_path / "net.onnx", **GIVEN)


def test_an_earlier_export_is_replaced(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # what Python compiles is no part of it
    for arch in (CELL, OTHER):
        done = nas.export(arch, tmp_path / "net.py", run=run / "run")
        assert {path.suffix for path in done.files} == {".pt", ".py"}
    (outputs,) = outputs_elsewhere(done.files[:1], images())
    assert done.card.name in done.files[0].read_text()
    assert outputs.shape == (4, 3)
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.stem == "net") == [".pt", ".py"]
