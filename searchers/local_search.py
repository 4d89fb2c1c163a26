"""Local search (White et al. 2021, arXiv:2005.02960)."""

from __future__ import annotations

from random import Random

from nas.searcher import Search, searcher
from nas.space import Space


@searcher("local_search", paper="White et al. 2021, arXiv:2005.02960")
def local_search(space: Space, rng: Random) -> Search:
    """Steepest ascent: from a random architecture to its best neighbour while that is better, then from a new one."""
    while True:
        arch = space.sample(rng)
        (score,) = yield [arch]
        while neighbours := space.neighbours(arch):
            rng.shuffle(neighbours)
            scores = yield neighbours
            if max(scores) <= score:
                break
            score, arch = max(zip(scores, neighbours, strict=True))
