"""NSGA-II (Deb et al. 2002, doi:10.1109/4235.996017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from random import Random
from typing import Annotated

import numpy as np
from moocore import pareto_rank  # type: ignore[import-untyped]
from numpy.typing import NDArray

from nas.registry import Range
from nas.searcher import SearchMany, searcher
from nas.space import Arch, Space

ATTEMPTS = 20
"""How many times a child is made again before one that was proposed already is proposed again."""

Vector = NDArray[np.float64]

Fitness = tuple[float, float]
"""Number of the front from 0, and minus the crowding distance: smaller is better."""


@searcher("nsga2", objectives="many", paper="Deb et al. 2002, doi:10.1109/4235.996017")
def nsga2(
    space: Space,
    rng: Random,
    *,
    population: Annotated[int, Range(2)] = 40,
    crossover: Annotated[float, Range(0, 1)] = 0.9,
) -> SearchMany:
    """Fast non-dominated sorting and crowding: the front of several objectives, evenly spread.

    Parents are chosen in binary tournaments; a child is crossed over with probability ``crossover`` and mutated in one
    slot. From parents and children together the best fronts survive, and from the last one that fits the least crowded
    members. An architecture that failed is dominated by all that did not. One that was proposed before, as the same or
    an isomorphic architecture, is made again, since its scores would tell nothing.

    Args:
        population: how many architectures live, and how many children a generation has; the first ones are random.
    """
    proposed: set[Arch] = set()
    living = _distinct(population, partial(space.sample, rng), space, proposed)
    scores = list((yield living))
    while True:
        fitness = fitness_of(scores)
        children = _distinct(population, partial(_child, space, rng, living, fitness, crossover), space, proposed)
        members, results = [*living, *children], [*scores, *(yield children)]
        fitness = fitness_of(results)
        best = sorted(range(len(members)), key=fitness.__getitem__)[:population]
        living, scores = [members[i] for i in best], [results[i] for i in best]


def _distinct(count: int, make: Callable[[], Arch], space: Space, proposed: set[Arch]) -> list[Arch]:
    """``count`` architectures from ``make``, as far as possible of networks that were not ``proposed``."""
    archs = []
    for _ in range(count):
        arch = make()
        for _ in range(ATTEMPTS):
            if space.canonical(arch) not in proposed:
                break
            arch = make()
        proposed.add(space.canonical(arch))
        archs.append(arch)
    return archs


def _child(space: Space, rng: Random, living: Sequence[Arch], fitness: Sequence[Fitness], crossover: float) -> Arch:
    first, second = (living[min(rng.sample(range(len(living)), 2), key=fitness.__getitem__)] for _ in range(2))
    return space.mutate(space.crossover(first, second, rng) if rng.random() < crossover else first, rng)


def fitness_of(scores: Sequence[tuple[float, ...]]) -> list[Fitness]:
    """The fitness of each member among all; larger scores are better, and failures, minus infinity, come last."""
    values = np.array(scores, dtype=np.float64)  # [members, objectives]
    fronts = np.full(len(values), inf)
    able = np.isfinite(values).all(axis=1)
    if able.any():
        fronts[able] = pareto_rank(values[able], maximise=True)
    distances = np.zeros(len(values))
    for front in np.unique(fronts[able]):
        members = np.flatnonzero(fronts == front)
        distances[members] = crowding(values[members])
    return list(zip(fronts.tolist(), (-distances).tolist(), strict=True))


def crowding(values: Vector) -> Vector:
    """The crowding distance of each member of a front: over the objectives, the sum of how far its neighbours on both
    sides lie apart, as a share of the front's extent; infinite at the ends.

    Args:
        values: [members, objectives].
    """
    distances = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        extent = column[order[-1]] - column[order[0]]
        distances[order[[0, -1]]] = inf
        if extent > 0:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / extent
    return distances
