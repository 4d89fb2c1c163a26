"""Balanced draws against a slow reference, and advice that holds when it is followed."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data.balance import balanced, largest_draw
from nas.data.minibatch import minibatch
from nas.errors import UsageError

COUNTS = st.lists(st.integers(0, 12), min_size=2, max_size=7).filter(lambda counts: sum(map(bool, counts)) > 1)


def drawn(counts, count, seed=0):
    labels = np.repeat(np.arange(len(counts)), counts)
    names = [f"class {number}" for number in range(len(counts))]
    places, notes = balanced("x", labels, names, count, np.random.default_rng(seed))
    return labels[places], places, notes


def possible(counts, count):
    """Whether some number of classes, each with 4 images or more, can share ``count`` images to within one."""
    ordered = sorted(counts, reverse=True)
    for k in range(1, len(counts) + 1):
        shares = [len(range(place, count, k)) for place in range(k)]  # the largest classes take the largest shares
        enough = all(has >= share >= 4 for has, share in zip(ordered, shares, strict=False))
        if enough and (k > 1 or count < 8):
            return True
    return False


@settings(max_examples=150, deadline=None)
@given(COUNTS, st.integers(4, 90), st.integers(0, 3))
def test_draws_are_balanced_or_refused_with_advice_that_holds(counts, count, seed):
    if not possible(counts, count):
        with pytest.raises(UsageError, match=f"x: no balanced minibatch of {count} images") as refused:
            drawn(counts, count, seed)
        advice = [
            int(number)
            for number in re.findall(r"largest possible is (\d+)|smaller one (\d+)", str(refused.value))
            for number in number
            if number
        ]
        assert all(len(drawn(counts, number, other)[0]) == number for number in advice for other in (0, 1, 2))
        assert advice or max((number for number in range(8, 91) if possible(counts, number)), default=0) == 0
        return
    labels, places, notes = drawn(counts, count, seed)
    assert len(set(places.tolist())) == count
    for prefix in range(1, count + 1):
        shares = np.bincount(labels[:prefix], minlength=len(counts))[np.unique(labels)]
        assert shares.max() - shares.min() <= 1
    assert np.bincount(labels)[np.unique(labels)].min() >= 4
    left_out = {number for number, has in enumerate(counts) if 0 < has < count // len(np.unique(labels))}
    named = set(map(int, re.findall(r"class (\d)", " ".join(notes))))
    assert named == left_out or (named < left_out and len(named) == 5)


@settings(max_examples=100, deadline=None)
@given(COUNTS)
def test_the_largest_draw_is_the_largest(counts):
    assert largest_draw(np.array(counts)) == max((n for n in range(8, 90) if possible(counts, n)), default=0)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 9), st.integers(8, 64), st.integers(0, 3))
def test_where_all_classes_have_enough_a_random_subset_is_used(classes, count, seed):
    labels, _, notes = drawn([80] * classes, count, seed)
    order = np.random.default_rng(seed).permutation(classes)[: count // 4]
    assert labels[: len(order)].tolist() == order.tolist()
    assert not notes


def test_a_rare_class_is_left_out_and_named(tmp_path):
    labels = np.repeat(np.arange(10), [20, 20, 20, 2, *[20] * 6])
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "rare.npz", images=pixels, labels=labels)
    for count in (64, 20, 10, 180):
        for seed in range(4):
            data = minibatch(tmp_path / "rare.npz", count, seed)
            assert 3 not in data.labels
            assert data.classes == 10
            assert any("too few images" in note and note.endswith(": 3 (2)") for note in data.notes) == (count // 4 > 0)
    with pytest.raises(UsageError, match=r"of 181 images can be drawn: the largest possible is 180$"):
        minibatch(tmp_path / "rare.npz", 181)


def test_without_four_images_of_two_classes_there_is_no_draw():
    with pytest.raises(UsageError, match="fewer than 2 classes have 4 images"):
        drawn([3, 3], 8)
    with pytest.raises(UsageError, match="fewer than 2 classes have 4 images"):
        drawn([100, 3], 64)
    with pytest.raises(UsageError, match="has images of 1 class"):
        drawn([100, 0], 64)
