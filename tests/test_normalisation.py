"""Batch norm that is differentiated twice, against PyTorch's and against differences."""

import pytest
import torch
from torch.nn import functional as F

from nas.normalisation import twice_differentiable


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(5, 3, 4, 2), (7, 3)])
def test_value_and_both_derivatives(shape, affine):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight, bias = torch.randn(2, 3, dtype=torch.float64) if affine else (None, None)

    def normalise(x):
        return twice_differentiable(x, None, None, weight, bias, 1e-5)

    assert torch.equal(normalise(x), F.batch_norm(x, None, None, weight, bias, training=True))
    assert torch.autograd.gradcheck(normalise, (x,))
    assert torch.autograd.gradgradcheck(normalise, (x,))


def test_a_weight_of_zero():
    x = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.zeros(2, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(lambda x: twice_differentiable(x, None, None, weight, None, 1e-5), (x,))
