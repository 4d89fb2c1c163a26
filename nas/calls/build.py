"""The call `nas.build`: an architecture's network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from nas.calls.settings import parse
from nas.calls.setup import Setup
from nas.errors import UsageError
from nas.registry import Settings, check_number
from nas.scoring.measurer import build as network
from nas.space import Space, Task


def build(
    space: Space | str,
    arch: str,
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
    length: int = 32,
    *,
    seed: int = 0,
    settings: Settings | None = None,
    plugin: Sequence[str | Path] | str | Path = (),
) -> nn.Module:
    """The network of ``arch``, freshly initialised: images [samples, channels, size, size] to logits [samples,
    classes], or, where the space's networks take tokens, [samples, length] to [samples, length, classes].

    It is the network as written, not the canonical one of its isomorphism class, which is what gets scored.

    Args:
        arch: in any notation of the space.
        seed: of the weights, which are the same on every machine.
        settings: options of the space: ``{"nasbench101": {"channels": 16}}``.
        plugin: Python files with further plug-ins.

    Raises:
        UsageError: something given cannot be used, or the network cannot be made.
    """
    for name, value in (("classes", classes), ("channels", channels), ("size", size), ("length", length)):
        check_number(name, value, 1)
    setup = Setup.of(space, {"seed": seed, "settings": settings, "plugin": plugin})
    parsed = parse(setup.space, arch)
    task = Task(classes, channels, size)
    if (output := setup.space.predicts[0]) != "classes":
        task = Task(classes, length=length, kind="tokens", masked=output == "masked")
    try:
        return network(setup.space, parsed, task, setup.seed)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"{setup.space.text(parsed)} cannot be built for {task}: {error}") from error
