"""The folder of a training: whole at any moment, and damaged only from outside."""

import csv

import pytest
import torch
import yaml
from trainings import CELL, conditions, network

from nas.errors import UsageError
from nas.training import checkpoint
from nas.training.checkpoint import TrainingFolder, read_weights, write_whole
from nas.training.loop import Training
from nas.training.network import train_network


@pytest.fixture
def cond():
    return conditions()


def trained(cond, folder):
    return train_network(cond, cond.space.parse(CELL), TrainingFolder(folder))


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def test_what_is_left_at_the_end(cond, tmp_path):
    done = trained(cond, tmp_path / "one")
    assert {file.name for file in (tmp_path / "one").iterdir()} == {"best.pt", "last.pt", "history.csv", "result.yaml"}
    result = yaml.safe_load((tmp_path / "one" / "result.yaml").read_text())
    assert result == done.result
    assert (result["status"], result["epochs"], result["seed"], result["optimiser"]) == ("ok", 3, 0, "sgd")
    assert result["params"] == sum(p.numel() for p in network(cond).parameters())
    assert result["task"] == {"classes": 3, "channels": 1, "size": 8}
    rows = list(csv.DictReader((tmp_path / "one" / "history.csv").read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert list(rows[0]) == [
        "epoch", "lr", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "seconds",
    ]  # fmt: skip
    assert result["seconds"] == pytest.approx(sum(float(row["seconds"]) for row in rows))
    best = max(rows, key=lambda row: (float(row["validation_accuracy"]), -float(row["validation_loss"])))
    assert result["best_epoch"] == int(best["epoch"])
    assert result["valid_accuracy"] == pytest.approx(float(best["validation_accuracy"]), abs=1e-4)
    for name, epoch in (("best.pt", result), ("last.pt", result["last"])):
        net = network(cond)
        net.load_state_dict(torch.load(tmp_path / "one" / name, weights_only=True))
        evaluated = Training(net, cond.splits, cond.recipe, cond.device).evaluate(cond.splits.test, "test")[1]
        assert epoch["test_accuracy"] == pytest.approx(evaluated, abs=1e-4)


def test_without_a_folder_everything_is_in_memory(cond, tmp_path):
    kept, loose = trained(cond, tmp_path / "one"), train_network(cond, cond.space.parse(CELL))
    assert [row[:-1] for row in kept.history()] == [row[:-1] for row in loose.history()]
    for epoch in ("best", "last"):
        assert all(torch.equal(value, loose.weights(epoch)[name]) for name, value in kept.weights(epoch).items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that nothing disturbs: its conditions, folder and result."""
    cond, folder = conditions(epochs=2, lr=0.01), tmp_path_factory.mktemp("trained") / "whole"
    return cond, folder, trained(cond, folder)


@pytest.mark.parametrize("writing", range(1, 10))
def test_a_kill_at_any_write_changes_nothing(whole, tmp_path, monkeypatch, writing):
    """Before each file takes its place, of all that two epochs and the end write."""
    cond, folder, undisturbed = whole
    write, count = checkpoint.write_whole, 0

    def deadly(path, content, **how):
        nonlocal count
        count += 1
        if count == writing:
            path.with_name(f"{path.name}.1.new").write_bytes(content[: len(content) // 2])
            raise Killed
        write(path, content, **how)

    monkeypatch.setattr(checkpoint, "write_whole", deadly)
    with pytest.raises(Killed):
        trained(cond, tmp_path / "killed")
    monkeypatch.undo()
    again = trained(cond, tmp_path / "killed")
    assert {f.name for f in (tmp_path / "killed").iterdir()} == {f.name for f in folder.iterdir()}
    assert [row[:-1] for row in again.history()] == [row[:-1] for row in undisturbed.history()]
    assert again.result | {"seconds": 0} == undisturbed.result | {"seconds": 0}
    for epoch in ("best", "last"):
        assert all(torch.equal(v, undisturbed.weights(epoch)[name]) for name, v in again.weights(epoch).items())


def test_what_was_there_stays_where_writing_fails(tmp_path, monkeypatch):
    file = tmp_path / "a"
    write_whole(file, b"before", durably=True)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, b"after", durably=True)
    assert file.read_bytes() == b"before"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and nothing", None])
def test_a_damaged_checkpoint_is_one_sentence(cond, tmp_path, content):
    folder = TrainingFolder(tmp_path / "one")
    training = Training(network(cond), cond.splits, cond.recipe, cond.device)
    folder.begin(training)
    training.epoch()
    folder.keep(training)
    if content is None:  # of another network
        torch.save(
            {"net": {}, "optimiser": {}, "scaler": {}, "history": [], "best": None}, folder.path / "checkpoint.pt"
        )
    else:
        (folder.path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(UsageError, match=r"checkpoint\.pt: cannot be read as a checkpoint of this training"):
        trained(cond, folder.path)


def test_weights_run_no_code(tmp_path):
    class Harm:
        def __reduce__(self):
            return (tmp_path.joinpath("harmed").touch, ())

    torch.save({"weight": Harm()}, tmp_path / "w.pt")
    with pytest.raises(UsageError, match=r"w\.pt: cannot be read as weights"):
        read_weights(tmp_path / "w.pt")
    assert not (tmp_path / "harmed").exists()
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UsageError, match=r"holds no weights, which are tensors by name, but list"):
        read_weights(tmp_path / "list.pt")
    with pytest.raises(UsageError, match=r"absent\.pt cannot be read: No such file"):
        read_weights(tmp_path / "absent.pt")


@pytest.mark.parametrize("content", ["status: ok\n", "[]", "a: b: c", "status: ok\narch: 3\n"])
def test_a_damaged_result_is_one_sentence(tmp_path, content):
    (tmp_path / "result.yaml").write_text(content)
    with pytest.raises(UsageError, match=r"result\.yaml"):
        TrainingFolder(tmp_path).result()


@pytest.mark.parametrize("content", ["", "epoch,lr\n1,x\n", "epoch,lr\n1,2\n"])
def test_a_damaged_history_is_one_sentence(tmp_path, content):
    folder = TrainingFolder(tmp_path)
    (tmp_path / "history.csv").write_text(content)
    if content:
        with pytest.raises(UsageError, match=r"history\.csv: cannot be read as a history of epochs"):
            folder.history()
    else:
        assert folder.history() == []
    with pytest.raises(UsageError, match=r"history\.csv cannot be read: No such file"):
        TrainingFolder(tmp_path / "nowhere").history()
