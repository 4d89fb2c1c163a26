"""Regularized evolution (Real et al. 2019, arXiv:1802.01548)."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Annotated

from nas.registry import Range
from nas.searcher import Search, searcher
from nas.space import Arch, Space


@searcher("evolution", paper="Real et al. 2019, arXiv:1802.01548")
def evolution(
    space: Space,
    rng: Random,
    *,
    population: Annotated[int, Range(1)] = 50,
    tournament: Annotated[int, Range(1)] = 10,
) -> Search:
    """Tournament selection, mutation in one slot, and ageing: the oldest dies, not the worst.

    Args:
        population: how many architectures live at a time; the first ones are random.
        tournament: how many of them, drawn at random without replacement, compete to be the parent.
    """
    living: deque[tuple[Arch, float]] = deque()  # the oldest first
    while len(living) < population:
        arch = space.sample(rng)
        (score,) = yield [arch]
        living.append((arch, score))
    while True:
        rivals = rng.sample(range(len(living)), min(tournament, len(living)))
        parent, _ = max((living[rival] for rival in rivals), key=lambda member: member[1])
        child = space.mutate(parent, rng)
        (score,) = yield [child]
        living.append((child, score))
        living.popleft()
