"""The settings of a training, all of which are fixed before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import cos, isfinite, pi
from typing import Any

import torch
from torch import nn

from nas.errors import UsageError, unknown
from nas.registry import check_number, normal
from nas.space import Task

OPTIMISERS = ("auto", "sgd", "adamw")
AUGMENTATIONS = ("flip", "crop")
MOMENTUM = 0.9
REFERENCE_BATCH = 256
"""The batch that the learning rates below are for, as in NAS-Bench-201; for others they are in proportion (Goyal et al.
2017, arXiv:1706.02677)."""
LEARNING_RATES = {"sgd": 0.1, "adamw": 2e-3}
WEIGHT_DECAYS = {"sgd": 5e-4, "adamw": 0.05}
WARM_UP = {"sgd": 0.0, "adamw": 0.1}
"""The part of all steps in which the learning rate rises from 0."""
MIN_STEPS = 20
"""The fewest steps of an epoch on small data, in batches of 16 or more."""
MIN_BATCH = 16
NATURAL = Task(classes=2, channels=3, size=32)
"""Images with this many channels, and at least this many pixels a side, are taken for photographs."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that training depends on except the network and the images.

    SGD with Nesterov momentum and cosine decay is as NAS-Bench-201 trains (Dong & Yang 2020, arXiv:2001.00326), AdamW
    with a rise over the first tenth as transformers are trained from scratch (Touvron et al. 2021, arXiv:2012.12877):
    it decays neither biases nor norms.

    Attributes:
        batch_size: the largest batch; the batches of an epoch are of one size to within one image.
        optimiser: ``sgd``, ``adamw``, or ``auto``: AdamW for a network that normalises layers and no batches, as
            transformers do.
        lr: the largest learning rate; None for the optimiser's own, in proportion to the batch.
        weight_decay: None for the optimiser's own.
        label_smoothing: the share of the target that goes to all classes alike.
        augment: for training images: ``flip`` mirrors each with probability ½, ``crop`` shifts it within a border of an
            eighth of its size, of the mean colour.
        precision: see `nas.scoring.measurer.PRECISIONS`.
        seed: of the weights, the order of the images, and everything else that is random.
    """

    epochs: int
    batch_size: int
    optimiser: str
    lr: float | None
    weight_decay: float | None
    label_smoothing: float
    augment: tuple[str, ...]
    precision: str
    seed: int

    def steps(self, images: int) -> int:
        """Steps of the whole training on this many images."""
        return self.epochs * steps_of(images, self.batch_size)

    def settled(self, net: nn.Module) -> Recipe:
        """The recipe for ``net``, with the optimiser that suits it and its rates."""
        optimiser = self.optimiser
        if optimiser == "auto":
            kinds = [type(module) for module in net.modules()]
            layers = any(issubclass(kind, nn.LayerNorm | nn.MultiheadAttention) for kind in kinds)
            batches = any(issubclass(kind, nn.modules.batchnorm._BatchNorm) for kind in kinds)
            optimiser = "adamw" if layers and not batches else "sgd"
        scale = self.batch_size / REFERENCE_BATCH
        return replace(
            self, optimiser=optimiser, lr=LEARNING_RATES[optimiser] * scale if self.lr is None else self.lr,
            weight_decay=WEIGHT_DECAYS[optimiser] if self.weight_decay is None else self.weight_decay,
        )  # fmt: skip

    def optimise(self, net: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of a settled recipe, for what can be trained of ``net``."""
        trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
        lr, weight_decay = self.lr or 0.0, self.weight_decay or 0.0
        if self.optimiser == "sgd":
            return torch.optim.SGD(trained, lr, MOMENTUM, weight_decay=weight_decay, nesterov=True)
        groups = [{"params": [p for p in trained if p.ndim > 1]}, {"params": [p for p in trained if p.ndim <= 1]}]
        groups[1]["weight_decay"] = 0.0  # type: ignore[assignment]
        return torch.optim.AdamW([group for group in groups if group["params"]], lr, weight_decay=weight_decay)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a settled recipe at a step of all ``steps``, from 0: a linear rise, then half a cosine.

        It depends on the step alone, so it has no state to save.
        """
        rise = int(WARM_UP[self.optimiser] * steps)
        share = (step + 1) / rise if step < rise else (1 + cos(pi * (step - rise) / (steps - rise))) / 2
        return (self.lr or 0.0) * share

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """The shorter type of mixed precision; None without."""
        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype if dtype.itemsize < 4 else None


def steps_of(images: int, batch_size: int) -> int:
    """Batches of an epoch."""
    return -(-images // batch_size)


def batch_size_for(images: int) -> int:
    """NAS-Bench-201's batch of 256; for few training images, the largest power of two that gives 20 steps an epoch, but
    at least 16."""
    size = REFERENCE_BATCH
    while size > MIN_BATCH and images < size * MIN_STEPS:
        size //= 2
    return size


def augmentation_for(augment: Sequence[str] | str, task: Task) -> tuple[str, ...]:
    """The augmentations of training images: those in ``augment``; for ``auto``, all those that suit photographs.

    In writing and in most drawings left and right differ, and few pixels leave no room to crop: images with another
    number of channels than three, or with fewer than 32 pixels a side, stay as they are.
    """
    names = [normal(name) for name in (augment.split(",") if isinstance(augment, str) else augment)]
    for name in names:
        if name not in ("auto", "none", *AUGMENTATIONS):
            raise unknown("augmentation", name, ("auto", "none", *AUGMENTATIONS))
    if len(names) > 1 and {"auto", "none"} & set(names):
        raise UsageError(f"augment is 'auto', 'none', or names joined with commas, not {','.join(names)!r}")
    if names == ["auto"]:
        natural = task.channels == NATURAL.channels and task.size >= NATURAL.size
        return AUGMENTATIONS if natural else ()
    return tuple(name for name in AUGMENTATIONS if name in names)


def recipe_of(
    images: int,
    task: Task,
    *,
    epochs: int,
    batch_size: int | None,
    optimiser: str,
    lr: float | None,
    weight_decay: float | None,
    label_smoothing: float,
    augment: Sequence[str] | str,
    precision: str,
    seed: int,
) -> Recipe:
    """The recipe for this many training images of ``task``, from the user's settings; None stands for the default.

    Raises:
        UsageError: something given cannot be used.
    """
    check_number("epochs", epochs, 1)
    if batch_size is not None:
        check_number("batch_size", batch_size, 2)
    if normal(optimiser) not in OPTIMISERS:
        raise unknown("optimiser", optimiser, OPTIMISERS)
    for name, value, below in (("lr", lr, None), ("weight_decay", weight_decay, None),
                               ("label_smoothing", label_smoothing, 1.0)):  # fmt: skip
        if value is not None:
            _check_amount(name, value, below, zero=name != "lr")
    return Recipe(
        epochs=epochs, batch_size=min(batch_size or batch_size_for(images), images), optimiser=normal(optimiser), lr=lr,
        weight_decay=weight_decay, label_smoothing=label_smoothing, augment=augmentation_for(augment, task),
        precision=precision, seed=seed,
    )  # fmt: skip


def _check_amount(name: str, value: Any, below: float | None, *, zero: bool) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not number or value < 0 or (value == 0 and not zero) or (below is not None and value >= below):
        bounds = f"{'at least' if zero else 'more than'} 0" + (f" and less than {below:g}" if below else "")
        raise UsageError(f"{name} is a number, {bounds}, not {value!r}")
