"""A user's network objects as a space."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import final

from torch import nn

from nas.errors import UsageError
from nas.space import Arch, Space, Task


@final
class Modules(Space):
    """The networks themselves, one option each of a single slot; what is built is a copy with the same weights.

    Raises:
        UsageError: one of them cannot be copied.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._copies = [_copied(module) for module in modules]
        self.slots = (tuple(f"{type(module).__name__} {number}" for number, module in enumerate(modules, start=1)),)

    def build(self, arch: Arch, task: Task) -> nn.Module:
        return _copied(self._copies[arch[0][0]])


def _copied(module: nn.Module) -> nn.Module:
    try:
        return deepcopy(module)
    except Exception as error:  # whatever the user's module raises
        raise UsageError(f"a {type(module).__name__} cannot be copied, so it cannot be scored: {error}") from error
