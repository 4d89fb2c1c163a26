"""Checks that a plug-in leaves alone what a pass shows it, in the middle or at the end."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

SAMPLED_NUMBERS = 32
"""How many numbers of a tensor are compared, since writing to it may not have been recorded."""


class Mark:
    """A record of a tensor: how often it had been written to, and some of its numbers."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._version = tensor._version
        self._sample = _sample(tensor)

    def stands(self) -> bool:
        return self._tensor._version == self._version and torch.equal(_sample(self._tensor), self._sample)


def shared_property(function: Callable[[Any], Tensor]) -> cached_property[Tensor]:
    """A tensor that is computed at its first use, and marked, since all functions that see its owner share it."""

    def marked(owner: Any) -> Tensor:
        tensor = function(owner)
        vars(owner).setdefault("_marks", []).append(Mark(tensor))
        return tensor

    return cached_property(marked)


class Shown:
    """A record of a part of a pass before functions of several proxies see it, one after the other.

    Args:
        flags: returns what else may not be changed during the pass; None where a single function sees the part, which
            may draw random numbers, too: among others, its draws would depend on theirs.
    """

    def __init__(self, part: Any, flags: Callable[[], Any] | None) -> None:
        self._part = part
        self._marks = [Mark(tensor) for tensor in _tensors(part)]
        self._modes = _modes()
        self._flags = flags
        self._before = None if flags is None else (flags(), torch.get_rng_state())

    def change(self) -> str | None:
        """What has changed since it was recorded, in words."""
        marks = [*self._marks, *getattr(self._part, "_marks", ())]
        if not all(mark.stands() for mark in marks):
            return "what it sees, in place,"
        if _modes() != self._modes:
            return "torch's modes"
        if self._flags is not None and self._before is not None:
            flags, stream = self._before
            if self._flags() != flags:
                return "the network's modes"
            if not torch.equal(torch.get_rng_state(), stream):
                return "the stream of random numbers"
        return None


def _tensors(part: Any) -> list[Tensor]:
    if isinstance(part, Tensor):
        return [part]
    if isinstance(part, list | tuple):
        return [tensor for value in part for tensor in _tensors(value)]
    return [value for value in getattr(part, "__dict__", {}).values() if isinstance(value, Tensor)]


def _sample(tensor: Tensor) -> Tensor:
    """Some of a tensor's numbers, evenly spaced; of its first row only, where it is not contiguous."""
    flat = tensor.detach()
    while not flat.is_contiguous():
        flat = flat[0]
    flat = flat.view(-1)
    return flat[:: max(1, len(flat) // SAMPLED_NUMBERS)].clone().view(torch.uint8)  # so that nan equals itself


def _modes() -> tuple[Any, ...]:
    return (
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype(),
        torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda"),
    )  # fmt: skip


def copied(answer: Any) -> Any:
    """A copy of an answer, which the proxy may change: tensors are copied with their graph, except the network's
    parameters."""
    if isinstance(answer, Tensor):
        return answer if isinstance(answer, nn.Parameter) else answer.clone()
    if isinstance(answer, tuple) and hasattr(answer, "_fields"):
        return type(answer)(*map(copied, answer))
    if isinstance(answer, list | tuple):
        return type(answer)(map(copied, answer))
    return {key: copied(value) for key, value in answer.items()} if type(answer) is dict else answer
