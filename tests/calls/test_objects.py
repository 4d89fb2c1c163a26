"""Objects where names are taken: a space, functions, networks, images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import nas
from nas.errors import UsageError
from nas.space import SPACES, Space, Task

SMALL = {"data": "synthetic:size=8,classes=3", "batch_size": 12}


class Widths(Space):
    """Two layers of 2, 4 or 8 channels."""

    slots = (("2", "4", "8"), ("2", "4", "8"))

    def build(self, arch, task):
        first, second = (2 ** (1 + options[0]) for options in arch)
        layers = [nn.Conv2d(task.channels, first, 3), nn.ReLU(), nn.Conv2d(first, second, 3), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(second, task.classes))


def sum_of_squares(probe):
    return sum(float(weight.square().sum()) for weight in probe.weights)


def hill(space, rng):
    best = space.sample(rng)
    (top,) = yield [best]
    while True:
        child = space.mutate(best, rng)
        (score,) = yield [child]
        if score > top:
            best, top = child, score


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


def test_a_space_a_function_as_proxy_and_one_as_searcher():
    result = nas.search(Widths(), sum_of_squares, hill, budget=8, **SMALL)
    assert len(result.trials) == 8
    assert result.best.score == result.trials["score"].max()
    assert list(result.best.values) == ["sum_of_squares"]
    assert result.network()(torch.randn(2, 3, 8, 8)).shape == (2, 3)


def test_a_registered_function_is_its_registered_proxy():
    from proxies.gradsign import gradsign

    by_name = nas.score("nasbench201", "0", "gradsign", **SMALL)
    by_function = nas.score("nasbench201", "0", gradsign, **SMALL)
    assert by_function["value"].tolist() == by_name["value"].tolist()
    assert by_function["proxy"].tolist() == ["gradsign"]


def test_the_same_space_by_name_and_as_an_object_scores_alike():
    names = "gradalign_i,params"
    by_name = nas.score("nasbench201", ["0", "1462"], names, **SMALL)
    by_object = nas.score(SPACES["nasbench201"](), ["0", "1462"], names, **SMALL)
    assert by_object.drop(columns="seconds").equals(by_name.drop(columns="seconds"))


def test_a_study_of_a_space_that_was_handed_over():
    findings = nas.study("seeds", Widths(), 3, "gradsign", **SMALL)
    assert set(findings.frames["scores"]["arch"]) <= {Widths().text(arch) for arch in Widths()}


def test_networks_are_scored_with_the_weights_they_have():
    module = net()
    squares = sum(float(m.weight.square().sum()) for m in module if hasattr(m, "weight"))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    scores = nas.score("networks", [module, net()], [sum_of_squares, "params"], **SMALL)
    assert scores["arch"].unique().tolist() == ["Sequential 1", "Sequential 2"]
    assert scores.loc[scores["proxy"] == "sum_of_squares", "value"].tolist() == pytest.approx([squares, squares])
    assert scores.loc[scores["proxy"] == "params", "value"].tolist() == [127, 127]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert nas.score("networks", module, "params", **SMALL)["value"].item() == 127


def test_images_as_arrays_tensors_and_data_sets():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8), np.arange(30) % 3
    given = {"batch_size": 12}
    of_arrays = nas.score("nasbench201", "0", "gradsign,params", data=(images, labels), **given)
    channels_first = torch.from_numpy(images).permute(0, 3, 1, 2)
    of_set = nas.score(
        "nasbench201", "0", "gradsign,params", data=TensorDataset(channels_first, torch.from_numpy(labels)), **given
    )
    assert of_arrays["status"].tolist() == of_set["status"].tolist() == ["ok", "ok"]
    assert of_arrays["value"].iloc[1] == of_set["value"].iloc[1]
    batch = nas.search("nasbench201", "params", "random_search", 2, data=(images, labels), **given)
    assert batch.best.task == Task(3, 3, 8)


def test_a_minibatch_and_a_path(tmp_path):
    from nas.data.minibatch import minibatch

    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", images=rng.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8), labels=np.arange(30) % 3)
    drawn = minibatch(tmp_path / "a.npz", 12, seed=0)
    scores = [
        nas.score("nasbench201", "0", "gradsign", data=data, batch_size=12)["value"].item()
        for data in (drawn, Path(tmp_path / "a.npz"), str(tmp_path / "a.npz"))
    ]
    assert scores[0] == scores[1] == scores[2]


NAMELESS = "has no name that another process could find, so it goes without"


@pytest.mark.parametrize("asked", ["run_folder", "workers", "timeout", "store"])
@pytest.mark.parametrize("what", ["space", "proxy"])
def test_what_has_no_name_goes_without_what_takes_one(tmp_path, asked, what):
    values = {"run_folder": tmp_path / "run", "workers": 2, "timeout": 5, "store": tmp_path / "scores.sqlite"}
    given = {"space": Widths()} if what == "space" else {"proxy": sum_of_squares}
    with pytest.raises(UsageError, match=f"{NAMELESS} {asked}: register it"):
        nas.search(**{"space": "nasbench201", "proxy": "params", "searcher": "random_search", "budget": 2} | given,
                   **SMALL, **{asked: values[asked]})  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_a_searcher_and_images_without_a_name_have_no_run_folder(tmp_path):
    with pytest.raises(UsageError, match=f"the function hill {NAMELESS} run_folder"):
        nas.search("nasbench201", "params", hill, 2, run_folder=tmp_path / "run", **SMALL)
    images = (np.zeros((8, 8, 8, 3), np.uint8) + np.arange(8, dtype=np.uint8)[:, None, None, None], np.arange(8) % 2)
    with pytest.raises(UsageError, match=f"data that were handed over {NAMELESS} run_folder"):
        nas.search("nasbench201", "params", budget=2, data=images, batch_size=8, run_folder=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_what_is_not_kept_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_STORE", str(tmp_path / "scores.sqlite"))
    with pytest.warns(UserWarning, match=r"the function sum_of_squares has no name .*: scores are not kept"):
        nas.score("nasbench201", "0", sum_of_squares, **SMALL)
    assert not (tmp_path / "scores.sqlite").exists()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: nas.search(5), "a space is a name or a Space, not 5"),
        (lambda: nas.search(proxy=5), "a proxy is a name or a function of a probe, not 5"),
        (lambda: nas.search(searcher=5), "a searcher is a name or a function"),
        (lambda: nas.search(budget="many"), "budget is a whole number"),
        (lambda: nas.score("nasbench201", net(), "params"), "networks are scored in the space 'networks'"),
        (lambda: nas.score("networks", [net(), "timm:resnet18"], "params"), "not together with notations"),
        (
            lambda: nas.score("nasbench201", "0", [lambda probe: 1.0, lambda probe: 2.0], **SMALL),
            "two proxies are called",
        ),
        (lambda: nas.score("nasbench201", 5, "params"), "archs takes notations"),
        (lambda: nas.score("nasbench201", "0", 5), "a proxy is a name or a function of a probe, not 5"),
        (lambda: nas.search(data=5), "data"),
        (lambda: nas.search(data=(1, 2, 3)), "data|images"),
        (lambda: nas.build("nasbench201", "0", classes=0), "classes is a whole number"),
        (lambda: nas.build("nasbench201", "nonsense"), "nonsense"),
        (lambda: nas.build(5, "0"), "a space is a name or a Space, not 5"),
        (lambda: nas.study("no_such"), "unknown study 'no_such'"),
        (lambda: nas.compare("nasbench201", 5, "x"), "a table is the name of a file, not 5"),
    ],
)
def test_what_does_not_fit_is_a_sentence_and_no_traceback(call, sentence):
    with pytest.raises(UsageError, match=sentence):
        call()
