"""What a convolution multiplies by its weight's first entry, against autograd, for kernels of every reach."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nas.passes.layers import seen_by_first_entry


@settings(max_examples=120, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 7),
    st.integers(0, 5),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_it_is_the_gradient(size, kernel, padding, stride, dilation):
    assume(all(side + 2 * padding >= dilation * (kernel - 1) + 1 for side in size))
    x = torch.arange(1.0, 1 + 2 * size[0] * size[1]).reshape(1, 2, *size)
    weight = torch.zeros(1, 2, kernel, kernel, requires_grad=True)
    out = torch.nn.functional.conv2d(x, weight, None, stride, padding, dilation)
    right = [torch.autograd.grad(value, weight, retain_graph=True)[0][0, 0, 0, 0] for value in out.flatten()]
    seen = seen_by_first_entry(x, weight, out.shape, stride, padding, dilation)
    assert seen.flatten().tolist() == torch.stack(right).tolist()


@pytest.mark.parametrize("kernel", [3, 7])
def test_padding_the_same(kernel):
    x, weight = torch.arange(1.0, 5).reshape(1, 1, 2, 2), torch.zeros(1, 1, kernel, kernel, requires_grad=True)
    out = torch.nn.functional.conv2d(x, weight, padding="same")
    right = [torch.autograd.grad(value, weight, retain_graph=True)[0][0, 0, 0, 0] for value in out.flatten()]
    assert seen_by_first_entry(x, weight, out.shape, 1, "same", 1).flatten().tolist() == torch.stack(right).tolist()
