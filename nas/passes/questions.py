"""What proxies ask of passes over a network, and the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from nas.passes.intercept import Visits

Event = Literal[
    "blocks",
    "convolutions",
    "curvature",
    "features",
    "flow",
    "gradients",
    "input",
    "layers",
    "modules",
    "rectified",
    "relus",
    "roles",
    "scalars",
]
"""What a pass comes across and hands to visitors."""
FORWARD = ("convolutions", "features", "modules", "relus", "roles")
"""What it comes across before it has met the whole network."""


class Question(NamedTuple):
    """Who asks, and how many questions the same proxy has asked before."""

    proxy: str | None
    number: int


class Answer(NamedTuple):
    """What a question was, and what the visitor made of each part of the pass, or the error that there was."""

    kind: str
    event: Event
    values: list[Any] | BaseException


@dataclass(frozen=True)
class Pass:
    """A pass over the network that hands what it meets to visitors; one of the same ``kind`` is the same pass."""

    kind: str
    run: Callable[[nn.Module, Tensor, Tensor, Visits], None] = field(compare=False)


class Suspension(BaseException):
    """Raised through a proxy whose question waits for the pass that will answer it."""
