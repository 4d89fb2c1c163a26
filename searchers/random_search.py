"""Random search."""

from __future__ import annotations

from random import Random
from typing import Annotated

from nas.registry import Range
from nas.searcher import Search, searcher
from nas.space import Space


@searcher("random_search")
def random_search(space: Space, rng: Random, *, batch: Annotated[int, Range(1)] = 1) -> Search:
    """Independent random architectures, uniform over the space; the baseline that every strategy must beat.

    Args:
        batch: how many are proposed at a time; it changes none of them.
    """
    while True:
        yield [space.sample(rng) for _ in range(batch)]
