"""The logits alone of a network that returns more, as a module that can be exported."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nas.scoring.logits import logits_of, replace_by_logits
from nas.space import Task

Key = str | int


class Logits(nn.Module):
    """A network reduced to the part of its output at ``path``."""

    def __init__(self, net: nn.Module, path: tuple[Key, ...]) -> None:
        super().__init__()
        self.net = net
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x)
        for key in self.path:
            out = getattr(out, key) if isinstance(key, str) and not isinstance(out, dict) else out[key]
        return out  # type: ignore[no-any-return]


def logits_alone(net: nn.Module, task: Task) -> nn.Module:
    """A copy of ``net`` in evaluation mode that returns its logits alone, by a module around it where needed, not by
    the toolkit's hook."""
    bare = deepcopy(net).eval()
    for key, hook in list(bare._forward_hooks.items()):
        if isinstance(hook, partial) and hook.func is replace_by_logits:
            del bare._forward_hooks[key]
    with torch.no_grad():
        out = bare(torch.zeros(1, task.channels, task.size, task.size))
    path = _path(out, logits_of(out, task.classes))
    return Logits(bare, path).eval() if path else bare


def _path(value: Any, wanted: Tensor) -> tuple[Key, ...] | None:
    """The keys, places or attributes by which ``wanted`` is reached; None where it is not in ``value``."""
    if value is wanted:
        return ()
    if isinstance(value, Tensor):
        return None
    parts: Mapping[Any, Any] = {}
    if isinstance(value, Mapping):
        parts = value
    elif isinstance(value, tuple | list):
        parts = dict(enumerate(value))
    elif hasattr(value, "__dict__"):
        parts = vars(value)
    for key, part in parts.items():
        if (rest := _path(part, wanted)) is not None:
            return (key, *rest)
    return None
