"""TensorBoard's events hold the history, each number once, also when training was taken up again."""

import warnings

import pytest
from trainings import CELL, conditions, network

from nas.errors import UsageError
from nas.training import events as events_module
from nas.training.checkpoint import TrainingFolder
from nas.training.events import check_tensorboard
from nas.training.loop import Training
from nas.training.network import train_network


def test_events_are_the_history(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own use of others
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    cond = conditions(events=True)
    folder = TrainingFolder(tmp_path / "one")
    training = Training(network(cond), cond.splits, cond.recipe, cond.device)
    folder.begin(training)
    training.epoch()
    folder.keep(training)  # and is killed
    train_network(cond, cond.space.parse(CELL), folder)
    read = EventAccumulator(str(folder.path / "events"))
    read.Reload()
    history = folder.history()
    for tag, name in (("loss/train", "train_loss"), ("accuracy/validation", "validation_accuracy"), ("lr", "lr")):
        met = [(event.step, event.value) for event in read.Scalars(tag)]
        assert met == [(row.epoch, pytest.approx(getattr(row, name))) for row in history]


def test_without_tensorboard_one_sentence(monkeypatch):
    monkeypatch.setattr(events_module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"events take TensorBoard: pip install 'gradalign-nas\[tensorboard\]'"):
        check_tensorboard()
