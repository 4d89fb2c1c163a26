"""Class-balanced draws: which images, and how many there can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.data.sources._files import shortened
from nas.errors import UsageError

PER_CLASS = 4
"""The fewest images of a class in a draw that uses the class."""


def balanced(
    where: str, labels: NDArray[np.int64], classes: Sequence[str], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The places of ``count`` images, taken from the classes in turn, so that every prefix is balanced to within one;
    and notes.

    As many classes are used as can have 4 images each, a random subset where there are more, and none that has fewer
    images than it would need.

    Raises:
        UsageError: no draw of ``count`` images is balanced.
    """
    counts = np.bincount(labels, minlength=len(classes))
    present = np.flatnonzero(counts)
    if len(present) < 2:
        raise UsageError(f"{where}: has images of {len(present)} class, at least 2 are needed")
    used = _used(rng.permutation(present), counts, count)
    if used is None:
        raise UsageError(f"{where}: no balanced minibatch of {count} images can be drawn: {_possible(counts, count)}")
    queues = [rng.permutation(np.flatnonzero(labels == label)) for label in used]
    places = np.array([queues[i % len(used)][i // len(used)] for i in range(count)])
    rare = [f"{classes[label]} ({counts[label]})" for label in present.tolist() if counts[label] < count // len(used)]
    note = f"too few images for a minibatch of {count}, and therefore not drawn: {shortened(rare)}"
    return places, (note,) * bool(rare)


def _used(order: NDArray[np.int64], counts: NDArray[np.int64], count: int) -> NDArray[np.int64] | None:
    """The classes that ``count`` images are drawn from, the first of ``order`` that have enough; None if none do.

    Of k classes, the first ``count % k`` give one image more than the others.
    """
    for k in range(min(count // PER_CLASS, len(order)), 0, -1):
        if k == 1 and count >= 2 * PER_CLASS:
            break  # images of a single class are not balanced over classes
        each, more = divmod(count, k)
        first = [label for label in order if counts[label] > each][:more]
        ahead = set(first)
        rest = [label for label in order if counts[label] >= each and label not in ahead][: k - more]
        if len(first) == more and len(rest) == k - more:
            return np.array(first + rest)
    return None


def largest_draw(counts: NDArray[np.int64]) -> int:
    """The most images that a balanced draw can have, given the number of images of each class; 0 if none is possible.

    The k largest classes give k times as many as the smallest of them has, and one more of each that has more.
    """
    ordered = np.sort(counts)[::-1]
    draws = [k * least + int((ordered[:k] > least).sum()) for k, least in enumerate(ordered.tolist(), 1)
             if k > 1 and least >= PER_CLASS]  # fmt: skip
    return max(draws, default=0)


def _possible(counts: NDArray[np.int64], count: int) -> str:
    """Which draws are possible instead."""
    largest, order = largest_draw(counts), np.flatnonzero(counts)
    if not largest:
        return f"fewer than 2 classes have {PER_CLASS} images"
    below = next((less for less in range(count - 1, PER_CLASS - 1, -1) if _used(order, counts, less) is not None), 0)
    return f"the largest possible is {largest}" + (f", the next smaller one {below}" if 0 < below < largest else "")
