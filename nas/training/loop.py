"""One network's training, epoch by epoch; its state can be saved and restored."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.data.splits import Part, Splits
from nas.passes.initialisation import seeded
from nas.scoring.measurer import is_out_of_memory, reason_of
from nas.training.images import Images, augmented, in_order
from nas.training.recipe import Recipe, steps_of

EVALUATION_BATCH = 2
"""How many times as large batches may be without gradients."""
NOTE_SECONDS = 0.5
"""Seconds between two readings of the running loss, each of which waits for the device."""

StepWatch = Callable[[int, str], None]
"""Called after each step with the number done in the whole training, and now and then with the loss and accuracy so far
(else an empty text)."""


class TrainingFailure(Exception):
    """A network that cannot be trained; the message is the reason that is recorded."""

    def __init__(self, reason: str, status: str = "failed") -> None:
        super().__init__(reason)
        self.status = status


class Epoch(NamedTuple):
    """A row of ``history.csv``.

    Attributes:
        epoch: from 1.
        lr: the learning rate of its first step.
        train_loss: the mean of the minimised loss over the images as they were augmented.
        train_accuracy: in per cent, on the same images.
        validation_loss, validation_accuracy: after the epoch, on all validation images: cross-entropy without
            smoothing, per cent.
        seconds: for the whole epoch.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float

    @property
    def rank(self) -> tuple[float, float]:
        """The best epoch has the largest: by validation accuracy, among equals by validation loss."""
        return self.validation_accuracy, -self.validation_loss


@dataclass(frozen=True)
class Weights:
    """A network's state after an epoch, on the CPU."""

    epoch: int
    state: dict[str, Tensor]


class Training:
    """A network in training, epoch by epoch of a recipe.

    An epoch depends only on the network, the state of the optimiser and the epoch's number: all random numbers in it,
    those of the network's own layers too, start from the seed and that number. So `state` is all that has to be kept.

    Args:
        net: freshly made; moved to ``device`` and trained in place.

    Raises:
        TrainingFailure: it has nothing to train, or cannot be moved.
    """

    def __init__(self, net: nn.Module, splits: Splits, recipe: Recipe, device: torch.device) -> None:
        self.splits, self.device = splits, device
        self.recipe = recipe.settled(net)
        self.dtype = torch.float64 if recipe.precision == "float64" else torch.float32
        with _failing():
            self.net = net.to(device, self.dtype)
            self._optimiser = self.recipe.optimise(self.net)
        half = self.recipe.precision == "float16"
        self._scaler = torch.amp.GradScaler(device.type, enabled=half)  # small gradients would be 0 in 16 bits
        self._images: dict[str, Images] = {}
        self.history: list[Epoch] = []
        self.best: Weights | None = None

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return steps_of(len(self.splits.train), self.recipe.batch_size)

    @property
    def done(self) -> bool:
        return len(self.history) >= self.recipe.epochs

    def epoch(self, watch: StepWatch | None = None) -> Epoch:
        """Trains one epoch and evaluates.

        Raises:
            TrainingFailure: the loss is not a finite number, or the network raises an error.
        """
        start, number = time.perf_counter(), len(self.history)
        with drawing_from(self.recipe.seed, number + 1, self.device):
            lr = self.recipe.rate(number * self.steps, self.recipe.epochs * self.steps)
            trained = self._train(number, watch)
            validated = self.evaluate(self.splits.validation, "validation")
        row = Epoch(number + 1, lr, *trained, *validated, round(time.perf_counter() - start, 3))
        self.history.append(row)
        if self.best is None or row.rank > self.history[self.best.epoch - 1].rank:
            self.best = self.weights()
        return row

    def weights(self) -> Weights:
        """The network's state now."""
        return Weights(len(self.history), {k: v.detach().cpu().clone() for k, v in self.net.state_dict().items()})

    def evaluate(self, part: Part, name: str) -> tuple[float, float]:
        """The mean cross-entropy over a part's images, and the accuracy in per cent."""
        self.net.eval()
        images = self._images_of(part, name)
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        with torch.no_grad():  # not inference mode: what a network computes and keeps here must serve in training too
            for batch, labels in images.batches(in_order(len(images), EVALUATION_BATCH * self.recipe.batch_size)):
                with _failing():
                    logits = self._logits(batch)
                    loss = F.cross_entropy(logits, labels, reduction="sum")
                    sums += torch.stack([loss.double(), _correct(logits, labels)])
        return _means(sums, len(images), f"the {name} loss")

    def state(self) -> dict[str, Any]:
        """All that the rest of the training depends on, as tensors and plain values."""
        return {
            "net": self.net.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
            "history": [tuple(row) for row in self.history],
            "best": None if self.best is None else {"epoch": self.best.epoch, "state": self.best.state},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from where `state` was taken.

        Raises:
            Exception: it is the state of another training.
        """
        self.net.load_state_dict(state["net"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        self.history = [Epoch(*row) for row in state["history"]]
        self.best = None if state["best"] is None else Weights(**state["best"])

    def _train(self, number: int, watch: StepWatch | None) -> tuple[float, float]:
        self.net.train()
        images = self._images_of(self.splits.train, "train")
        generator = torch.Generator().manual_seed(torch.initial_seed())
        before, total = number * self.steps, self.recipe.epochs * self.steps
        sums, seen, last_note = torch.zeros(2, dtype=torch.float64, device=self.device), 0, time.perf_counter()
        order = in_order(len(images), self.recipe.batch_size, generator)
        for step, (batch, labels) in enumerate(images.batches(order), start=before):
            for group in self._optimiser.param_groups:
                group["lr"] = self.recipe.rate(step, total)
            with _failing():
                sums += self._step(augmented(batch, self.recipe.augment, generator), labels)
            seen += len(labels)
            if watch is not None:
                note = ""
                if time.perf_counter() - last_note > NOTE_SECONDS:
                    loss, correct = (sums / seen).tolist()
                    note, last_note = f"loss {loss:.3g}, accuracy {100 * correct:.1f} %", time.perf_counter()
                watch(step + 1, note)
        return _means(sums, seen, f"the training loss in epoch {number + 1}")

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Makes one step of the optimiser, and returns the batch's sums of losses and of right answers."""
        self._optimiser.zero_grad(set_to_none=True)
        logits = self._logits(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return torch.stack([loss.detach().double() * len(labels), _correct(logits.detach(), labels)])

    def _logits(self, images: Tensor) -> Tensor:
        """The logits in single precision, whatever the network computed in: losses are sums of many small numbers."""
        mixed = self.recipe.autocast_dtype
        with torch.autocast(self.device.type, mixed, enabled=mixed is not None):
            logits: Tensor = self.net(images)
        return logits.to(self.dtype)

    def _images_of(self, part: Part, name: str) -> Images:
        if name not in self._images:
            self._images[name] = Images(part, self.device, self.dtype)
        return self._images[name]


@contextmanager
def drawing_from(seed: int, number: int, device: torch.device) -> Iterator[None]:
    """A context in which all generators that a network may draw from, torch's, Python's and NumPy's, start from
    ``seed`` and ``number``; afterwards they go on as if nothing had been drawn."""
    mixed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(mixed)
    np.random.seed(mixed)
    try:
        with seeded(mixed, device):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def _failing() -> Iterator[None]:
    """A context in which whatever the network raises is a `TrainingFailure`."""
    try:
        yield
    except Exception as error:
        status = "memory" if is_out_of_memory(error) else "failed"
        raise TrainingFailure(reason_of(error), status) from error


def _correct(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(1) == labels).sum().double()


def _means(sums: Tensor, count: int, what: str) -> tuple[float, float]:
    """Loss and accuracy in per cent from their sums; `TrainingFailure` where the loss is no finite number."""
    loss, correct = (sums / count).tolist()
    if not np.isfinite(loss):
        raise TrainingFailure(f"{what} is {loss}, not a finite number")
    return loss, 100 * correct
