"""Architectures to train: drawn at random, or spread over the values of a proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random

import numpy as np

from nas.errors import UsageError
from nas.space import Arch, Space

MAX_DRAWS = 100
"""Draws for each wanted architecture before a space is taken to have no others."""
MIN_POOL = 256
"""The fewest random architectures among which some are chosen by quantiles; at least twice as many as are chosen."""


def drawn(space: Space, count: int, seed: int) -> list[Arch]:
    """``count`` random architectures whose networks are all different; the first ones are the same whatever ``count``.

    Raises:
        UsageError: the space does not have that many.
    """
    archs = _distinct(space, count, seed)
    if len(archs) < count:
        raise UsageError(
            f"{count} different architectures cannot be drawn: {len(archs)} were found in {MAX_DRAWS * count} draws"
        )
    return archs


def spread(
    space: Space, count: int, seed: int, values: Callable[[Sequence[Arch]], Sequence[float | None]]
) -> list[Arch]:
    """``count`` architectures at evenly spread quantiles of their ``values`` among random ones.

    The quantiles are those of van der Corput's sequence: ½, ¼, ¾, ⅛, …; so the first ones are the same whatever
    ``count``, as long as that is no more than half the pool. Architectures without a value are not chosen.

    Raises:
        UsageError: there are not that many with a value.
    """
    size = MIN_POOL
    while size < 2 * count:
        size *= 2
    pool = _distinct(space, size, seed)
    scored = [(value, place) for place, value in enumerate(values(pool)) if value is not None]
    if len(scored) < count:
        raise UsageError(
            f"{count} architectures cannot be spread: {len(scored)} of the {len(pool)} that were drawn have a value"
        )
    order = [pool[place] for _, place in sorted(scored)]
    places, chosen = np.arange(len(order), dtype=np.float64), []
    for quantile in islice(_van_der_corput(), count):
        nearest = int(np.nanargmin(np.abs(places - quantile * (len(order) - 1))))
        places[nearest] = np.nan  # it is taken
        chosen.append(order[nearest])
    return chosen


def _distinct(space: Space, count: int, seed: int) -> list[Arch]:
    rng, archs = Random(seed), dict[Arch, Arch]()
    for _ in range(MAX_DRAWS * count):
        if len(archs) == count:
            break
        arch = space.sample(rng)
        archs.setdefault(space.canonical(arch), arch)
    return list(archs.values())


def _van_der_corput() -> Iterator[float]:
    """½, ¼, ¾, ⅛, ⅝, …: the bits of 1, 2, 3, … behind the point, in reverse."""
    number = 1
    while True:
        yield sum(int(bit) / 2 ** (place + 1) for place, bit in enumerate(reversed(f"{number:b}")))
        number += 1
