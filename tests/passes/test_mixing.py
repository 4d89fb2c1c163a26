"""Networks in which samples meet: their gradients are those of one image alone all the same."""

import pytest
import torch
from odd_networks import LOOPED, MIXING, alone, made, of
from references import blocks_of, relative_error

from nas.passes import per_sample


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", MIXING)
def test_samples_that_meet_in_the_batch(name, dtype):
    net, images, labels = made(of(MIXING[name]), dtype=dtype)
    assert relative_error(blocks_of(net, images, labels), alone(net, images, labels)) < (1e-9, 1e-4)[dtype.itemsize < 8]


@pytest.mark.parametrize("name", LOOPED)
def test_samples_that_meet_where_vmap_cannot_keep_them_apart(name):
    net, images, labels = made(LOOPED[name])
    expected = alone(net, images, labels)
    with pytest.warns(UserWarning, match="gradients one image at a time, which is slow"):
        found = blocks_of(net, images, labels)
    assert relative_error(found, expected) < 1e-9


@pytest.mark.parametrize("name", [*MIXING, *LOOPED])
def test_they_are_not_taken_for_networks_that_keep_samples_apart(name):
    net, images, labels = made(LOOPED.get(name) or of(MIXING[name]))
    known = not per_sample._has_hooks_on_gradients(net)
    assert not known or per_sample._visit_rows(net, images, labels, lambda block: None, "loss") is None
