"""Several objectives at once: which members no other dominates, how much a front covers, and where it bends."""

from __future__ import annotations

import moocore  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]
"""[members, objectives], larger is better in each."""


def nondominated(values: Vectors) -> NDArray[np.bool_]:
    """Whether each member is dominated by no other: none is at least as good in all objectives and better in one. Among
    equals only the first is kept."""
    if not len(values):
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(moocore.is_nondominated(values, maximise=True, keep_weakly=False), dtype=np.bool_)


def hypervolume(values: Vectors, reference: Vectors) -> float:
    """The volume that is dominated by some member and lies above ``reference`` [objectives] in all of them."""
    above = values[(values > reference).all(axis=1)] if len(values) else values
    return float(moocore.hypervolume(above, ref=reference, maximise=True)) if len(above) else 0.0


def hypervolumes(values: Vectors, reference: Vectors) -> NDArray[np.float64]:
    """The `hypervolume` of the first 1, 2, … members."""
    front, volumes = values[:0], []
    for number in range(len(values)):
        front = np.vstack([front, values[number : number + 1]])
        front = front[nondominated(front)]
        volumes.append(hypervolume(front, reference))
    return np.array(volumes)


def knee(front: Vectors) -> int:
    """The place in a front of two objectives of the member that lies farthest beyond the line between its ends, both
    objectives scaled to the front's extent (Das 1999, doi:10.1007/s001580050111); the first member of a front that is
    straight or has fewer than three.

    Raises:
        ValueError: other than two objectives, or no member.
    """
    if front.ndim != 2 or front.shape[1] != 2 or not len(front):
        raise ValueError(f"only a front of two objectives has a knee, not one of shape {front.shape}")
    low, extent = front.min(axis=0), np.ptp(front, axis=0)
    scaled = (front - low) / np.where(extent > 0, extent, 1.0)
    return int(np.argmax(scaled.sum(axis=1)))  # the ends are (0, 1) and (1, 0), so the line is x + y = 1
