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
    batch: Annotated[int, Range(1)] = 1,
) -> Search:
    """Tournament selection, mutation in one slot, and ageing: the oldest dies, not the worst.

    Args:
        population: how many architectures live at a time; the first ones are random.
        tournament: how many of them, drawn at random without replacement, compete to be the parent.
        batch: how many children a population has before the first of them is scored; as many of the oldest die. 1 is
            the published algorithm.
    """
    living: deque[tuple[Arch, float]] = deque(maxlen=population)  # the oldest first; they make room for the youngest
    while len(living) < population:
        archs = [space.sample(rng) for _ in range(min(batch, population - len(living)))]
        scores = yield archs
        living.extend(zip(archs, scores, strict=True))
    while True:
        children = []
        for _ in range(batch):
            rivals = rng.sample(range(population), min(tournament, population))
            parent, _ = max((living[rival] for rival in rivals), key=lambda member: member[1])
            children.append(space.mutate(parent, rng))
        scores = yield children
        living.extend(zip(children, scores, strict=True))
