"""What is set before training, and what follows from it."""

import pytest
import torch
from cases import Tokens
from torch import nn
from trainings import conditions, network, recipe, stripes

from nas.data.splits import splits
from nas.errors import UsageError
from nas.space import Task
from nas.training.recipe import augmentation_for, batch_size_for


@pytest.fixture(scope="module")
def parts():
    return splits(stripes())


@pytest.mark.parametrize(
    ("images", "size"), [(50_000, 256), (5_120, 256), (5_119, 128), (1_439, 64), (640, 32), (639, 16), (10, 16)]
)
def test_small_data_have_small_batches(images, size):
    assert batch_size_for(images) == size


def test_a_batch_is_no_larger_than_the_data(parts):
    assert recipe(parts, batch_size=None).batch_size == 16
    assert recipe(parts, batch_size=500).batch_size == len(parts.train)


@pytest.mark.parametrize(
    ("given", "task", "how"),
    [
        ("auto", Task(10, 3, 32), ("flip", "crop")),
        ("auto", Task(10, 3, 224), ("flip", "crop")),
        ("auto", Task(10, 1, 32), ()),
        ("auto", Task(10, 3, 31), ()),
        ("none", Task(10, 3, 32), ()),
        ("crop", Task(10, 1, 8), ("crop",)),
        ("Crop,flip", Task(10, 1, 8), ("flip", "crop")),
        (["flip"], Task(10, 1, 8), ("flip",)),
    ],
)
def test_photographs_are_flipped_and_cropped(given, task, how):
    assert augmentation_for(given, task) == how


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "epochs is a whole number: give at least 1"),
        ({"batch_size": 1}, "batch_size is a whole number: give at least 2"),
        ({"optimiser": "sdg"}, "unknown optimiser 'sdg': known are adamw, auto, sgd; did you mean 'sgd'"),
        ({"lr": 0}, "lr is a number, more than 0, not 0"),
        ({"lr": float("nan")}, "lr is a number, more than 0, not nan"),
        ({"weight_decay": -1.0}, "weight_decay is a number, at least 0, not -1.0"),
        ({"label_smoothing": 1.0}, "label_smoothing is a number, at least 0 and less than 1, not 1.0"),
        ({"augment": "flop"}, "unknown augmentation 'flop'.*did you mean 'flip'"),
        ({"augment": "none,flip"}, "augment is 'auto', 'none', or names joined with commas, not 'none,flip'"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(parts, given, message):
    with pytest.raises(UsageError, match=message):
        recipe(parts, **given)


def test_transformers_are_trained_by_adamw(parts):
    cond = conditions()
    convolutional = recipe(parts, batch_size=64).settled(network(cond))
    assert (convolutional.optimiser, convolutional.lr, convolutional.weight_decay) == ("sgd", 0.025, 5e-4)
    transformer = recipe(parts, batch_size=64).settled(Tokens())
    assert (transformer.optimiser, transformer.lr, transformer.weight_decay) == ("adamw", 0.0005, 0.05)
    assert recipe(parts, optimiser="adamw").settled(network(cond)).optimiser == "adamw"
    assert recipe(parts, lr=3.0, weight_decay=0.0).settled(Tokens()).lr == 3.0


def test_adamw_decays_neither_biases_nor_norms(parts):
    net = Tokens()
    optimiser = recipe(parts).settled(net).optimise(net)
    decayed = {id(p) for group in optimiser.param_groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {id(layer.weight) for layer in (net.patch, net.mix, net.head)}
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(list(net.parameters()))


def test_what_is_frozen_is_not_trained(parts):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Linear(4, 3))
    net[1].weight.requires_grad = False
    (group,) = recipe(parts).settled(net).optimise(net).param_groups
    assert len(group["params"]) == 3


@pytest.mark.parametrize(("optimiser", "rise"), [("sgd", 0), ("adamw", 6)])
def test_the_rate_is_that_of_torchs_schedulers(parts, optimiser, rise):
    settled = recipe(parts, optimiser=optimiser, lr=0.3).settled(nn.Linear(1, 1))
    weight = nn.Parameter(torch.zeros(1))
    sgd, steps = torch.optim.SGD([weight], 0.3), 60
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, steps - rise)
    expected = [0.3 * (step + 1) / rise for step in range(rise)]
    for _ in range(steps - rise):
        expected.append(sgd.param_groups[0]["lr"])
        sgd.step()
        cosine.step()
    assert [settled.rate(step, steps) for step in range(steps)] == pytest.approx(expected)
