"""Which trials a trial was made from."""

from __future__ import annotations

from copy import copy
from typing import TypeVar

from nas.space import Arch, Space

AnySpace = TypeVar("AnySpace", bound=Space)


class Ancestry:
    """The parents of the proposals of one search, noted while its searcher works.

    A searcher yields architectures and says nothing of where they come from. Where it had the space mutate, cross over
    or take apart what it proposed before, the space knows; so the searcher is handed one that notes it. What a child
    that was never proposed itself is made into inherits its parents.
    """

    def __init__(self) -> None:
        self._numbers: dict[Arch, int] = {}
        self._unborn: dict[Arch, tuple[int, ...]] = {}

    def noting(self, space: AnySpace) -> AnySpace:
        """A copy of ``space`` that notes here what it makes of what; it answers as ``space`` does."""
        noting = copy(space)
        noting._born = self._note
        return noting

    def proposed(self, arch: Arch, number: int) -> tuple[int, ...]:
        """The numbers of the trials that ``arch`` was made from, now that it is the trial ``number``."""
        self._numbers[arch] = number
        return self._unborn.pop(arch, ())

    def _note(self, child: Arch, *parents: Arch) -> None:
        found: dict[int, None] = {}
        for parent in parents:
            if parent in self._unborn:
                found |= dict.fromkeys(self._unborn[parent])
            elif parent in self._numbers:
                found[self._numbers[parent]] = None
        self._unborn[child] = tuple(found)
