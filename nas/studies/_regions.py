"""The activation regions of a ReLU network on a square of the plane, exactly."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]
TINY = 1e-12
"""Polygons with a smaller share of the square than this are due to rounding."""


class Region(NamedTuple):
    """A convex polygon on which every unit keeps its state.

    Attributes:
        corners: [corners, 2], in order.
        slope: the layer reached so far computes slope @ x + shift there; [units, 2].
        shift: [units].
    """

    corners: Array
    slope: Array
    shift: Array


def regions(net: nn.Sequential, radius: float) -> list[Region]:
    """The regions of ``net``, linear layers with ReLUs between, on [−radius, radius]².

    Layer by layer every polygon is cut along the line on which each unit's input is zero; on what remains the layer is
    affine. The polygons are the distinct activation patterns: a pattern holds on a convex set, so on one polygon.
    """
    square = radius * np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    regions_ = [Region(square, np.eye(2), np.zeros(2))]
    smallest = TINY * (2 * radius) ** 2
    modules = list(net)
    for module, after in zip(modules, [*modules[1:], None], strict=True):
        if isinstance(module, nn.Linear):
            regions_ = [through(region, module) for region in regions_]
        if isinstance(after, nn.ReLU):
            regions_ = [part for region in regions_ for part in cut(region, smallest)]
    return regions_


def through(region: Region, layer: nn.Linear) -> Region:
    """The region with what ``layer`` computes on it."""
    weight, bias = (p.detach().double().cpu().numpy() for p in (layer.weight, layer.bias))
    return Region(region.corners, weight @ region.slope, weight @ region.shift + bias)


def cut(region: Region, smallest: float) -> list[Region]:
    """The region's parts on each of which every unit is on or off, with the units that are off at zero."""
    parts = [region.corners]
    for slope, shift in zip(region.slope, region.shift, strict=True):
        sides = [side for part in parts for side in (half(part, slope, shift), half(part, -slope, -shift))]
        parts = [side for side in sides if area(side) > smallest]
    active = [region.slope @ part.mean(0) + region.shift > 0 for part in parts]
    return [Region(part, region.slope * on[:, None], region.shift * on) for part, on in zip(parts, active, strict=True)]


def half(corners: Array, slope: Array, shift: Any) -> Array:
    """The part of a convex polygon on which slope · x + shift ≥ 0."""
    values = corners @ slope + shift
    points = []
    for corner, value, other, beyond in zip(corners, values, np.roll(corners, -1, 0), np.roll(values, -1), strict=True):
        if value >= 0:
            points.append(corner)
        if (value > 0 > beyond) or (value < 0 < beyond):
            points.append(corner + value / (value - beyond) * (other - corner))
    return np.array(points).reshape(-1, 2)


def area(corners: Array) -> float:
    """The area by the shoelace formula; zero for fewer than three corners."""
    x, y = corners[:, 0], corners[:, 1]
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
