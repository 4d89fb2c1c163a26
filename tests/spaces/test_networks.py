"""Networks that a user has: how they are named, made and ranked."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cases import MINE, made, named
from models import import_timm

import nas
from nas.errors import UsageError
from nas.probe import Probe
from nas.scoring.measurer import build
from nas.space import SPACES, Task

SMALL = {"data": "synthetic:classes=3,size=8", "batch_size": 12, "device": "cpu"}


def test_a_factory_is_given_what_it_names():
    assert made("Twins", Task(5, 1, 8)).head.out_features == 5
    assert made("Twins", Task(5, 1, 8)).stem.in_channels == 1
    assert made("flat", Task(5, 2, 16))[1].in_features == 2 * 16**2
    assert made("fixed", Task(5)).get_submodule("0").out_channels == 4


@pytest.mark.parametrize("function", ["flat", "shrinking"])  # the second learns its shapes from the first image
def test_the_seed_gives_the_weights(function):
    weights = [made(function, seed=seed)[-1].weight for seed in (3, 3, 4)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.long
def test_the_name_is_the_identity():
    """Order and neighbours do not matter, in this process and in another."""
    first = nas.score("networks", named("Twins", "flat"), "gradsign,params", **SMALL)
    second = nas.score("networks", named("fixed", "flat", "Twins"), "gradsign,params", **SMALL)
    code = f"import nas; print(nas.score('networks', {named('flat')!r}, 'gradsign', **{SMALL!r})['value'].item())"
    root = Path(nas.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    values = [frame.set_index(["arch", "proxy"])["value"] for frame in (first, second)]
    assert (values[0] == values[1].loc[values[0].index]).all()
    assert float(done.stdout) == values[0][named("flat")[0], "gradsign"]


def test_a_file_finds_what_lies_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nas_test_blocks.py").write_text("from torch import nn\nhead = nn.Linear\n")
    (tmp_path / "mine.py").write_text("from nas_test_blocks import head\ndef net(classes): return head(4, classes)\n")
    space = SPACES["networks"](names=("mine.py:net",))
    assert build(space, space.full(), Task(7)).out_features == 7


WRONG = {
    "no name": ("mine.py", "names no network: those are timm:MODEL and FILE.py:FACTORY"),
    "no file": ("missing.py:net", "missing.py does not exist"),
    "a folder": (f"{MINE.parent}:net", "is no Python file"),
    "no such function": (f"{MINE}:flet", "did you mean 'flat'"),
    "not a function": (f"{MINE}:READY", "READY is a Linear, not a function or class"),
    "a module": (f"{MINE}:torch", "torch is a module, not a function or class"),
    "parameters of its own": (f"{MINE}:demanding", "requires depth, activation, but is given only"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_names_no_network(case):
    text, reason = WRONG[case]
    with pytest.raises(UsageError, match=reason):
        nas.score("networks", [*named("flat"), text], "params", **SMALL)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import nas_test_missing", "ModuleNotFoundError: No module named 'nas_test_missing'"),
        ("raise SystemExit", "SystemExit: no message"),
        ("def net(", "SyntaxError"),
        ("net = dict.fromkeys", "requires iterable"),
        ("net = type", "does not say which parameters it takes"),
    ],
)
def test_files_that_do_not_serve(tmp_path, code, reason, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "bad.py").write_text(code)
    with pytest.raises(ValueError, match=reason):
        SPACES["networks"]().parse(f"{tmp_path / 'bad.py'}:net")


def test_a_failure_is_one_networks_own():
    """Those that cannot be made or run have their reasons; the others have their scores."""
    texts = named("unmade", "number", "fixed", "shrinking", "flat", "Twins")
    found = nas.score("networks", texts, "gradsign,naswot,linear_regions", **SMALL).set_index(["arch", "proxy"])
    unmade, number, fixed, shrinking, flat, twins = texts
    reasons = found["reason"]
    assert reasons[unmade, "gradsign"] == f"ValueError: {unmade} raises KeyError: 'no weights\\nof that name'"
    assert reasons[number, "naswot"].endswith("returns int instead of a network, a torch.nn.Module")
    assert "larger images leave more" in reasons[shrinking, "gradsign"]
    assert reasons[flat, "naswot"] == "ValueError: the network has no ReLU, or none that is seen as one"
    assert reasons[twins, "linear_regions"] == "the space has no thin copy of its networks"
    finite = {(fixed, "gradsign"), (fixed, "naswot"), (shrinking, "naswot"), (flat, "gradsign")}
    finite |= {(twins, "gradsign"), (twins, "naswot")}
    assert set(found.index[found["status"] == "ok"]) == finite


def test_a_network_of_fewer_classes_says_so():
    found = nas.score("networks", named("flat", "fixed"), "gradsign", **SMALL | {"data": "synthetic:classes=12,size=8"})
    assert found["value"].notna().tolist() == [True, False]
    assert "no logits [samples, 12]" in found["reason"][1]


def test_images_that_no_network_takes():
    with pytest.raises(UsageError, match=r"unmade does not run on images of 3 x 8 x 8: ValueError: .* raises KeyError"):
        nas.score("networks", named("unmade", "number"), "params", **SMALL)
    with pytest.raises(UsageError, match="fixed does not run on images of 1 x 8 x 8: RuntimeError"):
        nas.score("networks", named("fixed"), "params", **SMALL | {"data": "synthetic:channels=1,size=8"})


def test_without_names_there_is_nothing_to_search():
    with pytest.raises(UsageError, match=r"nothing to choose from: 'nas score' ranks .* \(options: names\)"):
        nas.search("networks", "params", "random_search", budget=3, **SMALL)


@pytest.mark.parametrize("searcher", ["random_search", "evolution", "local_search"])
def test_names_are_searched(searcher, tmp_path):
    names = named("Twins", "flat", "unmade")
    settings = {"networks": {"names": names}, "evolution": {"population": 3}}
    given = {"settings": settings, "run_folder": tmp_path / "run", **SMALL}
    trials = nas.search("networks", "params", searcher, budget=8, **given).trials
    assert set(trials["arch"]) == set(names)
    assert trials.loc[trials["score"].idxmax(), "arch"] == names[1]
    again = nas.search("networks", "params", searcher, budget=8, **given).trials
    assert again["arch"].tolist() == trials["arch"].tolist()


def test_limits_on_names():
    settings = {"networks": {"names": named("Twins", "flat")}}
    arguments = {"budget": 3, "settings": settings, **SMALL}
    trials = nas.search("networks", "params", "random_search", constraints=["params<=300"], **arguments).trials
    assert set(trials["arch"]) == set(named("Twins"))
    settings["networks"]["names"].append(*named("unmade"))
    with pytest.raises(UsageError, match=r"unmade does not run on images of 3 x 8 x 8: ValueError: .*KeyError"):
        nas.search("networks", "params", "random_search", constraints=["params<=1"], **arguments)


def test_timm_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"timm, which is not installed: pip install 'gradalign-nas\[networks\]'"):
        SPACES["networks"]().parse("timm:resnet18")


def test_timm_that_is_broken_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(ValueError, match=r"installed but cannot be imported \(.*torchvision::nms does not exist"):
        SPACES["networks"]().parse("timm:resnet18")


@pytest.fixture
def timm():
    return import_timm()


def test_timm_parameters_are_the_published(timm):
    space = SPACES["networks"](names=("timm:resnet18", "timm:mobilenetv3_small_100", "timm:vit_tiny_patch16_224"))
    published = (11_689_512, 2_542_856, 5_717_416)
    for arch, parameters in zip(space, published, strict=True):
        assert Probe(build(space, arch, Task(1000, 3, 224)), torch.empty(0), torch.empty(0)).params == parameters
    resnet = Probe(build(space, ((0,),), Task(1000, 3, 224)), torch.zeros(1, 3, 224, 224), torch.zeros(1))
    assert resnet.trace.flops == 1_814_073_344


def test_a_name_alone_is_a_model_of_timm(timm):
    """As in the tables of timm's own results, with the recipe behind a dot."""
    space = SPACES["networks"]()
    assert space.text(space.parse("resnet18")) == "timm:resnet18"
    assert space.parse("timm:resnet18.a1_in1k") == space.parse(" resnet18.a1_in1k") != space.parse("resnet18")


def test_timm_models_take_the_task(timm):
    space = SPACES["networks"](names=("timm:resnet18", "timm:vit_tiny_patch16_224"))
    for arch in space:
        for task in (Task(5, 1, 32), Task(3, 3, 64)):
            assert (
                build(space, arch, task)(torch.zeros(2, task.channels, task.size, task.size)).shape[1] == task.classes
            )


def test_timm_names_are_near(timm):
    with pytest.raises(ValueError, match=r"'resnet81' is none of the .* models of timm; did you mean 'resnet18'"):
        SPACES["networks"]().parse("timm:resnet81")
