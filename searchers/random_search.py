"""Random search."""

from __future__ import annotations

from random import Random

from nas.searcher import Search, searcher
from nas.space import Space


@searcher("random_search")
def random_search(space: Space, rng: Random) -> Search:
    """Independent random architectures, uniform over the space; the baseline that every strategy must beat."""
    while True:
        yield [space.sample(rng)]
