"""The call `nas.train`: from data and names to a folder of trained networks, continued and added to."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn
from trainings import CELL, NARROW, OTHER, stripes, stripes_file

import nas
from nas.errors import UsageError
from nas.testing import narrow_space

GIVEN = {"settings": NARROW, "epochs": 2, "batch_size": 16}


def train(folder, archs=(CELL,), **given):
    return nas.train("nasbench201", archs, data=stripes_file(folder), **GIVEN | given)


def files_below(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_run_leaves_a_folder_and_a_result(tmp_path):
    result = train(tmp_path, [CELL, OTHER], out=tmp_path / "run")
    assert list(result.table["arch"]) == [narrow_space().text(narrow_space().parse(arch)) for arch in (CELL, OTHER)]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "run" / "table.csv"), result.table)
    assert set(result.table["epochs"]) == {2}
    net = result.network(OTHER)
    assert not net.training
    state = torch.load(next((tmp_path / "run").glob("2-*/best.pt")), weights_only=True)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert len(result.history(CELL)) == 2
    best = result.table.loc[result.table["valid_accuracy"].idxmax(), "arch"]
    assert result.best == best
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(text.replace("|", "|") in page for text in result.table["arch"])
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["epochs"], config["batch_size"], config["augment"], config["device"]) == (2, 16, "none", "auto")


def test_asked_again_nothing_is_done_and_more_is_added(tmp_path):
    first = train(tmp_path, [CELL], out=tmp_path / "run")
    before = files_below(tmp_path / "run")
    again = train(tmp_path, [CELL], out=tmp_path / "run", settings={"NASBench201": NARROW["nasbench201"]})
    pd.testing.assert_frame_equal(again.table, first.table)
    kept = files_below(tmp_path / "run")
    assert {name: kept[name] for name in before if "/" in name} == {n: t for n, t in before.items() if "/" in n}
    more = train(tmp_path, [OTHER, CELL], out=tmp_path / "run")
    assert list(more.table["arch"])[:1] == list(first.table["arch"])
    assert len(more.table) == 2
    everything = train(tmp_path, (), out=tmp_path / "run")
    pd.testing.assert_frame_equal(everything.table, more.table)


def test_another_setting_is_another_folder(tmp_path):
    train(tmp_path, out=tmp_path / "run")
    with pytest.raises(UsageError, match=r"holds a run with epochs 2, not 3: give another folder with --out"):
        train(tmp_path, out=tmp_path / "run", epochs=3)
    np.savez(tmp_path / "stripes.npz", images=stripes(seed=1)[0], labels=stripes()[1])
    with pytest.raises(UsageError, match=r"holds a run with images '[0-9a-f]+', not"):
        nas.train("nasbench201", CELL, data=tmp_path / "stripes.npz", out=tmp_path / "run", **GIVEN)


def test_isomorphic_networks_are_trained_once(tmp_path):
    same = ["|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|",
            "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"]  # fmt: skip
    result = train(tmp_path, same, out=tmp_path / "run")
    assert list(result.table["arch"]) == same[:1]
    assert result.training(same[1]).result["arch"] == same[0]


def test_data_and_spaces_that_are_handed_over():
    """Nothing is kept; what is returned is the same."""
    named = nas.train("nasbench201", [CELL], data=stripes(), **GIVEN)
    handed = nas.train(narrow_space(), [CELL], data=stripes(), epochs=2, batch_size=16)
    columns = ["arch", "valid_accuracy", "test_accuracy", "params"]
    pd.testing.assert_frame_equal(named.table[columns], handed.table[columns])
    assert handed.folder is None
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(named.network()(images), handed.network()(images))
    assert len(handed.history()) == 2


def test_networks_that_are_handed_over_go_on_from_their_weights():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    before = net[1].weight.detach().clone()
    result = nas.train(archs=net, data=stripes(), epochs=1, lr=1e-9, batch_size=16)
    torch.testing.assert_close(result.network()[1].weight, before)
    assert torch.equal(net[1].weight, before)


@pytest.mark.parametrize("spread_by", [None, "params"])
def test_drawn_architectures(tmp_path, spread_by):
    result = train(tmp_path, 3, out=tmp_path / "run", spread_by=spread_by, epochs=1)
    assert len(result.table) == 3
    if spread_by:
        params = result.table["params"].tolist()
        assert params[1] < params[0] < params[2]
    again = train(tmp_path, 4, out=tmp_path / "run", spread_by=spread_by, epochs=1)
    assert list(again.table["arch"])[:3] == list(result.table["arch"])


def test_limits_hold_for_what_is_drawn(tmp_path):
    result = train(tmp_path, 3, out=tmp_path / "run", constraints=["params<=1500"], epochs=1)
    assert (result.table["params"] <= 1500).all()
    assert len(train(tmp_path, 3, out=tmp_path / "run", epochs=1).table) > 3  # without limits, the same run


def test_the_best_of_a_search(tmp_path):
    data = stripes_file(tmp_path)
    found = nas.search(
        "nasbench201", "params", "random_search", 5, data=data, settings=NARROW, run_folder=tmp_path / "s"
    )
    result = nas.train(run=tmp_path / "s", epochs=1, out=tmp_path / "run")
    assert list(result.table["arch"]) == [found.best.arch]
    assert result.table["params"].tolist() == [found.best.params]
    with pytest.raises(UsageError, match="is a search of the space nasbench201, not darts"):
        nas.train("darts", run=tmp_path / "s")
    with pytest.raises(UsageError, match="holds no search"):
        nas.train(run=tmp_path / "run")


def test_a_table_serves_a_comparison(tmp_path):
    train(tmp_path, 4, out=tmp_path / "run", epochs=1)
    compared = nas.compare(
        "nasbench201", tmp_path / "run" / "table.csv", "test_accuracy", "params", data=stripes_file(tmp_path),
        settings=NARROW, batch_size=12, archs="all",
    )  # fmt: skip
    assert set(compared.scores["arch"]) == set(pd.read_csv(tmp_path / "run" / "table.csv")["arch"])


def test_a_network_that_cannot_be_trained_fails_alone(tmp_path):
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n\ndef good(classes): return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n\n\n"
        "def bad(classes): return nn.Sequential(nn.Flatten(), nn.Linear(63, classes))\n"
    )
    names = [f"{tmp_path}/own.py:{name}" for name in ("bad", "good")]
    data = stripes_file(tmp_path)
    result = nas.train("networks", names, data=data, epochs=1, out=tmp_path / "run")
    assert list(result.table["arch"]) == names[1:]
    assert result.failures["arch"].tolist() == names[:1]
    assert "mat1 and mat2 shapes cannot be multiplied" in result.failures["reason"].iloc[0]
    with pytest.raises(UsageError, match="could not be trained"):
        result.network(names[0])
    with pytest.raises(UsageError, match="none of the 1 networks could be trained: RuntimeError: mat1 and mat2"):
        nas.train("networks", names[:1], data=data, epochs=1, out=tmp_path / "other")


def test_divergence_is_a_stated_failure(tmp_path):
    with pytest.raises(UsageError, match=r"the (training|validation) loss.* is (nan|inf), not a finite number"):
        train(tmp_path, out=tmp_path / "run", lr=1e30, epochs=3)
    (result,) = (yaml.safe_load(file.read_text()) for file in (tmp_path / "run").glob("*/result.yaml"))
    assert result["status"] == "failed"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"archs": []}, "no architecture was named: name some, or draw some with --archs N"),
        ({"archs": 0}, "archs is a whole number: give at least 1"),
        ({"archs": 1.5}, "archs takes notations, networks or a number, not 1.5"),
        ({"archs": "nats:9,9,9,9,9,9"}, "is not six numbers"),
        ({"archs": "|nor_conv_3x3/none~0|+|none~0|none~1|+|none~0|none~1|none~2|"}, "leaves options open"),
        ({"archs": [CELL], "constraints": "params<=1e6"}, "constraints limit what --archs N draws"),
        ({"archs": [CELL], "spread_by": "params"}, "a proxy spreads what --archs N draws"),
        ({"archs": 3, "spread_by": "prams"}, "did you mean 'params'"),
        ({"workers": 2}, "workers keep what they train in a folder"),
        ({"optimiser": "adam"}, "unknown optimiser 'adam'"),
        ({"store": "none"}, "unknown option of this call 'store'"),
        ({"data": "nowhere.npz"}, "nowhere.npz does not exist"),
        ({"data": None}, "no data were named to train on"),
        ({"device": "tpu9"}, "device 'tpu9' cannot be used here"),
        ({"archs": [nn.Flatten(), CELL]}, "not together with notations"),
        ({"data": stripes(), "workers": 1}, "data that were handed over have no name that another process could find"),
    ],
)
def test_wrong_use_is_one_sentence(tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    arguments = {"space": "nasbench201", "archs": [CELL], "data": stripes_file(tmp_path)} | GIVEN | given
    with pytest.raises(UsageError, match=message):
        nas.train(**arguments)
    assert {path.name for path in tmp_path.iterdir()} == {"stripes.npz"}


def test_data_without_a_name_go_without_a_folder(tmp_path):
    with pytest.raises(UsageError, match="data that were handed over have no name that another process could find"):
        nas.train("nasbench201", CELL, data=stripes(), out=tmp_path / "run", **GIVEN)
    with pytest.raises(UsageError, match="a Space that was handed over has no name"):
        nas.train(narrow_space(), CELL, data=stripes_file(tmp_path), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_is_named_after_the_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = train(tmp_path, out="auto", epochs=1)
    assert first.folder.parent.name == "runs"
    assert train(tmp_path, [OTHER], out="auto", epochs=1).folder == first.folder
    assert train(tmp_path, out="auto", epochs=1, lr=0.01).folder != first.folder


def test_settings_say_what_was_chosen(tmp_path):
    train(tmp_path, out=tmp_path / "run", batch_size=None, augment="flip", lr=0.1, weight_decay=0.0)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["batch_size"], config["augment"], config["lr"], config["weight_decay"]) == (16, "flip", 0.1, 0.0)
    (result,) = (yaml.safe_load(file.read_text()) for file in (tmp_path / "run").glob("*/result.yaml"))
    assert (result["lr"], result["weight_decay"], result["classes"]) == (0.1, 0.0, ["0", "1", "2"])
    assert json.loads((tmp_path / "run" / "archs.jsonl").read_text())["folder"].startswith("1-nor_conv_3x3")
