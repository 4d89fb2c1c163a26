"""Architectures that are drawn: all different, the first ones the same, and spread where that is wanted."""

import numpy as np
import pytest

from nas.errors import UsageError
from nas.space import SPACES
from nas.testing import narrow_space
from nas.training import draw
from nas.training.draw import drawn, spread


@pytest.fixture(scope="module")
def space():
    return narrow_space()


def weight(archs):
    """A quick stand-in for a proxy: how many of the slots hold a 3 x 3 convolution, and which."""
    return [float(sum((slot == (3,)) * (1 + 0.01 * place) for place, slot in enumerate(arch))) for arch in archs]


def test_drawn_networks_are_different(space):
    archs = drawn(space, 60, seed=1)
    assert len({space.canonical(arch) for arch in archs}) == 60
    assert drawn(space, 20, seed=1) == archs[:20]
    assert drawn(space, 20, seed=2) != archs[:20]


def test_a_space_may_have_too_few():
    small = SPACES["cells"](nodes=2, operations=("none", "skip_connect", "nor_conv_3x3"))
    assert len(drawn(small, 3, 0)) == 3
    with pytest.raises(UsageError, match="4 different architectures cannot be drawn: 3 were found in 400 draws"):
        drawn(small, 4, 0)


def test_spread_goes_through_the_quantiles(space):
    pool = drawn(space, draw.MIN_POOL, seed=0)
    known = np.sort(weight(pool))
    chosen = spread(space, 15, 0, weight)
    places = sorted(np.searchsorted(known, weight(chosen), side="left").tolist())
    wanted = np.arange(1, 16) / 16 * (len(pool) - 1)
    ties = max(int((known == value).sum()) for value in known)
    assert np.abs(np.array(places) - wanted).max() <= ties
    assert len({space.canonical(arch) for arch in chosen}) == 15
    assert spread(space, 7, 0, weight) == chosen[:7]


def test_what_has_no_value_is_not_chosen(space):
    def some(archs):
        return [value if value < 2 else None for value in weight(archs)]

    assert all(value < 2 for value in weight(spread(space, 10, 0, some)))
    with pytest.raises(
        UsageError, match="10 architectures cannot be spread: 3 of the 256 that were drawn have a value"
    ):
        spread(space, 10, 0, lambda archs: [1.0] * 3 + [None] * (len(archs) - 3))


def test_the_order_of_quantiles_is_van_der_corputs():
    numbers = draw._van_der_corput()
    assert [next(numbers) for _ in range(7)] == [1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8]
