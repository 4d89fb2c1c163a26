"""Which trials a trial was made from."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, cast, final

from nas.space import Arch, Space


@final
class Ancestry:
    """The parents of the proposals of one search, noted while its searcher works.

    A searcher yields architectures without saying where they come from. Where it let the space mutate, cross over or
    cut what it proposed before, the space knows; so the searcher gets a space that notes it. An architecture made from
    a child that was never proposed inherits that child's parents.
    """

    def __init__(self) -> None:
        self._numbers: dict[Arch, int] = {}
        self._unproposed: dict[Arch, tuple[int, ...]] = {}

    def noting(self, space: Space) -> Space:
        """``space``, which notes here what it makes each architecture from."""
        return cast(Space, NotingSpace(space, self))

    def proposed(self, arch: Arch, number: int) -> tuple[int, ...]:
        """The numbers of the trials that ``arch`` was made from, now that it is the trial ``number``."""
        self._numbers[arch] = number
        return self._unproposed.pop(arch, ())

    def note(self, child: Arch, *parents: Arch) -> Arch:
        """Notes that ``child`` was made of ``parents``, and returns it."""
        numbers: dict[int, None] = {}
        for parent in parents:
            if parent in self._unproposed:
                numbers |= dict.fromkeys(self._unproposed[parent])
            elif parent in self._numbers:
                numbers[self._numbers[parent]] = None
        self._unproposed[child] = tuple(numbers)
        return child


@final
class NotingSpace:
    """A space as its searcher sees it: each step from one architecture to another is noted, the rest is the space's."""

    def __init__(self, space: Space, ancestry: Ancestry) -> None:
        self._space = space
        self._note = ancestry.note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._space, name)

    def __iter__(self) -> Iterator[Arch]:
        return iter(self._space)

    def __len__(self) -> int:
        return len(self._space)

    def mutate(self, arch: Arch, rng: Random) -> Arch:
        child = self._space.mutate(arch, rng)
        changed = sum(own != other for own, other in zip(child, arch, strict=True))
        return (
            self._note(child, arch) if changed == 1 else child
        )  # else no neighbour is valid, and the child is a new sample

    def crossover(self, first: Arch, second: Arch, rng: Random) -> Arch:
        return self._note(self._space.crossover(first, second, rng), first, second)

    def neighbours(self, arch: Arch) -> list[Arch]:
        return [self._note(child, arch) for child in self._space.neighbours(arch)]

    def cuts(self, arch: Arch) -> list[tuple[int, int, Arch]]:
        return [(slot, option, self._note(below, arch)) for slot, option, below in self._space.cuts(arch)]
