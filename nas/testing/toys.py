"""The material of the checks: small spaces, their networks, and an objective whose optimum is known."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from nas import plugins
from nas.data.minibatch import Minibatch, minibatch
from nas.passes.initialisation import seeded
from nas.space import SPACES, Arch, Space, Task


def narrow_space() -> Space:
    """NAS-Bench-201 at a width and depth at which a network is scored in milliseconds."""
    plugins.load()
    return SPACES["nasbench201"](widths=(4, 8), repeats=1)


def networks() -> dict[str, str]:
    """Architectures of `narrow_space` for which every proxy gives a number or a reason."""
    return {
        "ordinary": "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|",
        "all convolutions": narrow_space().text(((3,),) * 6),
        "all skip": narrow_space().text(((1,),) * 6),
        "disconnected": "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|",
        "supernet": narrow_space().text(narrow_space().full()),
    }


def small_minibatch(seed: int = 0) -> Minibatch:
    """Twelve images of three classes, 8 pixels a side."""
    return minibatch("synthetic:classes=3,size=8", 12, seed=seed)


class Transformers(Space):
    """Small vision transformers of one or two blocks; their 12 tokens are the channels."""

    slots = (("1", "2"),)

    def build(self, arch: Arch, task: Task) -> nn.Module:
        layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
        patches = nn.Conv2d(task.channels, 12, task.size // 4, stride=task.size // 4)
        blocks = nn.TransformerEncoder(layer, 1 + arch[0][0])
        return nn.Sequential(patches, nn.Flatten(2), blocks, nn.Flatten(), nn.Linear(12 * 16, task.classes))


class ToySpace(Space):
    """Eight slots of four options; nothing is ever built."""

    slots = (("a", "b", "c", "d"),) * 8
    supernet = True

    def build(self, arch: Arch, task: Task) -> nn.Module:
        raise AssertionError("a searcher never builds a network")


class FencedSpace(Space):
    """As `ToySpace`, but the options in the first four slots of its architectures add up to at most 6."""

    slots = ToySpace.slots
    supernet = True

    def build(self, arch: Arch, task: Task) -> nn.Module:
        raise AssertionError("a searcher never builds a network")

    def valid(self, arch: Arch) -> bool:
        return sum(min(options) for options in arch[:4]) <= 6


def additive(arch: Arch) -> float:
    """A toy objective: each slot has its best option; an open slot counts the mean of its options."""
    return sum(sum(-abs(o - slot % 4) for o in options) / len(options) for slot, options in enumerate(arch))


@contextmanager
def generators(seed: int) -> Iterator[Callable[[], dict[str, str]]]:
    """A context in which the random generators of the process start from ``seed``, with a function that returns their
    states; afterwards they are restored."""

    def states() -> dict[str, str]:
        with np.printoptions(threshold=sys.maxsize):
            return {
                "random's generator": str(random.getstate()),
                "numpy's generator": str(np.random.get_state()),
                "torch's generator": str(torch.get_rng_state().tolist()),
            }

    before, before_numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with seeded(seed):
            yield states
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)
