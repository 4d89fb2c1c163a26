"""An architecture's training from its first weights to its test accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from nas.data.splits import Splits
from nas.scoring.measurer import build, is_out_of_memory, reason_of
from nas.space import Arch, Space
from nas.training.checkpoint import TrainingFolder
from nas.training.events import Events
from nas.training.loop import Epoch, Training, TrainingFailure, drawing_from
from nas.training.recipe import Recipe

DECIMALS = 4
"""Decimals of accuracies in per cent: a millionth of the images."""


@dataclass(frozen=True)
class Conditions:
    """What all trainings of a run have in common.

    Attributes:
        events: whether TensorBoard's events are written.
    """

    space: Space
    splits: Splits
    recipe: Recipe
    device: torch.device
    events: bool = False


@dataclass(frozen=True)
class Trained:
    """The outcome of one training.

    Attributes:
        result: the content of ``result.yaml``: ``arch``, ``status``, ``reason``; and for a network that was trained
            ``valid_accuracy`` and ``test_accuracy`` (of the weights of the best epoch, in per cent), ``best_epoch``,
            the same accuracies of the ``last`` epoch, ``epochs``, ``seed``, ``params``, ``seconds``, the settings that
            the recipe left open, and the network's task, classes and normalisation.
        folder: where its history and weights are; None where there is no folder, and they are here.
    """

    result: Mapping[str, Any]
    folder: TrainingFolder | None = None
    _history: Sequence[Epoch] = ()
    _weights: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict, repr=False)

    @property
    def trained(self) -> bool:
        return bool(self.result["status"] == "ok")

    def history(self) -> Sequence[Epoch]:
        """An entry for each epoch."""
        return self._history if self.folder is None else self.folder.history()

    def weights(self, epoch: str) -> Mapping[str, Tensor]:
        """The network's state after the ``best`` epoch or the ``last`` one."""
        return self._weights[epoch] if self.folder is None else self.folder.weights(epoch)


def train_network(
    conditions: Conditions,
    arch: Arch,
    folder: TrainingFolder | None = None,
    watch: Callable[[int, str], None] | None = None,
    log: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Trains the network of ``arch``, in its canonical form, which is what is scored, and tests it once, with the
    weights that did best on the validation images.

    It continues from the state in ``folder``. A network that cannot be made or trained has a result that says so.

    Args:
        watch: called after each step with the number done in this training, and now and then with its loss and
            accuracy.
        log: called with each epoch, those before it was continued included.
    """
    text = conditions.space.text(arch)
    try:
        return _trained(conditions, arch, text, folder, watch, log)
    except TrainingFailure as failure:
        result = {"arch": text, "status": failure.status, "reason": str(failure)}
        if folder is not None:
            folder.path.mkdir(parents=True, exist_ok=True)
            folder.end(result)
        return Trained(result, folder)


def _trained(
    conditions: Conditions,
    arch: Arch,
    text: str,
    folder: TrainingFolder | None,
    watch: Callable[[int, str], None] | None,
    log: Callable[[Epoch], None] | None,
) -> Trained:
    splits, recipe = conditions.splits, conditions.recipe
    training = Training(_built(conditions, arch), splits, recipe, conditions.device)
    with ExitStack() as stack:
        events = None
        if folder is not None:
            folder.begin(training)
            if conditions.events:
                events = stack.enter_context(Events(folder.path, training.history))
        if log is not None:
            for row in training.history:
                log(row)
        while not training.done:
            row = training.epoch(watch)
            if log is not None:
                log(row)
            if folder is not None:
                folder.keep(training)
            if events is not None:
                events.add(row)
    best, last = training.best, training.weights()
    assert best is not None
    result = {"arch": text, "status": "ok", "reason": "", **_accuracies(training)}
    result |= {
        "epochs": recipe.epochs, "seed": recipe.seed, "params": sum(p.numel() for p in training.net.parameters()),
        "seconds": round(sum(row.seconds for row in training.history), 3), "optimiser": training.recipe.optimiser,
        "lr": training.recipe.lr, "weight_decay": training.recipe.weight_decay, "task": splits.task.described,
        "classes": list(splits.classes), "mean": splits.train.standard.mean.tolist(),
        "std": splits.train.standard.std.tolist(),
    }  # fmt: skip
    if folder is not None:
        folder.end(result)
        return Trained(result, folder)
    return Trained(result, None, tuple(training.history), {"best": best.state, "last": last.state})


def _built(conditions: Conditions, arch: Arch) -> nn.Module:
    try:
        return build(conditions.space, conditions.space.canonical(arch), conditions.splits.task, conditions.recipe.seed)
    except Exception as error:  # whatever a space or a user's network raises is a failure of this one
        raise TrainingFailure(reason_of(error), "memory" if is_out_of_memory(error) else "failed") from error


def _accuracies(training: Training) -> dict[str, Any]:
    """The accuracies of the best epoch and of the last one; the network is left with the last weights."""
    assert training.best is not None
    last, best = training.history[-1], training.history[training.best.epoch - 1]
    with drawing_from(training.recipe.seed, 0, training.device):
        _, last_test = training.evaluate(training.splits.test, "test")
        test, weights = last_test, training.weights()
        if best is not last:
            training.net.load_state_dict(training.best.state)
            _, test = training.evaluate(training.splits.test, "test")
            training.net.load_state_dict(weights.state)
    return {
        "valid_accuracy": round(best.validation_accuracy, DECIMALS), "test_accuracy": round(test, DECIMALS),
        "best_epoch": best.epoch,
        "last": {"valid_accuracy": round(last.validation_accuracy, DECIMALS),
                 "test_accuracy": round(last_test, DECIMALS)},
    }  # fmt: skip
