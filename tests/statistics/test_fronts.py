"""Fronts against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.statistics.fronts import hypervolume, hypervolumes, knee, nondominated

VALUES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=15).map(
    lambda rows: np.array(rows, dtype=np.float64)
)


@settings(max_examples=80, deadline=None)
@given(VALUES)
def test_nobody_dominates_a_member_of_the_front(values):
    front = nondominated(values)
    for i, row in enumerate(values):
        dominated = any((other >= row).all() and (other > row).any() for other in values)
        earlier = any((other == row).all() for other in values[:i])
        assert front[i] == (not dominated and not earlier)


@settings(max_examples=80, deadline=None)
@given(VALUES)
def test_hypervolume_counts_unit_squares(values):
    """With whole numbers the volume is the number of unit squares below some member."""
    squares = {(x, y) for a, b in values.astype(int) for x in range(a) for y in range(b)}
    assert hypervolume(values, np.zeros(2)) == pytest.approx(len(squares))
    assert hypervolumes(values, np.zeros(2))[-1] == pytest.approx(len(squares))


def test_hypervolumes_only_grow():
    values = np.random.default_rng(0).random((50, 3))
    volumes = hypervolumes(values, np.zeros(3))
    assert (np.diff(volumes) >= -1e-12).all()
    assert volumes[9] == pytest.approx(hypervolume(values[:10], np.zeros(3)))


def test_what_lies_below_the_reference_counts_nothing():
    assert hypervolume(np.array([[1.0, -1.0]]), np.zeros(2)) == 0
    assert hypervolume(np.zeros((0, 2)), np.zeros(2)) == 0
    assert nondominated(np.zeros((0, 2))).tolist() == []


def test_the_knee_is_where_the_front_bends():
    assert knee(np.array([[0.0, 100.0], [0.9, 90.0], [1.0, 0.0]])) == 1
    assert knee(np.array([[3.0, 2.0]])) == 0
    with pytest.raises(ValueError, match="two objectives"):
        knee(np.zeros((2, 3)))
