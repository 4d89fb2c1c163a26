"""The loop against one written by hand, taken up again in the middle, and on networks that cannot be trained."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from trainings import Chancy, conditions, network, recipe

from nas.data.splits import splits
from nas.errors import UsageError
from nas.training import loop
from nas.training.images import augmented
from nas.training.loop import Training, TrainingFailure, drawing_from

CPU = torch.device("cpu")


def training(net=None, parts=None, **given):
    cond = conditions(**{name: given.pop(name) for name in ("size", "channels") if name in given})
    parts = cond.splits if parts is None else parts
    net = network(cond) if net is None else net
    return Training(net, parts, recipe(parts, **given), CPU)


def by_hand(net, parts, epochs, seed, lr, how=(), smoothing=0.0, batch=16):
    """What one would write: the same order and the same chance, a scheduler of PyTorch's, sums over single images."""
    optimiser = torch.optim.SGD(net.parameters(), lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    images, labels = parts.train.images(torch.arange(len(parts.train))), parts.train.labels
    steps = -(-len(images) // batch)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps)
    rows = []
    for epoch in range(1, epochs + 1):
        with drawing_from(seed, epoch, CPU):
            generator = torch.Generator().manual_seed(torch.initial_seed())
            net.train()
            losses, right = [], 0
            for chosen in torch.randperm(len(images), generator=generator).tensor_split(steps):
                logits = net(augmented(images[chosen], how, generator))
                loss = F.cross_entropy(logits, labels[chosen], label_smoothing=smoothing)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                cosine.step()
                losses += [loss.item()] * len(chosen)
                right += int((logits.argmax(1) == labels[chosen]).sum())
            net.eval()
            with torch.no_grad():
                held = parts.validation.images(torch.arange(len(parts.validation)))
                single = torch.cat([net(image[None]) for image in held])
            truth = parts.validation.labels
            rows.append((
                float(np.mean(losses)), 100 * right / len(images), float(F.cross_entropy(single, truth)),
                100 * float((single.argmax(1) == truth).float().mean()),
            ))  # fmt: skip
    return rows


@pytest.mark.parametrize("given", [{}, {"augment": "flip,crop", "label_smoothing": 0.1, "seed": 3}])
def test_an_epoch_is_what_one_would_write(given):
    cond = conditions()
    ours, theirs = network(cond), network(cond)
    run = training(ours, lr=0.05, **given)
    while not run.done:
        run.epoch()
    how = ("flip", "crop") if "augment" in given else ()
    expected = by_hand(theirs, cond.splits, 3, given.get("seed", 0), 0.05, how, given.get("label_smoothing", 0.0))
    assert [row[2:6] for row in run.history] == [pytest.approx(row, rel=1e-4) for row in expected]
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", ["float32", pytest.param("float16", marks=pytest.mark.long)])
def test_what_is_kept_is_all_there_is(optimiser, precision, tmp_path):
    """Taken up after any epoch from a file, training comes to the identical end, though the network draws from three
    generators."""
    parts = conditions().splits
    given = {"epochs": 4, "optimiser": optimiser, "precision": precision, "augment": "flip"}
    torch.manual_seed(0)
    whole = training(Chancy(), parts, **given)
    states = []
    while not whole.done:
        whole.epoch()
        torch.save(whole.state(), tmp_path / f"{len(states)}.pt")
        states.append(tmp_path / f"{len(states)}.pt")
    for number, state in enumerate(states, start=1):
        torch.manual_seed(number)  # other first weights, and other generators
        random.seed(number)
        np.random.seed(number)
        again = training(Chancy(), parts, **given)
        again.restore(torch.load(state, weights_only=True))
        assert len(again.history) == number
        while not again.done:
            again.epoch()
        assert [row[:-1] for row in again.history] == [row[:-1] for row in whole.history]
        assert again.best.epoch == whole.best.epoch
        for mine, others in ((again.best.state, whole.best.state), (again.weights().state, whole.weights().state)):
            assert all(torch.equal(mine[name], others[name]) for name in others)


def test_generators_go_on_as_if_nothing_had_been_drawn():
    def draws():
        return torch.rand(3).tolist(), random.random(), float(np.random.rand())

    run = training(Chancy())
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    before = draws()
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    run.epoch()
    assert draws() == before


def test_another_seed_is_another_training():
    first, second = training(), training(seed=1)
    assert first.epoch()[2:6] != second.epoch()[2:6]


@pytest.mark.parametrize("precision", ["bfloat16", "float64"])
def test_precisions(precision):
    run = training(precision=precision)
    plain = training()
    row = run.epoch()
    assert row.train_loss == pytest.approx(plain.epoch().train_loss, rel=0.05)
    assert next(run.net.parameters()).dtype == (torch.float64 if precision == "float64" else torch.float32)


def test_the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss():
    run = training(epochs=6, lr=0.2)
    while not run.done:
        run.epoch()
    best = max(run.history, key=lambda row: (row.validation_accuracy, -row.validation_loss))
    assert run.best.epoch == best.epoch
    net = network(conditions())
    net.load_state_dict(run.best.state)
    assert training(net).evaluate(run.splits.validation, "validation")[1] == best.validation_accuracy


def test_stripes_are_learned():
    run = training(epochs=8)
    while not run.done:
        run.epoch()
    assert run.evaluate(run.splits.test, "test")[1] > 85


def test_a_loss_that_is_no_number_is_a_failure():
    run = training(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), lr=1e38)
    with pytest.raises(TrainingFailure, match=r"the training loss in epoch 1 is (nan|inf), not a finite number"):
        run.epoch()


class Breaking(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.layer, self.error = nn.Linear(64, 3), error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [(RuntimeError("shapes\ndiffer"), "failed"), (MemoryError("gone"), "memory"), (OSError("no weights"), "failed")],
)
def test_what_a_network_raises_is_its_failure(error, status):
    run = training(Breaking(error))
    with pytest.raises(TrainingFailure, match=type(error).__name__) as failure:
        run.epoch()
    assert failure.value.status == status


def test_nothing_to_train_is_a_failure():
    with pytest.raises(TrainingFailure, match="empty parameter list"):
        training(nn.Flatten())


def test_images_that_cannot_be_read_are_no_failure_of_the_network(tmp_path):
    """They are the run's: every other network would fail for the same reason."""

    class Images(torch.utils.data.Dataset):
        targets = [n % 3 for n in range(60)]  # noqa: RUF012

        def __len__(self):
            return 60

        def __getitem__(self, index):
            if index == 17 and broken:
                raise OSError("the disk is gone")
            return torch.rand(1, 8, 8), self.targets[index]

    broken = False
    parts = splits(Images())
    broken = True
    run = training(network(conditions()), parts)
    with pytest.raises(UsageError, match="the disk is gone"):
        run.epoch()


def test_watch_is_told_of_every_step(monkeypatch):
    monkeypatch.setattr(loop, "NOTE_SECONDS", -1.0)
    run, told = training(epochs=2), []
    run.epoch(lambda done, note: told.append((done, note)))
    run.epoch(lambda done, note: told.append((done, note)))
    assert [done for done, _ in told] == list(range(1, 2 * run.steps + 1))
    assert all(note.startswith("loss ") and note.endswith(" %") for _, note in told)
