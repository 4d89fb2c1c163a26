"""One size grows at a time."""

from math import log

import numpy as np
import pytest
from studied import material

from nas.space import Task
from nas.studies import (
    scaling,
)


def test_the_exponent_of_a_power_law():
    sizes = [8.0, 16.0, 64.0]
    assert scaling.exponent(sizes, [3 * size**1.7 for size in sizes]) == pytest.approx(1.7)
    assert scaling.exponent([2.0, 4.0], [1.0, 3.0]) == pytest.approx(log(3) / log(2))
    assert np.isnan(scaling.exponent(sizes, [1.0, 0.0, 2.0]))
    assert np.isnan(scaling.exponent([8.0, 8.0], [1.0, 2.0]))


def test_one_size_grows_at_a_time():
    given = material()
    found = [
        (axis, size, len(scorer.data.images), scorer.space.build(archs[0], Task(3, 3, 8)))
        for axis, size, scorer, archs in scaling.variants(
            given, (0.5, 1.0, 2.0), {"width": ("none of these", "widths"), "depth": ("repeats",)}, 1
        )
    ]
    assert [(axis, size, images) for axis, size, images, _ in found] == [
        ("batch size", 6, 6), ("batch size", 12, 12), ("batch size", 24, 24),
        ("width", 3, 12), ("width", 6, 12), ("width", 12, 12), ("depth", 1, 12), ("depth", 2, 12),
    ]  # fmt: skip
    params = {(axis, size): sum(p.numel() for p in net.parameters()) for axis, size, _, net in found}
    assert params["width", 6] == params["depth", 1] == params["batch size", 24]
    assert params["width", 12] > 3 * params["width", 6]
    assert params["depth", 2] > params["depth", 1]
